"""DuckDB: its SQLite and PostgreSQL extensions, one INSERT .. SELECT with the same conversions as ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from bench.peer.order import Order, timed
from bench.shapes import Column

_CONVERSIONS = {
    "uuid": "CAST({} AS UUID)",
    "boolean": "CAST({} AS BOOLEAN)",
    "timestamptz": "make_timestamptz({} * 1000)",
}


def main() -> None:
    """Copy what the order names."""
    order = Order.received()
    connection = duckdb.connect()
    for name in ("sqlite_scanner", "postgres_scanner"):
        connection.execute(f"LOAD '{_extension(name)}'")
    connection.execute(f"ATTACH '{order.sqlite}' AS source (TYPE sqlite, READ_ONLY)")
    connection.execute(f"ATTACH '{order.dsn}' AS target (TYPE postgres, SCHEMA '{order.schema}')")
    columns = ", ".join(_converted(column) for column in order.shape.columns)
    table = order.shape.table
    with timed():
        connection.execute(f"INSERT INTO target.{order.schema}.{table} SELECT {columns} FROM source.{table}")
    connection.close()


def _converted(column: Column) -> str:
    return _CONVERSIONS.get(column.pg, "{}").format(f'"{column.name}"')


def _extension(name: str) -> Path:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        raise ImportError(f"the wheel duckdb-extension-{name.replace('_', '-')} is not installed")
    return next(Path(spec.origin).parent.rglob(f"{name}.duckdb_extension"))


if __name__ == "__main__":
    main()
