"""Settings: flags > environment > file, and what is said of a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from copier.cli.settings_file import load
from copier.config import Settings
from copier.errors import UsageError

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_precedence_is_flag_environment_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('jobs = 2\non-reject = "fail"\nschema = "file"\nnames = "snake"\ntables = ["a", "b*"]\n')
    environ = {"SQLITE2PG_SCHEMA": "env", "SQLITE2PG_NAMES": "lower", "SQLITE2PG_EXCLUDE": "x, y"}
    settings, _ = load({"names": "exact", "jobs": None}, config=config, environ=environ)
    assert (settings.names, settings.schema, settings.jobs, settings.on_reject) == ("exact", "env", 2, "fail")
    assert (settings.tables, settings.exclude) == (("a", "b*"), ("x", "y"))


def test_nothing_given_is_the_defaults() -> None:
    settings, _ = load({}, environ={})
    assert settings == Settings()


def test_file_in_this_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "sqlite2pg.toml").write_text('progress = "none"\nverbose = true\nchunk_bytes = "1MiB"\n')
    settings, face = load({}, environ={})
    assert (face.progress, face.verbose, settings.chunk_bytes) == ("none", True, 1 << 20)


def test_other_peoples_variables_count_less_than_our_own_and_more_than_the_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('sqlite = "file.db"\npostgres = "postgresql://file/x"\n')
    environ = {"SQLITE_PATH": "path.db", "DATABASE_URL": "postgresql://url.example/x"}
    settings, _ = load({}, config=config, environ=environ)
    assert settings.sqlite == Path("path.db")
    assert settings.postgres is not None
    assert "url.example" in settings.postgres
    settings, _ = load({}, config=config, environ=environ | {"SQLITE2PG_SQLITE": "own.db"})
    assert settings.sqlite == Path("own.db")
    settings, _ = load({}, config=config, environ={})
    assert "file" in (settings.postgres or "")


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        ("job = 3", "c.toml: job is not a setting", "did you mean jobs?"),
        ('types = "odd"', "c.toml: types: 'odd' is not one of native, faithful", ""),
        ("jobs = 1000", "c.toml: jobs: 1000 cannot be used", "up to 64"),
        ("jobs = ", "c.toml is not TOML", "schema ="),
        ('deep = "perhaps"', "c.toml: deep: 'perhaps' cannot be used", "true or false"),
        ("tables = 3", "c.toml: tables: 3 cannot be used", "separated by commas"),
    ],
)
def test_wrong_file_names_the_key_and_the_choice(tmp_path: Path, line: str, words: str, hint: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(line)
    with pytest.raises(UsageError) as caught:
        load({}, config=config, environ={})
    assert words in str(caught.value)
    assert hint in caught.value.hint


def test_wrong_variable_is_named() -> None:
    with pytest.raises(UsageError, match=r"SQLITE2PG_ORPHANS: 'x' is not one of not-valid, quarantine, fail"):
        load({}, environ={"SQLITE2PG_ORPHANS": "x"})


def test_a_wrong_connection_string_is_told_with_its_origin(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('postgres = "mysql://file"\n')
    wrong = {"DATABASE_URL": "sqlite+aiosqlite:///app.db"}
    for flags, environ, origin in (
        ({"postgres": "mysql://flag"}, wrong, "--postgres: mysql://"),
        ({}, {"SQLITE2PG_POSTGRES": "mysql://own"} | wrong, "SQLITE2PG_POSTGRES: mysql://"),
        ({}, wrong, "DATABASE_URL: sqlite+aiosqlite://"),
        ({}, {}, f"{config}: postgres: mysql://"),
    ):
        with pytest.raises(UsageError, match=re.escape(f"{origin} is not a PostgreSQL connection string")):
            load(flags, config=config, environ=environ)


def test_an_applications_own_database_url_is_in_nobodys_way(tmp_path: Path) -> None:
    """It leads to SQLite as long as nothing is moved: --postgres, and what needs no server, must not mind."""
    environ = {"DATABASE_URL": "sqlite+aiosqlite:///app.db"}
    assert load({"postgres": "postgresql://db/app"}, environ=environ)[0].postgres == "postgresql://db/app"
    assert load({}, environ=environ | {"SQLITE2PG_POSTGRES": "postgresql://db/app"})[0].postgres is not None
    assert load({}, environ=environ, server=False)[0].postgres is None


def test_a_backup_flag_wins_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('no-backup = true\nbackup = "file.db"\n')
    assert load({}, config=config, environ={})[0].backup is None
    settings, _ = load({"backup": Path("flag.db")}, config=config, environ={})
    assert (settings.backup, settings.no_backup) == (Path("flag.db"), False)


def test_every_setting_can_be_given() -> None:
    """A field of Settings that has no key would be unreachable from the command line."""
    from copier.cli.settings_file import _Keys

    keys = {field.alias or name for name, field in _Keys.model_fields.items()}
    assert set(Settings.__dataclass_fields__) <= keys
