"""The page of a report in a browser: it renders, fits a phone, asks for nothing, prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fix_browser import Browser, first_pixel
from fix_documents import eventful_report, hostile_loadtest, hostile_report, large_report, loadtest_document, write_json

from copier.cli import main

DOCUMENTS = {
    "eventful": eventful_report,
    "loadtest": loadtest_document,
    "hostile": hostile_report,
    "hostile loadtest": hostile_loadtest,
    "large": large_report,
}


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    document = write_json(tmp_path / "out.json", DOCUMENTS[request.param]())
    assert main(["report", str(document)]) == 0
    return tmp_path / "out.html"


@pytest.mark.parametrize("page", list(DOCUMENTS), indirect=True)
def test_it_fits_a_phone_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    seen = browser.see(page, width=360)
    assert seen.measured["width"] == 360
    assert seen.measured["wide"] == []
    assert seen.measured["scroll_width"] == 360, "the page scrolls sideways"
    assert seen.console == []
    assert seen.measured["active"] == seen.measured["handlers"] == 0
    assert seen.measured["fetched"] == []


@pytest.mark.parametrize("page", ["eventful"], indirect=True)
def test_what_is_forbidden_would_be_seen(browser: Browser, page: Path) -> None:
    """A check that cannot fail is none: a page with a picture, a script and a wide box is told from ours."""
    bad = '<img src="x.png"><script>hacked = 1</script><p style="width:500px">wide</p>'
    page.write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{bad}"), encoding="utf-8")
    seen = browser.see(page, width=360)
    assert seen.measured["active"] == 2
    assert seen.measured["scroll_width"] > 360
    assert len(seen.measured["wide"]) >= 1
    assert len(seen.console) == 2, "the policy refused both"
    assert all("Content Security Policy" in line for line in seen.console)


@pytest.mark.parametrize("page", ["eventful"], indirect=True)
def test_it_shows_the_drawings_for_its_width(browser: Browser, page: Path) -> None:
    for width, size in ((360, "narrow"), (1000, "wide")):
        measured = browser.see(page, width=width).measured
        assert measured["drawings"] == [f"chart-drawing {size}"] * 2
        assert "Source and target differ: 2 rows in 1 table. Do not cut over." in measured["text"]
        assert "UPDATE conversations SET n = n + 1 WHERE id = NEW.conversation_id;" in measured["text"]


@pytest.mark.parametrize("page", ["loadtest"], indirect=True)
def test_dark_and_light(browser: Browser, page: Path) -> None:
    assert first_pixel(browser.photograph(page, "light")) == (255, 255, 255)
    assert first_pixel(browser.photograph(page, "dark")) == (18, 22, 28)


@pytest.mark.parametrize("page", ["eventful", "loadtest"], indirect=True)
def test_it_prints(browser: Browser, page: Path) -> None:
    pdf = browser.print(page)
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 6
