"""The verb `report`: the web page of a migration or a load test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from copier.cli.app import Flags, verb
from copier.cli.plain import argument, option, run_plain

_EPILOG = """\
Exit codes
  0  the page is written
  1  it could not be written
  2  an option or the document is wrong

Examples
  sqlite2pg full --sqlite app.db --report out.json
  sqlite2pg report out.json -o report.html
  sqlite2pg report loadtest.json -o loadtest.html --force"""

_DOCUMENT = argument("document", "What --report wrote, or the JSON of a load test.", "OUT.json")
_OUTPUT = option("output", Path, "The page (default: beside the document, as OUT.html).", "FILE", short="-o")
_FORCE = option("force", bool, "Overwrite the page if it is there.")
_DEBUG = option("debug", bool, "Show the stack trace of an error.")


@verb("report", "Afterwards", _EPILOG, _DOCUMENT, _OUTPUT, _FORCE, _DEBUG)
def report(flags: Flags) -> None:
    """Make a web page of a report: one file to read, send or print.

    For a migration or a load test: the verdict, what needs a person (rejected
    rows, rows that differ, objects not carried over with their SQL), tables,
    the time line of phases, throughput and latency over time. The page is
    complete in itself, runs no script and loads nothing; it may quote rows of
    the source, so only its owner can read it.
    """
    run_plain("report", lambda: _write(flags), debug=bool(flags["debug"]))


def _write(flags: Flags) -> int:
    from copier.cli.private_file import must_be_writable, write_private
    from copier.errors import CopierError, UsageError

    document: Path = flags["document"]
    output: Path = flags["output"] or document.with_suffix(".html")
    if output.exists() and output.samefile(document):
        raise UsageError(f"--output: {output} is the document itself", hint="name another file")
    if output.exists() and not flags["force"]:
        raise UsageError(f"--output: {output} exists", hint="name another file, or overwrite it with --force")
    must_be_writable(output, "--output")
    page = _page(document)
    try:
        write_private(output, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise CopierError(f"cannot write {output}: {error.strerror or error}") from None
    sys.stdout.write(f"page:     {output}\n")
    return 0


def _page(path: Path) -> str:
    from copier.cli import log
    from copier.cli.session import version_text
    from copier.documents import NAMES, Benchmarks, read_document
    from copier.errors import UsageError
    from copier.page.render import render_page

    found = read_document(path)
    if isinstance(found, Benchmarks):
        hint = "sqlite2pg compare-performance compares two of them"
        raise UsageError(f"{path} is {NAMES[Benchmarks]}, for which there is no page", hint=hint)
    # What was written is redacted already; a document that somebody made by hand may not be.
    redact = log.Redactor({os.environ.get("PGPASSWORD", "")})
    return render_page(found, source_name=path.name, made_by=f"Made by sqlite2pg {version_text()}", clean=redact)
