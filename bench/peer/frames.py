"""pandas: `read_sql` in chunks, columns converted, `to_sql` through SQLAlchemy and psycopg."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pandas as pd
import sqlalchemy as sa

from bench.peer.order import Order, timed
from bench.shapes import Shape

_CHUNK_ROWS = 20_000
_TYPES = {
    "uuid": sa.Uuid(as_uuid=False),
    "boolean": sa.Boolean(),
    "timestamptz": sa.DateTime(timezone=True),
    "bytea": sa.LargeBinary(),
    "bigint": sa.BigInteger(),
}


def main() -> None:
    """Copy what the order names."""
    order = Order.received()
    engine = sa.create_engine("postgresql+psycopg" + order.dsn.removeprefix("postgresql"))
    types = {c.name: _TYPES[c.pg] for c in order.shape.columns if c.pg in _TYPES}
    with closing(sqlite3.connect(order.sqlite)) as source, engine.begin() as target, timed():
        for frame in pd.read_sql(f"SELECT * FROM {order.shape.table}", source, chunksize=_CHUNK_ROWS):
            _convert(frame, order.shape).to_sql(
                order.shape.table, target, schema=order.schema, if_exists="append", index=False, dtype=types
            )
        target.commit()


def _convert(frame: pd.DataFrame, shape: Shape) -> pd.DataFrame:
    for column in shape.columns:
        if column.pg == "timestamptz":
            frame[column.name] = pd.to_datetime(frame[column.name], unit="ms", utc=True)
        elif column.pg in ("bigint", "boolean"):
            frame[column.name] = frame[column.name].astype("Int64" if column.pg == "bigint" else "boolean")
    return frame


if __name__ == "__main__":
    main()
