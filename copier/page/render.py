"""Fills the templates. Everything that comes from a document is escaped, and shown without control characters."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from copier.loadtest_report import LoadTest
from copier.page.loadtest import LoadTestPage, loadtest_page
from copier.page.migration import MigrationPage, migration_page
from copier.report import Report
from copier.units import printable


def render_page(
    document: Report | LoadTest,
    *,
    source_name: str = "",
    made_by: str = "sqlite2pg",
    clean: Callable[[str], str] = str,
) -> str:
    """Return the page of a document; `source_name` is the file it was in, `clean` makes text safe to show to others."""
    page: LoadTestPage | MigrationPage
    if isinstance(document, LoadTest):
        name, page = "loadtest.html", loadtest_page(document)
    else:
        name, page = "migration.html", migration_page(document)
    # Our own file, without anything from a document in it.
    css = Markup((files("copier.page") / "templates" / "page.css").read_text(encoding="utf-8"))
    template = _environment(clean).get_template(name)
    return template.render(page=page, css=css, source_name=source_name, made_by=made_by)


def _environment(clean: Callable[[str], str]) -> Environment:
    def finalize(value: Any) -> Any:
        """Return text with nothing in it that a browser would obey or hide: control characters, text direction."""
        if isinstance(value, str) and not isinstance(value, Markup):
            return "\n".join(printable(line) for line in clean(value).split("\n"))
        return value

    loader = PackageLoader("copier.page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=finalize)
