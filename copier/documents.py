"""Documents that were written earlier: reports of migrations, load tests, pytest-benchmark's files.

They come from a file somebody names, perhaps the wrong one: whatever is in it ends in a value of ours or in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NotRequired

import orjson
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from copier import loadtest_report, report
from copier.errors import UsageError
from copier.loadtest_report import LoadTest
from copier.report import Report

_MAX_BYTES = 256 << 20
_VERSIONS = {report.KIND: report.VERSION, loadtest_report.KIND: loadtest_report.VERSION}
_WHAT = "sqlite2pg writes such files with --report, the load test with --out"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark of a pytest-benchmark file. `stats` are in seconds, as pytest-benchmark writes them."""

    fullname: str
    stats: dict[str, Any]
    extra_info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """A file of pytest-benchmark (--benchmark-json, or what --benchmark-save writes)."""

    benchmarks: list[Benchmark]


Document = Report | LoadTest | Benchmarks


class _Phase(TypedDict):
    name: str
    seconds: float
    started_s: NotRequired[float]


class _RowSample(TypedDict):
    t_s: float
    phase: str
    rows: int
    bytes: int


class _Check(TypedDict):
    name: str
    ok: bool
    detail: NotRequired[str | None]
    hint: NotRequired[str | None]
    fatal: NotRequired[bool]


class _Error(TypedDict):
    type: str
    message: str
    hint: NotRequired[str | None]
    table: NotRequired[str | None]
    column: NotRequired[str | None]
    key: NotRequired[str | None]


class _Loss(TypedDict):
    kind: str
    table: str
    where: str
    reason: str
    rows: int
    pages: int
    found_rows: int


class _Salvage(TypedDict):
    source: str
    path: str
    listing: str
    lost: int
    lost_pages: int
    unreadable_rows: int
    refused_rows: int
    counts: dict[str, int]
    losses: list[_Loss]
    problems: list[str]
    notes: list[str]


_PARTS: dict[str, TypeAdapter[Any]] = {
    "phases": TypeAdapter(list[_Phase]),
    "timeline": TypeAdapter(list[_RowSample]),
    "checks": TypeAdapter(list[_Check]),
    "error": TypeAdapter(_Error | None),
    "salvage": TypeAdapter(_Salvage | None),
}
"""What a Report has as plain dicts."""

NAMES: dict[type, str] = {
    Report: "the report of a migration",
    LoadTest: "a load test",
    Benchmarks: "a pytest-benchmark file",
}


def read_document(path: Path) -> Document:
    """Return what `path` holds. Raises UsageError when it is absent, is none of these documents, or is a newer one."""
    data = _read(path)
    content = _parse(data, path)
    kind = _kind_of(content, path)
    _check_version(content, kind, path)
    try:
        document = _reader(kind).validate_json(data, strict=True)
        if isinstance(document, Report):
            for name, parts in _PARTS.items():
                setattr(document, name, parts.validate_python(getattr(document, name)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"]) or "the document"
        raise UsageError(f"{path}: {where}: {first['msg']}", hint=f"the file is damaged; {_WHAT}") from None
    return document


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", hint=_WHAT)
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", hint=_WHAT) from None


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    """Return the JSON object in `data`. orjson refuses what is no number in JSON: NaN, Infinity, 1e999."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path} is not JSON: {error}", hint=_WHAT) from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is JSON, but not one of the documents that can be read here", hint=_WHAT)
    return content


def _kind_of(content: dict[str, Any], path: Path) -> str:
    kind = content.get("kind")
    if kind is None and {"outcome", "phases", "tables"} <= content.keys():
        return report.KIND  # reports of versions before they said so
    if kind is None and {"benchmarks", "machine_info"} <= content.keys():
        return "pytest-benchmark"
    if isinstance(kind, str) and kind in _VERSIONS:
        return kind
    found = f"a document of the kind {kind[:40]!r}" if isinstance(kind, str) else "some other JSON document"
    raise UsageError(f"{path} is {found}, not one that can be read here", hint=_WHAT)


def _check_version(content: dict[str, Any], kind: str, path: Path) -> None:
    known, version = _VERSIONS.get(kind), content.get("version", 1)
    if known is None or (isinstance(version, int) and version <= known):
        return
    raise UsageError(
        f"{path} is version {str(version)[:20]} of its kind ({kind}); this sqlite2pg reads version {known}",
        hint="update sqlite2pg",
    )


@cache
def _reader(kind: str) -> TypeAdapter[Document]:
    classes: dict[str, Any] = {report.KIND: Report, loadtest_report.KIND: LoadTest}
    return TypeAdapter(classes.get(kind, Benchmarks))
