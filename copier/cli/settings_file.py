"""Settings of one command: flags > environment > configuration file.

A key is spelled `--on-reject` as a flag, `SQLITE2PG_ON_REJECT` in the environment, and `on-reject` or `on_reject` in
`sqlite2pg.toml`. `SQLITE_PATH`, `DATABASE_URL` and the `PG*` variables are environment too, and come after their
`SQLITE2PG_` forms. An error names the key where it was written, and the choices.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from copier.config import Existing, Level, OnReject, Orphans, Settings
from copier.errors import UsageError
from copier.plan.model import Names, Types
from copier.postgres.dsn import resolve_dsn
from copier.units import parse_bytes

DEFAULT_FILE = Path("sqlite2pg.toml")
PREFIX = "SQLITE2PG_"

_MIN_CHUNK_BYTES = 64 << 10
_MAX_CHUNK_BYTES = 512 << 20
_MAX_JOBS = 64
_MAX_LEDGER_NAME = 63


def _globs(value: Any) -> Any:
    """Accept `a,b`, ["a,b", "c"] and ("a", "b")."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(p, str) for p in parts):
        raise ValueError("write table names or globs, separated by commas")
    return tuple(glob for part in parts for p in part.split(",") if (glob := p.strip()))


def _size(value: Any) -> Any:
    return parse_bytes(value) if isinstance(value, str) else value


def _file_name(value: Any) -> Any:
    if value == "":
        raise ValueError("the file name is empty")
    return value


Globs = Annotated[tuple[str, ...], BeforeValidator(_globs)]
FileName = Annotated[Path, BeforeValidator(_file_name)]


class _Keys(BaseSettings):
    """Every key, whatever command it is for. `load` builds it with one dict per layer, the strongest first."""

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True)

    sqlite: FileName | None = None
    postgres: str | None = None
    target_schema: str = Field("public", alias="schema", min_length=1)
    ledger_schema: str = Field("sqlite2pg", min_length=1, max_length=_MAX_LEDGER_NAME)
    plan: FileName | None = None
    tables: Globs = ()
    exclude: Globs = ()
    types: Types = "native"
    names: Names = "exact"
    existing: Existing = "refuse"
    on_reject: OnReject = "quarantine"
    orphans: Orphans = "not-valid"
    level: Level = "content"
    jobs: int = Field(0, ge=0, le=_MAX_JOBS)
    chunk_bytes: Annotated[int, BeforeValidator(_size)] = Settings().chunk_bytes
    memory_bytes: Annotated[int, BeforeValidator(_size)] = Settings().memory_bytes
    with_rowid: bool = False
    freeze: bool = False
    immutable: bool = False
    sample: int = Field(0, ge=0)
    deep: bool = False
    backup: FileName | None = None
    no_backup: bool = False
    salvage: bool = False
    script: FileName | None = None
    report: FileName | None = None
    progress: Literal["auto", "bar", "json", "none"] = "auto"
    verbose: bool = False
    debug: bool = False
    log_file: FileName | None = None

    @field_validator("chunk_bytes")
    @classmethod
    def _sane_chunk(cls, value: int) -> int:
        if not _MIN_CHUNK_BYTES <= value <= _MAX_CHUNK_BYTES:
            raise ValueError("a chunk is between 64KiB and 512MiB")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the layers `load` passes in place of the sources of pydantic-settings, so that an error can name one."""
        layers: list[dict[str, Any]] = init_settings()["layers"]
        return tuple(InitSettingsSource(settings_cls, init_kwargs=layer) for layer in layers)


@dataclass(frozen=True, slots=True)
class Face:
    """How a command shows itself: what the copier itself never sees."""

    progress: Literal["auto", "bar", "json", "none"] = "auto"
    verbose: bool = False
    debug: bool = False
    log_file: Path | None = None
    """None: the command's default; `Path("none")`: no log."""
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class _Layer:
    """Where some values come from; `name` tells how a key is spelled there."""

    values: dict[str, Any]
    kind: Literal["flag", "environment", "file"]
    path: Path | None = None

    def name(self, key: str) -> str:
        match self.kind:
            case "flag":
                return "--" + key.replace("_", "-")
            case "environment":
                return PREFIX + key.upper()
        return f"{self.path}: {key}"


def load(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    server: bool = True,
) -> tuple[Settings, Face]:
    """Return the settings that `flags` (None: not given), the environment and the configuration file add up to.

    `config` None reads ./sqlite2pg.toml if it is there. Without `server` nothing is read about a PostgreSQL server: an
    application's DATABASE_URL may lead to SQLite. Raises UsageError naming the key and the choices.
    """
    given = {key: value for key, value in flags.items() if value is not None and value != []}
    _settle_backup(given)
    layers = [
        _Layer(given, "flag"),
        _Layer(_from_environment(environ), "environment"),
    ]
    settled = not server or any("postgres" in layer.values for layer in layers)
    layers += [_Layer(_elsewhere(environ, settled), "environment"), _from_file(config)]
    try:
        keys = _Keys(layers=[layer.values for layer in layers])  # type: ignore[call-arg]
    except ValidationError as error:
        raise _as_usage_error(error.errors(include_url=False)[0], layers) from None
    if keys.memory_bytes < keys.chunk_bytes:
        raise UsageError(
            f"--memory-bytes ({keys.memory_bytes:,}) is less than --chunk-bytes ({keys.chunk_bytes:,})",
            hint="the memory must hold at least one chunk",
        )
    origin = next((layer.name("postgres") for layer in layers if "postgres" in layer.values), "")
    postgres = resolve_dsn(keys.postgres, environ, origin=origin) if server and keys.postgres else None
    return _settings(keys, postgres), Face(**{f.name: getattr(keys, f.name) for f in fields(Face)})


def _settings(keys: _Keys, postgres: str | None) -> Settings:
    values = {f.name: getattr(keys, f.name) for f in fields(Settings) if f.name not in ("schema", "postgres")}
    if keys.no_backup:
        values["backup"] = None
    return Settings(**values, schema=keys.target_schema, postgres=postgres)


def _settle_backup(flags: dict[str, Any]) -> None:
    """Let either of the two flags win over both keys of the weaker layers."""
    if "backup" in flags and "no_backup" in flags:
        raise UsageError("--backup and --no-backup exclude each other", hint="give one of them")
    if "backup" in flags:
        flags["no_backup"] = False


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    names = {
        (field.alias or name): PREFIX + (field.alias or name).upper() for name, field in _Keys.model_fields.items()
    }
    return {key: environ[name] for key, name in names.items() if environ.get(name)}


def _elsewhere(environ: Mapping[str, str], settled: bool) -> dict[str, Any]:
    """Return what the variables that belong to others say; of the server nothing where that is settled."""
    postgres = None if settled else resolve_dsn(None, environ)
    found = {"sqlite": environ.get("SQLITE_PATH"), "postgres": postgres}
    return {key: value for key, value in found.items() if value}


def _from_file(config: Path | None) -> _Layer:
    path = config or DEFAULT_FILE
    if config is None and not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where this user may not look
        return _Layer({}, "file", path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="name a file with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", hint='write lines such as: schema = "app"') from None
    return _Layer({key.replace("-", "_"): value for key, value in values.items()}, "file", path)


_HINTS = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "bool_parsing": "write true or false",
    "string_type": "write text in quotes",
    "string_too_short": "write a name",
    "greater_than_equal": "write a number from {ge} on",
    "less_than_equal": "write a number up to {le}",
}


def _as_usage_error(error: ErrorDetails, layers: list[_Layer]) -> UsageError:
    key = str(error["loc"][0])
    layer = next(layer for layer in layers if key in layer.values)
    where, value = layer.name(key), layer.values[key]
    shown = "the value" if key == "postgres" else repr(value)
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            known = [(field.alias or name) for name, field in _Keys.model_fields.items()]
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(sorted(known))}"
            return UsageError(f"{where} is not a setting", hint=hint)
        case "literal_error":
            choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            return UsageError(
                f"{where}: {shown} is not one of {choices}", hint="sqlite2pg COMMAND --help explains each of them"
            )
        case "value_error":
            return UsageError(f"{where}: {shown} cannot be used", hint=str(context["error"]))
    return UsageError(
        f"{where}: {shown} cannot be used", hint=_HINTS.get(error["type"], error["msg"]).format(**context)
    )
