"""The password is in nothing the tool writes, and in nothing other users of the machine can see while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote as url_quote

import asyncpg
import pytest
from fix_postgres import Servers
from fix_proxy import ProxyOf

from copier.errors import TargetUnusable
from copier.plan.names import literal
from copier.postgres.connect import Retry, connect

SECRET = "Zx9@qu:ir/k#y%41 &?=\"'\\é+Vv7"
"""Everything a URL, a shell, a pgpass file or a service file might trip over; `%41` is not to become `A`."""

WRONG = "Wr0ng@pass:w/rd#%42é"
CORE = ("Zx9", "Vv7", "Wr0ng")
"""What is in no other word the tool says, and in every spelling of the passwords."""

BRIEF = Retry(patience_s=0.3, first_wait_s=0.01)


@dataclass(frozen=True, slots=True)
class Said:
    """What one command left behind on its streams."""

    code: int
    output: str
    errors: str


@dataclass(slots=True)
class Place:
    """A directory with a source, and a role with the password."""

    directory: Path
    dsn: str
    """TCP, with scram, without the password."""
    seen: list[str] = field(default_factory=list)
    """Command lines of all processes, watched while the commands ran."""
    said: list[Said] = field(default_factory=list)

    def address(self, password: str = SECRET) -> str:
        return self.dsn.replace("secretive@", f"secretive:{url_quote(password, safe='')}@")

    async def run(self, *words: str, code: int | None = None, look_s: float = 0.2, **environ: str) -> Said:
        """Run a command in the directory, and look at the process list meanwhile, every `look_s`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "copier", *words),
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory / "home"), "LC_ALL": "C.UTF-8", **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        end = asyncio.create_task(process.communicate())
        while not (await asyncio.wait({end}, timeout=look_s))[0]:
            self.seen += command_lines()
        output, errors = await end
        said = Said(process.returncode or 0, output.decode(), errors.decode())
        self.said.append(said)
        assert code is None or said.code == code, said
        return said

    def written(self) -> dict[str, bytes]:
        """Return name -> contents of everything the commands wrote; names count as well."""
        files = {
            str(path): path.read_bytes() + str(path).encode() for path in self.directory.rglob("*") if path.is_file()
        }
        streams = {f"stream {i}": (said.output + said.errors).encode() for i, said in enumerate(self.said)}
        return files | streams | {"process list": "\n".join(self.seen).encode()}


def command_lines() -> list[str]:
    """Return the command line and title of every process but this one."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and int(directory.name) != os.getpid():
            try:
                line = (directory / "cmdline").read_bytes() + b" " + (directory / "comm").read_bytes()
            except OSError:
                continue
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def leaks(written: dict[str, bytes]) -> list[str]:
    """Return the names of what holds one of the passwords, in any spelling."""
    return [name for name, content in written.items() if any(core.encode() in content for core in CORE)]


def make_source(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, at DATETIME, body TEXT)")
        db.executemany(
            "INSERT INTO event (at, body) VALUES ('2024-05-06 07:08:09', ?)", [(f"e {i}" * 40,) for i in range(3000)]
        )
        db.execute("INSERT INTO event (at, body) VALUES ('soon', 'x'), ('never', 'y')")
    db.close()


@pytest.fixture
async def place(pg_dsn: str, pg: asyncpg.Connection, pg_servers: Servers, tmp_path: Path) -> AsyncIterator[Place]:
    database = await pg.fetchval("SELECT current_database()")
    await pg.execute(f"CREATE ROLE secretive LOGIN PASSWORD {literal(SECRET)}")
    await pg.execute(f'ALTER DATABASE "{database}" OWNER TO secretive; ALTER SCHEMA public OWNER TO secretive')
    directory = tmp_path / "work"
    (directory / "home").mkdir(parents=True)
    make_source(directory / "app.db")
    plan = 'format = 1\n[table.event.columns]\nat = { type = "timestamptz", cast = "iso", policy = "reject" }\n'
    (directory / "plan.toml").write_text(plan)
    dsn = pg_servers.get("wheel18").tcp_dsn(database, "secretive", "x").replace(":x@", "@")
    yield Place(directory, dsn)
    await pg.execute(f'ALTER DATABASE "{database}" OWNER TO postgres; ALTER SCHEMA public OWNER TO postgres')
    await pg.execute("DROP OWNED BY secretive CASCADE; DROP ROLE secretive")


async def ledger_text(pg: asyncpg.Connection) -> bytes:
    """Return every row of every table of the ledger."""
    rows = await pg.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'sqlite2pg'::regnamespace AND relkind = 'r'"
    )
    found = [await pg.fetch(f"SELECT t::text FROM sqlite2pg.{row[0]} t") for row in rows]
    assert sum(map(len, found)) > 3
    return "\n".join(row[0] for table in found for row in table).encode()


async def test_verbs_that_work(place: Place, pg: asyncpg.Connection) -> None:
    """Given in every way there is but the command line, which other users can read."""
    by_url = {"DATABASE_URL": place.address()}
    by_variable = {"DATABASE_URL": place.dsn, "PGPASSWORD": SECRET}
    more = ("--debug", "--verbose", "--log-file", "all.log")
    source = ("--sqlite", "app.db", "--plan", "plan.toml")
    await place.run("validate", *source, *more, "--report", "v.json", code=0, **by_url)
    full = ("full", *source, *more, "--report", "f.json", "--script", "f.sql")
    await place.run(*full, code=3, **by_variable)
    await place.run("check", "--sqlite", "app.db", *more, "--report", "c.json", code=3, **by_url)
    await place.run("status", *more, "--json", code=0, **by_variable)
    await place.run("rejects", *more, "--json", code=0, **by_url)
    await place.run("rejects", "--retry", *more, "--report", "r.json", code=3, **by_variable)
    if (await place.run("report", "--help")).code == 0:
        await place.run("report", "f.json", "-o", "f.html", code=0, **by_url)
    written = place.written() | {"ledger": await ledger_text(pg)}
    await place.run("rollback", *more, "--dump", "dump.sql", code=0, look_s=0.005, **by_url)
    written |= place.written()
    assert {Path(name).name for name in written} >= {"f.json", "f.sql", "all.log", "dump.sql", "c.json", "r.json"}
    assert any("-m copier full" in line for line in place.seen)
    assert any("pg_dump" in line for line in place.seen), "its children were watched too"
    assert leaks(written) == []


async def test_runs_that_fail(place: Place, new_proxy: ProxyOf) -> None:
    """Wrong password, host, port and database, a server that goes away: with --debug, in each form of the DSN."""
    where = place.dsn.partition("@")[2].partition("/")[0]
    by_url = place.address()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = by_url.replace(where, f"127.0.0.1:{taken.getsockname()[1]}")
        failing = [
            (5, {"DATABASE_URL": dead}),
            (5, {"DATABASE_URL": place.address(WRONG)}),
            (5, {"DATABASE_URL": place.dsn, "PGPASSWORD": WRONG}),
            (5, {"DATABASE_URL": by_url.replace("127.0.0.1", "no-such-host.invalid")}),
            (5, {"DATABASE_URL": by_url.rpartition("/")[0] + "/nowhere"}),
            (2, {"DATABASE_URL": by_url + "?sslmode=sometimes"}),
            (2, {"DATABASE_URL": by_url + "?sslrootcert=/no/such.pem"}),
            (2, {"DATABASE_URL": f"mysql://secretive:{url_quote(SECRET)}@host/db"}),
            (2, {"DATABASE_URL": f"host=h password='{SECRET} nonsense"}),
        ]
        async with asyncio.TaskGroup() as group:
            for number, (code, environ) in enumerate(failing):
                group.create_task(self_contained(place, number, code, environ))
    async with new_proxy() as proxy:
        proxy.cut_after_bytes = 200_000
        login = f"postgres:{url_quote(SECRET, safe='')}"
        gone = f"postgresql://{login}@127.0.0.1:{proxy.port}/{proxy.database}?sslmode=disable"
        await self_contained(place, 99, 1, {"DATABASE_URL": gone})
        assert proxy.cuts
    assert any("Traceback" in said.errors for said in place.said), "--debug was on"
    assert leaks(place.written()) == []


async def self_contained(place: Place, number: int, code: int, environ: dict[str, str]) -> None:
    """Run `full` on a copy of the source, which it locks, with everything it can write in files of its own."""
    shutil.copy(place.directory / "app.db", place.directory / f"{number}.db")
    files = ("--log-file", f"{number}.log", "--report", f"{number}.json", "--script", f"{number}.sql")
    words = ("full", "--sqlite", f"{number}.db", "--debug", "--verbose", "--no-backup")
    await place.run(*words, *files, code=code, look_s=0.5, **environ)


async def test_on_the_command_line_it_is_hidden_everywhere_else(place: Place) -> None:
    """There other users see it; the tool says so, and still repeats it nowhere."""
    more = ("--sqlite", "app.db", "--debug", "--verbose", "--log-file", "all.log", "--report", "f.json")
    said = await place.run("validate", "--postgres", place.address(), *more, code=0)
    assert "visible to other users" in said.errors
    await place.run("validate", "--postgres", place.address(WRONG), *more, code=5)
    await place.run("validate", "--postgres", place.address(), "--postgress", place.address(), code=2)
    await place.run("validate", place.address(), code=2)
    place.seen.clear()
    assert leaks(place.written()) == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text(f"x {SECRET} y")
    (tmp_path / "url").write_text(f"x {url_quote(SECRET, safe='')} y")
    (tmp_path / "repr").write_text(repr(WRONG))
    (tmp_path / "json").write_text(json.dumps(SECRET))
    (tmp_path / "clean").write_text("x")
    found = leaks(Place(tmp_path, "", said=[Said(0, SECRET, "")]).written())
    assert {Path(name).name for name in found} == {"raw", "url", "repr", "json", "stream 0"}


class TestWhereItMayStand:
    """Files that libpq reads, as asyncpg and the copier read them."""

    @pytest.fixture(autouse=True)
    def clean(self, bare_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def pgpass(self, path: Path, dsn: str, mode: int = 0o600) -> Path:
        escaped = SECRET.replace("\\", "\\\\").replace(":", "\\:")
        port = dsn.partition("@")[2].partition("/")[0].rpartition(":")[2]
        path.write_text(f"# a comment\nother:1:*:*:no\n127.0.0.1:{port}:*:secretive:{escaped}\n", encoding="utf-8")
        path.chmod(mode)
        return path

    async def works(self, dsn: str) -> None:
        connection = await connect(dsn, retry=BRIEF)
        assert await connection.fetchval("SELECT current_user") == "secretive"
        await connection.close()

    async def test_home_and_pgpassfile(self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(TargetUnusable, match="password"):
            await connect(place.dsn, retry=BRIEF)
        file = self.pgpass(tmp_path / "home" / ".pgpass", place.dsn)
        await self.works(place.dsn)
        elsewhere = file.rename(tmp_path / "elsewhere")
        await self.works(f"{place.dsn}?passfile={elsewhere}")
        monkeypatch.setenv("PGPASSFILE", str(elsewhere))
        await self.works(place.dsn)

    async def test_a_pgpass_that_others_can_read_is_not_used(self, place: Place) -> None:
        self.pgpass(place.directory / "home" / ".pgpass", place.dsn, 0o644)
        said = await place.run("validate", "--sqlite", "app.db", code=5, DATABASE_URL=place.dsn)
        assert "permission" in said.errors.lower()
        self.pgpass(place.directory / "home" / ".pgpass", place.dsn)
        await place.run("validate", "--sqlite", "app.db", code=0, DATABASE_URL=place.dsn)
        shutil.rmtree(place.directory / "home")
        assert leaks(place.written()) == []

    async def test_a_service_file(self, place: Place) -> None:
        host, _, rest = place.dsn.partition("@")[2].partition(":")
        port, _, database = rest.partition("/")
        service = place.directory / "services"
        lines = [f"host={host}", f"port={port}", f"dbname={database}", "user=secretive", f"password={SECRET}"]
        service.write_text("\n".join(["[move]", *lines, ""]), encoding="utf-8")
        files = {"PGSERVICEFILE": str(service)}
        words = ("validate", "--sqlite", "app.db", "--log-file", "s.log", "--report", "s.json", "--debug")
        await place.run(*words, code=0, PGSERVICE="move", **files)
        await place.run(*words, "--postgres", "service=move", code=0, **files)
        service.write_text("\n".join(["[move]", *lines[:-1], f"password={WRONG}", ""]), encoding="utf-8")
        await place.run(*words, "--postgres", "service=move", code=5, **files)
        service.unlink()
        assert leaks(place.written()) == []


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PG", "SQLITE2PG_")) or name == "DATABASE_URL"]:
        if name != "SQLITE2PG_ENGINE":
            monkeypatch.delenv(name)
