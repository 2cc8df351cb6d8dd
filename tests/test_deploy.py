"""The containers' files: they hold what staging runs, and no secrets. Docker itself is not needed."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from fix_postgres import Servers
from test_packaging import POSTGRESQL_CONF

from copier.tune.fragment import fragment
from copier.tune.machine import GIB, Machine
from deploy import pooler
from deploy.state import DATABASE, REPLICATOR, ROLE

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
NODES = ("primary", "standby")


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def settings(content: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) = (.+)$", content, re.M))


@pytest.fixture
def services() -> dict[str, Any]:
    found = yaml.safe_load(text("docker-compose.yml"))["services"]
    assert isinstance(found, dict)
    return found


class TestServers:
    def test_they_are_tuned_by_tune(self) -> None:
        assert text("postgresql.conf") == fragment(Machine(32 * GIB, 8, "ssd", 200))
        assert settings(text("postgresql.conf")) == POSTGRESQL_CONF

    @pytest.mark.parametrize("name", NODES)
    def test_both_use_that_file(self, services: dict[str, Any], name: str) -> None:
        one = services[name]
        assert one["image"] == "postgres:17"
        assert one["command"][:3] == ["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"]
        assert "./postgresql.conf:/etc/postgresql/postgresql.conf:ro" in one["volumes"]
        assert f"{name}:/var/lib/postgresql/data" in one["volumes"]
        assert one["environment"]["NODE_NAME"] == name
        assert (one["environment"]["POSTGRES_USER"], one["environment"]["POSTGRES_DB"]) == (ROLE, DATABASE)
        assert "pg_isready" in one["healthcheck"]["test"][1]

    def test_the_standby_follows_the_primary(self, services: dict[str, Any]) -> None:
        assert services["standby"]["environment"]["UPSTREAM"] == "primary"
        assert services["standby"]["depends_on"]["primary"]["condition"] == "service_healthy"
        assert services["primary"]["environment"]["UPSTREAM"] == "${PRIMARY_UPSTREAM:-}"
        assert f"user={REPLICATOR} " in text("node.sh")
        assert "--write-recovery-conf" in text("node.sh")
        assert f"CREATE ROLE {REPLICATOR} LOGIN REPLICATION" in text("replication.sh")
        assert f"host replication {REPLICATOR} all scram-sha-256" in text("replication.sh")


class TestPooler:
    def test_the_pool_is_that_of_staging(self, services: dict[str, Any]) -> None:
        assert pooler.POOL_FILE == DEPLOY / "pool.ini"
        assert "./pool.ini:/etc/pgbouncer/pool.ini:ro" in services["pgbouncer"]["volumes"]
        assert "cat /etc/pgbouncer/pool.ini" in text("pgbouncer.sh")

    def test_it_is_the_pool_of_the_plan_and_fits_the_server(self) -> None:
        found = settings(text("pool.ini"))
        assert found["pool_mode"] == "transaction"
        assert found["max_client_conn"] == "1000"
        size, reserve = int(found["default_pool_size"]), int(found["reserve_pool_size"])
        assert 100 <= size <= size + reserve <= int(found["max_db_connections"]) <= 200
        assert int(found["max_db_connections"]) < int(POSTGRESQL_CONF["max_connections"])

    def test_enough_files_for_every_connection(self, services: dict[str, Any]) -> None:
        found = settings(text("pool.ini"))
        needed = int(found["max_client_conn"]) + int(found["max_db_connections"])
        assert services["pgbouncer"]["ulimits"]["nofile"] > needed


class TestBeside:
    def test_the_load_generator_goes_through_the_pooler(self, services: dict[str, Any]) -> None:
        one = services["loadtest"]
        assert one["command"] == ["--postgres", f"postgresql://{ROLE}@pgbouncer:6432/{DATABASE}"]
        assert 'ENTRYPOINT ["python", "-m", "loadtest.run"]' in text("loadtest.Dockerfile")
        assert one["build"]["dockerfile"] == "deploy/loadtest.Dockerfile"
        assert "listen_port = 6432" in text("pgbouncer.sh")

    def test_the_tool_goes_past_it(self, services: dict[str, Any]) -> None:
        environment = services["sqlite2pg"]["environment"]
        assert environment["PGHOST"] == "${PRIMARY:-primary}"
        assert (environment["PGUSER"], environment["PGDATABASE"]) == (ROLE, DATABASE)
        assert services["sqlite2pg"]["depends_on"]["primary"]["condition"] == "service_healthy"

    def test_up_starts_neither(self, services: dict[str, Any]) -> None:
        started = {name for name, one in services.items() if "profiles" not in one}
        assert started == {*NODES, "pgbouncer"}

    def test_what_images_copy_is_let_in_and_there(self) -> None:
        let_in = {line[1:] for line in text("loadtest.Dockerfile.dockerignore").splitlines() if line.startswith("!")}
        copied = re.findall(r"^COPY (.+)$", text("loadtest.Dockerfile"), re.M)
        names = {name for line in copied for name in line.split()[:-1]}
        assert names == let_in
        assert all((ROOT / name).exists() for name in names)
        for line in re.findall(r"^COPY (.+)$", text("pgbouncer.Dockerfile"), re.M):
            assert all((DEPLOY / name).exists() for name in line.split()[:-1])

    @pytest.mark.parametrize("name", ["pgbouncer.Dockerfile", "loadtest.Dockerfile"])
    def test_images_run_as_an_ordinary_user(self, name: str) -> None:
        [user] = re.findall(r"^USER (\w+)$", text(name), re.M)
        assert re.search(rf"useradd .*--uid 1000\d {user}\b", text(name))
        assert text(name).index("USER ") < text(name).index("ENTRYPOINT")


class TestSecrets:
    def test_the_password_comes_from_the_environment(self, services: dict[str, Any]) -> None:
        found = [value for one in services.values() for key, value in one["environment"].items() if "PASSWORD" in key]
        assert len(found) == len(services)
        assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in found)
        assert ".env" in (ROOT / ".gitignore").read_text().split()

    def test_ports_are_open_to_this_machine_only(self, services: dict[str, Any]) -> None:
        ports = [port for one in services.values() for port in one.get("ports", ())]
        assert len(ports) == len(set(ports)) == 3
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_volumes_are_declared_and_mounted_files_are_there(self, services: dict[str, Any]) -> None:
        declared = yaml.safe_load(text("docker-compose.yml"))["volumes"]
        for one in services.values():
            for volume in one.get("volumes", ()):
                source = volume.partition(":")[0]
                if source.startswith("./"):
                    assert (DEPLOY / source).is_file(), source
                elif not source.startswith("$"):
                    assert source in declared


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    assert "set -euo pipefail" in path.read_text()


def test_the_pooler_s_script_writes_a_configuration(tmp_path: Path) -> None:
    """Run for real, with its directories moved and PgBouncer replaced by `cat`."""
    script = text("pgbouncer.sh").replace("/run/pooler", str(tmp_path)).replace("/etc/pgbouncer", str(DEPLOY))
    script = script.replace("exec pgbouncer", "exec cat")
    environ = {"PATH": "/usr/bin:/bin", "PRIMARY": "standby", "POSTGRES_PASSWORD": 's3 "cret'}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert "app = host=standby port=5432 dbname=app\n" in done.stdout
    assert done.stdout.endswith(text("pool.ini"))
    users = tmp_path / "userlist.txt"
    assert users.read_text() == '"app" "s3 ""cret"\n'
    assert users.stat().st_mode & 0o777 == 0o600


async def test_the_primary_s_script_makes_the_role_of_the_standbys(
    pg_servers: Servers, pg: asyncpg.Connection, tmp_path: Path
) -> None:
    server = pg_servers.get("wheel18")
    environ = {
        "PATH": f"{server.bin_dir}:/usr/bin:/bin",
        "PGHOST": str(server.socket_dir),
        "PGPORT": str(server.port),
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": "postgres",
        "POSTGRES_PASSWORD": "it's $ecret",
        "PGDATA": str(tmp_path),
    }
    try:
        script = await asyncio.create_subprocess_exec("bash", str(DEPLOY / "replication.sh"), env=environ)
        assert await script.wait() == 0
        assert await pg.fetchval("SELECT rolreplication FROM pg_roles WHERE rolname = $1 AND rolcanlogin", REPLICATOR)
        dsn = server.tcp_dsn("postgres", REPLICATOR, environ["POSTGRES_PASSWORD"])
        await (await asyncpg.connect(dsn)).close()
    finally:
        await pg.execute(f"DROP ROLE IF EXISTS {REPLICATOR}")
    assert (tmp_path / "pg_hba.conf").read_text().startswith(f"host replication {REPLICATOR} ")
