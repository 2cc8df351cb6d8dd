"""pgloader: the load file for a run, and the figures of its summary. It makes the tables itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_SECONDS = r'"READ":\d+,"ROWS":(\d+),"ERRS":(\d+),"SECS":([0-9.e-]+)'
_COPY = re.compile(r'"COPY Threads Completion",' + _SECONDS)
_DATA = re.compile(r'"DATA":\[\[(.*?)\]\]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Summary:
    """What pgloader says about a run; `data_s` is its copying, before indexes and keys."""

    rows: int
    errors: int
    data_s: float


def load_file(directory: Path, sqlite: Path, dsn: str, casts: dict[str, str], table: str = "") -> Path:
    """Write the load file: casts are `table.column` -> type. Without a table, all of them with indexes and keys."""
    settings = ["include drop", "create tables"]
    settings += ["create no indexes", "no foreign keys"] if table else ["create indexes", "foreign keys"]
    lines = [
        "LOAD DATABASE",
        f"  FROM sqlite://{sqlite.absolute()}",
        f"  INTO {_address(dsn)}",
        f"  WITH {', '.join([*settings, 'reset sequences'])}",
    ]
    if casts:
        lines.append("  CAST " + ",\n       ".join(f"column {column} to {kind}" for column, kind in casts.items()))
    if table:
        lines.append(f"  INCLUDING ONLY TABLE NAMES LIKE '{table}'")
    file = directory / "pgloader.load"
    file.write_text("\n".join(lines) + ";\n")
    return file


def command(file: Path) -> list[str]:
    """Return the command line; the summary goes beside the load file."""
    return ["pgloader", "--quiet", "--summary", str(summary_file(file)), str(file)]


def summary_file(file: Path) -> Path:
    """Return where the summary goes."""
    return file.with_suffix(".json")


def read_summary(file: Path) -> Summary:
    """Read the summary. It is no valid JSON (a table's name is missing in it), hence the patterns."""
    text = summary_file(file).read_text()
    data, copied = _DATA.search(text), _COPY.search(text)
    if data is None or copied is None:
        raise ValueError("pgloader's summary has another form than expected")
    tables = re.findall(_SECONDS, data.group(1))
    return Summary(sum(int(t[0]) for t in tables), sum(int(t[1]) for t in tables), float(copied.group(3)))


def _address(dsn: str) -> str:
    """Return a DSN of the embedded server as pgloader wants it."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    return f"pgsql://{parts.username or 'postgres'}@unix:{query['host'][0]}:{query['port'][0]}{parts.path}"
