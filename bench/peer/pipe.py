"""`sqlite3 -csv | psql -c '\\copy'`: the pipeline everyone writes first. The conversions are SQL in SQLite."""

from __future__ import annotations

from bench.peer.order import Order

_CONVERSIONS = {
    "timestamptz": "strftime('%Y-%m-%d %H:%M:%f+00', \"{0}\" / 1000.0, 'unixepoch')",
    "bytea": "'\\x' || hex(\"{0}\")",
}


def commands(order: Order) -> list[list[str]]:
    """Return both commands of the pipeline. NULL and '' become one in CSV; the shapes have no ''."""
    columns = ", ".join(_CONVERSIONS.get(c.pg, '"{0}"').format(c.name) for c in order.shape.columns)
    query = f"SELECT {columns} FROM {order.shape.table}"
    load = f"\\copy {order.schema}.{order.shape.table} FROM STDIN (FORMAT csv)"
    return [
        ["sqlite3", "-readonly", "-csv", str(order.sqlite), query],
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", load, order.dsn],
    ]
