"""`tune`: the values, the reasons, the way back; and real servers that start with what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from fix_postgres import KINDS, find_installation
from hypothesis import given
from hypothesis import strategies as st
from test_packaging import POSTGRESQL_CONF

from copier.cli import main
from copier.errors import UsageError
from copier.postgres.embedded import embedded_server
from copier.tune.fragment import fragment
from copier.tune.here import memory_bytes
from copier.tune.machine import CONNECTIONS, CPUS, DISKS, GIB, MIB, RAM_BYTES, Machine, machine, size_text
from copier.tune.settings import PURPOSES, tune, work_mem_bytes
from copier.units import parse_bytes

PLANNED = Machine(32 * GIB, 8, "ssd", 200)
"""The server of the chat application's migration plan."""

MACHINES = st.builds(
    Machine, st.integers(*RAM_BYTES), st.integers(*CPUS), st.sampled_from(list(DISKS)), st.integers(*CONNECTIONS)
)


def lines(text: str) -> dict[str, str]:
    """Return name -> value of the lines that are no comments; each stands directly below its comment."""
    found = {}
    before = ""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.split(" = ")
            assert name not in found
            assert re.search(r"\((restart|reload)\)$", before), line
            found[name] = value
        before = line
    return found


class TestValues:
    def test_the_planned_server_gets_the_plan(self) -> None:
        assert {one.name: one.value for one in tune(PLANNED)} == POSTGRESQL_CONF

    def test_the_command_prints_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = "tune --ram 32GB --cpus 8 --disk ssd --connections 200"
        assert main(words.split()) == 0
        printed = capsys.readouterr().out
        assert lines(printed) == POSTGRESQL_CONF
        assert "this machine" not in printed
        assert printed == fragment(PLANNED)

    def test_this_machine_is_the_default_and_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["tune"]) == 0
        printed = capsys.readouterr().out
        assert "The memory: as on this machine. The CPUs: as on this machine." in printed
        assert lines(printed)["shared_buffers"] == size_text(memory_bytes() // 4)

    def test_a_control_group_limits_the_memory(self, tmp_path: Path) -> None:
        group, meminfo = tmp_path / "memory.max", tmp_path / "meminfo"
        meminfo.write_text("MemTotal:        8388608 kB\nMemFree:          100 kB\n")
        assert memory_bytes(meminfo, group) == 8 * GIB
        group.write_text("max\n")
        assert memory_bytes(meminfo, group) == 8 * GIB
        group.write_text(f"{2 * GIB}\n")
        assert memory_bytes(meminfo, group) == 2 * GIB
        with pytest.raises(UsageError, match="how much memory"):
            memory_bytes(tmp_path / "none")

    @pytest.mark.parametrize(("cpus", "each"), [(1, "0"), (2, "1"), (4, "1"), (16, "4"), (64, "16")])
    def test_parallel_workers_follow_the_cpus(self, cpus: int, each: str) -> None:
        found = {one.name: one.value for one in tune(Machine(GIB, cpus))}
        assert found["max_parallel_workers"] == str(cpus)
        assert found["max_parallel_workers_per_gather"] == each
        assert found.get("max_worker_processes", "8") == str(max(8, cpus))

    def test_disks(self) -> None:
        costs = {disk: float(lines(fragment(Machine(GIB, 2, disk)))["random_page_cost"]) for disk in DISKS}
        assert costs["hdd"] == 4
        assert costs["ssd"] == costs["nvme"] == 1.1

    @given(MACHINES)
    def test_any_machine_keeps_its_memory(self, one: Machine) -> None:
        found = lines(fragment(one))
        assert parse_bytes(found["shared_buffers"]) <= one.ram_bytes // 4
        assert MIB <= work_mem_bytes(one) == parse_bytes(found["work_mem"])
        if work_mem_bytes(one) > MIB:
            assert work_mem_bytes(one) * one.connections <= one.ram_bytes * 3 // 4 + 1
        for name in ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem"):
            assert re.fullmatch(r"[1-9]\d*(kB|MB|GB)", found[name])

    @given(MACHINES, st.sampled_from(PURPOSES))
    def test_safety_is_never_traded(self, one: Machine, purpose: str) -> None:
        names = {setting.name for setting in tune(one, purpose)}
        assert not names & {"fsync", "full_page_writes", "synchronous_commit", "autovacuum", "data_checksums"}
        assert "minimal" not in {setting.value for setting in tune(one, purpose)}


class TestLoad:
    def test_it_says_only_what_differs_and_needs_no_restart(self) -> None:
        serve = {one.name: one.value for one in tune(PLANNED)}
        load = tune(PLANNED, "load")
        assert {one.name for one in load} == {
            "max_wal_size",
            "checkpoint_timeout",
            "max_parallel_maintenance_workers",
        }
        assert all(serve.get(one.name) != one.value and not one.restart for one in load)

    def test_what_is_set_is_put_back(self) -> None:
        text = fragment(PLANNED, "load")
        assert re.findall(r"^#   ALTER SYSTEM SET (\w+)", text, re.M) == list(lines(text))
        assert re.findall(r"^#   ALTER SYSTEM RESET (\w+);", text, re.M) == list(lines(text))


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--ram", "0"], "--ram 0 is not"),
            (["--ram", "3 bananas"], "'3 bananas' is not a size"),
            (["--ram", "-4GB"], "is not a size"),
            (["--ram", "900PB"], "is not a size"),
            (["--ram", "17TB"], "256MB to 16TB"),
            (["--ram", ""], "is not a size"),
            (["--cpus", "0"], "--cpus '0'"),
            (["--cpus", "2.5"], "--cpus '2.5'"),
            (["--cpus", "٣"], "--cpus '٣'"),
            (["--connections", "9"], "10 to 10,000"),
            (["--connections", "50000"], "go through a pooler"),
            (["--disk", "floppy"], "one of hdd, ssd, nvme"),
            (["--disk", ""], "one of hdd, ssd, nvme"),
            (["--for", "fun"], "one of serve, load"),
            (["--for", ""], "one of serve, load"),
        ],
    )
    def test_a_sentence_and_exit_2(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["tune", *words]) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert "Traceback" not in captured.err
        assert captured.out == ""

    def test_the_machine_s_words(self) -> None:
        assert machine("512MB", " 2 ", "hdd", "50") == Machine(512 * MIB, 2, "hdd", 50)

    def test_a_reader_that_leaves_is_no_error(self) -> None:
        command = [sys.executable, "-m", "copier", "tune"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.close()
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (0, b"")


def unit_bytes(unit: str | None) -> int:
    """Return what one unit of pg_settings is; 1 for plain numbers."""
    found = re.fullmatch(r"(\d*)(B|kB|MB)", unit or "")
    return int(found[1] or 1) * {"B": 1, "kB": 1024, "MB": MIB}[found[2]] if found else 1


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_real_server_starts_with_it(kind: str, purpose: str, reachable_path: Path) -> None:
    installation = find_installation(kind)
    if installation is None:
        pytest.skip(f"no PostgreSQL of kind {kind} on this machine")
    small = Machine(512 * MIB, 2, "nvme" if purpose == "serve" else "hdd", 30)
    settings = tune(small, purpose)
    text = fragment(small, purpose)
    data = reachable_path / "data"
    async with embedded_server(data, version=installation.major, keep=False, settings={"fsync": "off"}):
        pass
    with (data / "postgresql.conf").open("a") as conf:  # after the include, so that these lines win
        conf.write(text)
    async with embedded_server(data, keep=False, settings={"fsync": "off"}) as server:
        conn = await asyncpg.connect(server.dsn())
        try:
            assert conn.get_server_version().major == installation.major
            rows = await conn.fetch("SELECT name, setting, unit, context, sourcefile, pending_restart FROM pg_settings")
            refused = await conn.fetch("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL")
            shown = {one.name: await conn.fetchval("SELECT current_setting($1)", one.name) for one in settings}
        finally:
            await conn.close()
    assert refused == []
    found = {row["name"]: row for row in rows}
    for one in settings:
        row = found[one.name]
        assert Path(row["sourcefile"]).name == "postgresql.conf"
        assert one.restart == (row["context"] == "postmaster"), one.name
        if re.fullmatch(r"\d+(kB|MB|GB)", one.value):
            assert int(row["setting"]) * unit_bytes(row["unit"]) == parse_bytes(one.value), one.name
        else:
            assert shown[one.name] in (one.value, {"1000": "1s"}.get(one.value)), one.name
