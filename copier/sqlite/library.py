"""The SQLite that Python's own `sqlite3` module uses: its functions for the kernel, and the handle of a connection.

No second SQLite: two in one process would not know of each other's POSIX locks on a file and drop them (SQLite docs,
"How To Corrupt An SQLite Database File", 2.2.1).
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cache

_HANDLE_OFFSET_BYTES = object.__basicsize__
"""sqlite3.Connection keeps its `sqlite3 *` first, right behind the object's head; `find_functions` proves it."""

_PREFIX = "sqlite3_"

_ENTRY_POINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class LibraryAbsent(Exception):
    """The functions cannot be reached; `str()` says why."""


def handle_of(connection: sqlite3.Connection) -> int:
    """Return the `sqlite3 *` of an open connection; only after `find_functions` has found the library."""
    return ctypes.c_void_p.from_address(id(connection) + _HANDLE_OFFSET_BYTES).value or 0


@cache
def find_functions(names: Sequence[str]) -> dict[str, int]:
    """Return the address of each function; LibraryAbsent when one is missing, or it is another SQLite than Python's."""
    library = _loaded()
    found = {}
    for name in names:
        with suppress(AttributeError):
            found[name] = ctypes.cast(getattr(library, _PREFIX + name), ctypes.c_void_p).value or 0
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise LibraryAbsent(f"Python's SQLite does not show its function {_PREFIX}{missing[0]}")
    _prove(library)
    return found


def _loaded() -> ctypes.CDLL:
    try:
        import _sqlite3

        return ctypes.CDLL(getattr(_sqlite3, "__file__", None))  # None, the process: the module is built in
    except (ImportError, OSError, TypeError) as error:
        raise LibraryAbsent(f"Python's SQLite cannot be reached: {error}") from error


def _prove(library: ctypes.CDLL) -> None:
    """Let SQLite tell the handle of a new connection, and compare.

    A function registered with sqlite3_auto_extension is called with the handle of each connection opened after that.
    It is called at all only when the functions found are those of the library that `sqlite3` opens connections with.
    """
    handles: list[int] = []

    def opened(handle: int, _message: int, _functions: int) -> int:
        handles.append(handle)
        return 0

    try:
        register, cancel = library.sqlite3_auto_extension, library.sqlite3_cancel_auto_extension
    except AttributeError:
        raise LibraryAbsent("Python's SQLite does not tell the handle of a connection") from None
    register.argtypes = cancel.argtypes = [ctypes.c_void_p]
    callback = _ENTRY_POINT(opened)
    address = ctypes.cast(callback, ctypes.c_void_p)
    if register(address) != 0:
        raise LibraryAbsent("Python's SQLite does not tell the handle of a connection")
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            told = handle_of(connection)
    finally:
        cancel(address)
    if told not in handles:
        raise LibraryAbsent("the SQLite found is not the one Python uses, or Python keeps its handle elsewhere")
