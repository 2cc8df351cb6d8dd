"""Every place in the copier that touches a file, found by reading its source; and a fault in the Nth call of any.

A site is an expression such as `os.link` or `path.write_text`. What happens there is counted by what it comes down to:
functions of `os`, and methods of the files that were opened there. So `path.write_text` is `open`, `write` and `close`,
and each of them can fail by itself.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import errno
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath
from types import FrameType
from typing import Any

import pytest

import copier

PACKAGE = Path(copier.__file__).parent

OF_PATHS = {name for name in dir(Path) if not name.startswith("_")} - set(dir(PurePath))
OF_PATHS -= {"absolute", "cwd", "home", "expanduser", "resolve", "group", "owner"}
"""What a path does on a disk that may fail, and not with its own text."""

OF_OS = (
    *("access", "chmod", "chown", "close", "dup2", "fstat", "fsync", "kill", "link", "listdir", "lstat", "mkdir"),
    *("open", "pread", "readlink", "rename", "replace", "rmdir", "scandir", "stat", "statvfs", "symlink", "unlink"),
)
WHOLE_CALLS = (
    (subprocess, "run"),
    (asyncio, "create_subprocess_exec"),
    *((shutil, name) for name in ("copytree", "rmtree", "which", "disk_usage")),
    *((tempfile, name) for name in ("mkdtemp", "TemporaryFile", "NamedTemporaryFile")),
)
"""Fail as a whole: what they do inside is not ours."""

HARMLESS = {
    "os": {
        "_exit",
        "cpu_count",
        "environ",
        "fsencode",
        "devnull",
        "geteuid",
        "getpid",
        "path",
        "sched_getaffinity",
        "strerror",
        "sysconf",
    }
    | {name for name in dir(os) if name.isupper()},
    "subprocess": {"CompletedProcess", "DEVNULL", "PIPE", "TimeoutExpired"},
    "tempfile": {"gettempdir"},
    "shutil": set[str](),
}
"""Module -> what touches no file."""

ANSWERS = {"access": False}
"""What has no error but an answer."""


Place = tuple[int, int, int, int]
"""First line, first column, last line, last column."""


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One expression; without its line it is the same one after an edit."""

    file: str
    function: str
    call: str
    place: Place = field(default=(0, 0, 0, 0), compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.function} {self.call}"


@dataclass(frozen=True, slots=True, order=True)
class Boundary:
    """What a site comes down to."""

    site: Site
    what: str

    def __str__(self) -> str:
        return f"{self.site} ({self.what})"


def find_sites() -> list[Site]:
    """Read the package."""
    found: list[Site] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        _Finder(str(path.relative_to(PACKAGE)), found).visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


class _Finder(ast.NodeVisitor):
    def __init__(self, file: str, found: list[Site]) -> None:
        self._file, self._found = file, found
        self._functions: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            self._add(node, "open")
        # `text.replace(old, new)` and dataclasses' `replace` are not a path's.
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "replace" and len(node.args) == 1:
            self._add(node, ast.unparse(node.func))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner in HARMLESS:
            if node.attr not in HARMLESS[owner]:
                self._add(node, f"{owner}.{node.attr}")
        elif (node.attr in OF_PATHS and node.attr != "replace") or node.attr == "create_subprocess_exec":
            self._add(node, ast.unparse(node))
        self.generic_visit(node)

    def _add(self, node: ast.expr, call: str) -> None:
        place = node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0
        self._found.append(Site(self._file, ".".join(self._functions), call, place))


_HANDED: ContextVar[Site | None] = ContextVar("handed", default=None)
"""The site that handed a function to a thread, where no frame of it is."""
_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)
"""Whether a call that fails as a whole is under way."""


@dataclass
class FileFault:
    """Counts what happens at every site, and makes call `number` at `boundary` fail."""

    sites: list[Site]
    boundary: Boundary | None = None
    number: int = 0
    error: int = errno.EIO
    broken: frozenset[str] = frozenset()
    """`function what` of boundaries that fail always: what comes after a failure can fail too."""
    calls: Counter[Boundary] = field(default_factory=Counter)
    hit: bool = False
    _by_file: dict[str, list[Site]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for site in self.sites:
            self._by_file.setdefault(str(PACKAGE / site.file), []).append(site)

    def site(self, what: str) -> Site | None:
        """Return the site that the call under way comes from, if it comes from one."""
        if _INSIDE.get():
            return None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in self._by_file:
                return _nearest(self._by_file[frame.f_code.co_filename], _place(frame))
            if frame.f_code.co_filename.startswith(str(PACKAGE)):
                return None
            frame = frame.f_back
        return _HANDED.get()

    def due(self, what: str) -> bool:
        """Whether this call must fail."""
        site = self.site(what)
        return site is not None and self.due_at(site, what)

    def due_at(self, site: Site, what: str) -> bool:
        """The same, of a call whose site is known."""
        boundary = Boundary(site, what)
        self.calls[boundary] += 1
        due = boundary == self.boundary and self.calls[boundary] == self.number
        self.hit = self.hit or due
        return due or f"{site.function} {what}" in self.broken

    def fail(self, *args: Any) -> None:
        """Raise what the system would say."""
        name = args[0] if args and isinstance(args[0], str | os.PathLike) else None
        raise OSError(self.error, os.strerror(self.error), name)


def _place(frame: FrameType) -> Place:
    """Return where the expression stands that a frame is at."""
    first, last, first_column, last_column = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    return first or 0, first_column or 0, last or 0, last_column or 0


def _nearest(sites: list[Site], at: Place) -> Site | None:
    """Return the site that is called there, or the first that stands within, as in `for one in path.iterdir(): ...`."""
    start, end = at[:2], at[2:]
    within = [site for site in sites if start <= site.place[:2] and site.place[2:] <= end]
    called = [site for site in within if site.place[:2] == start]
    if called:
        return max(called, key=lambda site: site.place[2:])
    return min(within, key=lambda site: site.place[:2], default=None)


class _File:
    """A file opened at a site."""

    def __init__(self, file: Any, site: Site, fault: FileFault) -> None:
        self._file, self._site, self._fault = file, site, fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        if name not in ("read", "write", "flush", "seek", "readline"):
            return found

        def call(*args: Any) -> Any:
            if self._fault.due_at(self._site, name):
                self._fault.fail()
            return found(*args)

        return call

    def close(self) -> None:
        first = not self._file.closed
        self._file.close()
        if first and self._fault.due_at(self._site, "close"):
            self._fault.fail()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def _failing(what: str, plain: Callable[..., Any], fault: FileFault) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        if not fault.due(what):
            return plain(*args, **more)
        if what in ANSWERS:
            return ANSWERS[what]
        if what == "close":
            plain(*args, **more)
        return fault.fail(*args)

    return call


def _failing_whole(what: str, plain: Callable[..., Any], fault: FileFault) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        if fault.due(what):
            fault.fail()
        inside = _INSIDE.set(True)
        try:
            return plain(*args, **more)
        finally:
            _INSIDE.reset(inside)

    async def call_async(*args: Any, **more: Any) -> Any:
        if fault.due(what):
            fault.fail()
        inside = _INSIDE.set(True)
        try:
            return await plain(*args, **more)
        finally:
            _INSIDE.reset(inside)

    return call_async if asyncio.iscoroutinefunction(plain) else call


@contextmanager
def failing_files(fault: FileFault) -> Iterator[FileFault]:
    """Stand at every boundary."""
    plain_open, plain_thread = io.open, asyncio.to_thread

    def open_(*args: Any, **more: Any) -> Any:
        site = fault.site("open")
        if site is None:
            return plain_open(*args, **more)
        if fault.due_at(site, "open"):
            fault.fail(*args)
        return _File(plain_open(*args, **more), site, fault)

    async def to_thread(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        handed = _HANDED.set(fault.site(getattr(function, "__name__", "")))
        try:
            return await plain_thread(function, *args, **more)
        finally:
            _HANDED.reset(handed)

    with pytest.MonkeyPatch.context() as patch:
        for name in OF_OS:
            patch.setattr(os, name, _failing(name, getattr(os, name), fault))
        patch.setattr(io, "open", open_)
        patch.setattr(builtins, "open", open_)
        patch.setattr(asyncio, "to_thread", to_thread)
        for owner, name in WHOLE_CALLS:
            patch.setattr(owner, name, _failing_whole(name, getattr(owner, name), fault))
        yield fault
