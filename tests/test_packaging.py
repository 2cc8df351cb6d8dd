"""What is shipped beside the code: container files, constraints, versions, and that nothing of a machine got in."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).resolve().parent.parent

POSTGRESQL_CONF = {
    "max_connections": "200",
    "shared_buffers": "8GB",
    "effective_cache_size": "24GB",
    "maintenance_work_mem": "2GB",
    "work_mem": "64MB",
    "wal_level": "replica",
    "max_wal_senders": "3",
    "wal_keep_size": "1GB",
    "checkpoint_timeout": "15min",
    "max_wal_size": "4GB",
    "min_wal_size": "1GB",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "200",
    "log_min_duration_statement": "1000",
    "log_checkpoints": "on",
    "log_connections": "on",
    "log_disconnections": "on",
}
"""The tuned server of the chat application's migration plan."""

KNOWN_SITES = ("postgresql.org", "sqlite.org", "keepachangelog.com", "semver.org", "toml.io")
NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
"""Names that SVG carries; no links."""

TREES = ("work", "farm", "home", "root", "Users", "mnt", "opt/venv")
"""Where people and machines keep their files; no tracked file may name one."""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    found = tomllib.loads(text("pyproject.toml"))["project"]
    assert isinstance(found, dict)
    return found


def normal(name: str) -> str:
    """Return a distribution's name in its normal form (packaging.python.org, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text("Dockerfile"))
    lines = [line.strip() for line in joined.splitlines()]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


class TestDockerfile:
    def test_two_stages_and_only_the_wheels_go_on(self) -> None:
        stages = [rest for word, rest in instructions() if word == "FROM"]
        assert len(stages) == 2
        assert stages[0].endswith(" AS build")
        runs = [rest for word, rest in instructions() if word == "RUN"]
        assert any("pip wheel" in run and "-c constraints.txt" in run for run in runs)
        assert any("pip install" in run and "--no-index" in run and "from=build" in run for run in runs)

    def test_runs_as_an_ordinary_user(self) -> None:
        words = [word for word, _ in instructions()]
        users = [rest for word, rest in instructions() if word == "USER"]
        assert users
        assert users[-1] not in ("root", "0")
        assert words.index("USER") < words.index("ENTRYPOINT")
        assert f"useradd --create-home --uid 10001 {users[-1]}" in text("Dockerfile")

    def test_entrypoint_and_volume(self) -> None:
        assert ("ENTRYPOINT", '["sqlite2pg"]') in instructions()
        assert ("VOLUME", "/data") in instructions()

    def test_what_is_copied_is_let_in(self) -> None:
        let_in = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
        assert text(".dockerignore").startswith("*\n")
        copied = {Path(name).name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]}
        assert copied == let_in
        missing = [name for name in copied if not (ROOT / name).exists()]
        assert not missing

    def test_what_the_wheel_is_made_of_is_copied(self) -> None:
        wanted = {project()["readme"], "pyproject.toml", "copier", "LICENSE"}
        copied = {Path(name).name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]}
        assert wanted <= copied


class TestConstraints:
    def test_each_line_is_one_version(self) -> None:
        for line in text("constraints.txt").splitlines():
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.+!]*", line), line

    def test_every_dependency_that_make_installs_is_there(self) -> None:
        pinned = {normal(line.partition("==")[0]) for line in text("constraints.txt").splitlines()}
        extras = project()["optional-dependencies"]
        wanted = [*project()["dependencies"], *extras["embedded"], *extras["bench"], *extras["test"], *extras["dev"]]
        names = {normal(re.split(r"[\s\[<>=!~;]", one, maxsplit=1)[0]) for one in wanted} - {"sqlite2pg"}
        assert names <= pinned, sorted(names - pinned)


class TestProject:
    def test_version_is_the_changelog_s_newest(self) -> None:
        found = re.search(r"^## \[([^\]]+)\]", text("CHANGELOG.md"), re.M)
        assert found is not None
        assert found[1] == project()["version"]

    def test_every_package_is_shipped(self) -> None:
        patterns = tomllib.loads(text("pyproject.toml"))["tool"]["setuptools"]["packages"]["find"]["include"]
        packages = setuptools.find_packages(str(ROOT), include=patterns)
        there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "copier").rglob("__init__.py")}
        assert set(packages) == there

    def test_licence(self) -> None:
        assert project()["license"] == "MIT"
        assert text("LICENSE").startswith("MIT License\n")
        assert "sqlite2pg authors" in text("LICENSE")


def tracked_files() -> list[Path]:
    """Return what is or would be committed; skips outside a git checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return (file and line number, match) over all tracked files of text."""
    found = []
    for path in tracked_files():
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            found += [(f"{path.relative_to(ROOT)}:{number}", match[0]) for match in pattern.finditer(line)]
    return found


class TestTrackedFiles:
    def test_links_go_to_documentation_only(self) -> None:
        for place, link in lines_with(re.compile(r"https?://[^\s\"'`)>\]|]+")):
            site = link.split("/")[2].removeprefix("www.")
            loopback = site.partition(":")[0] in ("127.0.0.1", "localhost")
            assert loopback or site in KNOWN_SITES or link in NAMESPACES, f"{place}: {link}"

    def test_no_path_of_a_machine(self) -> None:
        trees = "|".join(TREES)
        found = lines_with(re.compile(rf"(?<![\w.~}}/-])/(?:{trees})/\w[\w./-]*"))
        assert found == []

    def test_no_package_index_is_named(self) -> None:
        options = "|".join(
            f"{option}[= ]" for option in ("index" + "-url", "trusted" + "-host", "extra-index" + "-url")
        )
        assert lines_with(re.compile(options)) == []
