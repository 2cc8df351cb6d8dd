"""ADBC: Arrow record batches out of SQLite, `adbc_ingest` into PostgreSQL. It makes the table, with SQLite's types."""

from __future__ import annotations

import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi

from bench.peer.order import Order, timed


def main() -> None:
    """Copy what the order names."""
    order = Order.received()
    with (
        adbc_driver_sqlite.dbapi.connect(f"file:{order.sqlite}?mode=ro") as source,
        adbc_driver_postgresql.dbapi.connect(order.dsn) as target,
        source.cursor() as reader,
        target.cursor() as writer,
        timed(),
    ):
        reader.execute(f"SELECT * FROM {order.shape.table}")
        batches = reader.fetch_record_batch()
        writer.adbc_ingest(order.shape.table, batches, mode="create", db_schema_name=order.schema)
        target.commit()


if __name__ == "__main__":
    main()
