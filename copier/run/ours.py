"""What comes out of a verb as an error of ours, whoever it came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copier.errors import broken_system, root_cause
from copier.postgres.failures import broken_run
from copier.sqlite.explain import broken_source


def as_ours(error: BaseException, source: Path | None = None) -> BaseException:
    """Return the error that matters: as one of ours where it is the server's, SQLite's or the system's."""
    cause = root_cause(error)
    return broken_run(cause) or broken_source(cause, source) or broken_system(cause) or cause


@contextmanager
def errors() -> Iterator[None]:
    """Raise an error as `as_ours` returns it."""
    try:
        yield
    except Exception as error:
        found = as_ours(error)
        if found is error:
            raise
        raise found from error
