"""Connection strings: where they come from, every form people have, and how to show one without its password.

libpq's URL and keyword forms, SQLAlchemy's `postgresql+driver://`, service files and the options other tools put into
DATABASE_URL are read into a `Dsn`, whose `url` asyncpg and PostgreSQL's own programs both understand. What a DSN leaves
open is taken, as libpq does, from PGHOST, PGPORT, PGUSER and PGDATABASE here, so that messages can name it, and from
PGPASSWORD, PGPASSFILE or ~/.pgpass, PGSSLMODE and the other PGSSL* variables by asyncpg. Service files are read here,
because asyncpg ignores PGSERVICE and unknown services.

Source: PostgreSQL documentation, "Connection Strings", "Parameter Key Words", "The Connection Service File".
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode
from urllib.parse import quote as url_quote

from copier.errors import UsageError
from copier.units import plural

PASSED_ON = frozenset(
    {
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
        "passfile",
        "options",
        "application_name",
    }
)
"""Options beside host, port, user, password and database that asyncpg knows, or the server as a startup parameter."""

_HELP = 'the form is postgresql://USER:PASSWORD@HOST:PORT/DATABASE or "host=.. dbname=.. user=.."'
_NAMES = {"database": "dbname", "ssl": "sslmode"}
_SSL_WORDS = {"true": "require", "1": "require", "on": "require", "false": "disable", "0": "disable", "off": "disable"}
_KEYWORD = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:\\.|[^'\\])*)'|((?:\\.|[^\s'\\])*))(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Dsn:
    """One connection string, taken apart. Its repr holds no secret."""

    hosts: tuple[str, ...] = ()
    """Names, addresses, or directories of unix sockets; () when the environment decides."""
    ports: tuple[int, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """A subset of PASSED_ON."""
    connect_timeout_s: float | None = None
    ignored: tuple[str, ...] = ()
    """Options that have no effect here, to be told."""

    @property
    def url(self) -> str:
        """The DSN as a URL, with its password."""
        return self._render(self.password)

    @property
    def public_url(self) -> str:
        """The DSN as a URL without its password."""
        return self._render(None)

    def _render(self, password: str | None) -> str:
        login = url_quote(self.user or "", safe="")
        login += f":{url_quote(password, safe='')}" if password else ""
        query = {k: v for k, v in self.options.items() if v and (password is not None or k != "sslpassword")}
        sockets = any(host.startswith("/") for host in self.hosts)
        netloc = ""
        if sockets or not self.hosts:
            query |= {"host": ",".join(self.hosts), "port": ",".join(map(str, self.ports))}
        else:
            ports = [f":{port}" for port in self.ports] or [""]
            ports *= len(self.hosts) if len(ports) == 1 else 1
            named = [f"[{host}]" if ":" in host else url_quote(host, safe="") for host in self.hosts]
            netloc = ",".join(host + port for host, port in zip(named, ports, strict=True))
        tail = urlencode({k: v for k, v in query.items() if v}, quote_via=url_quote, safe="/,")
        # without a slash: asyncpg takes an empty path for an empty name, and would not look at PGDATABASE
        path = f"/{url_quote(self.database, safe='')}" if self.database else ""
        return f"postgresql://{login}{'@' if login else ''}{netloc}{path}{'?' if tail else ''}{tail}"


def resolve_dsn(explicit: str | None, environ: Mapping[str, str], *, origin: str = "--postgres") -> str | None:
    """Return the DSN as a URL: `explicit`, else DATABASE_URL, else the PG* variables; None when none is set.

    UsageError when what is found cannot be read; it says where that came from, `origin` for `explicit`.
    """
    if explicit:
        return _told(origin, explicit, environ)
    if url := environ.get("DATABASE_URL"):
        return _told("DATABASE_URL", url, environ, "give --postgres, which comes before it; ")
    if environ.get("PGSERVICE") or environ.get("PGHOSTADDR"):
        found = {"service": environ.get("PGSERVICE", ""), "hostaddr": environ.get("PGHOSTADDR", "")}
        return _told("PGSERVICE" if found["service"] else "PGHOSTADDR", {k: v for k, v in found.items() if v}, environ)
    if environ.get("PGHOST") or environ.get("PGDATABASE"):
        return _told("PGHOST" if environ.get("PGHOST") else "PGDATABASE", "postgresql://", environ)
    return None


def _told(origin: str, found: str | dict[str, str], environ: Mapping[str, str], hint: str = "") -> str:
    try:
        return (parse(found, environ) if isinstance(found, str) else _build(found, environ)).url
    except UsageError as error:
        raise UsageError(f"{origin}: {error}", hint=f"{hint}{error.hint}") from None


def parse(text: str, environ: Mapping[str, str] | None = None) -> Dsn:
    """Read a DSN in any of its forms; UsageError, without the text, when it is none."""
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if separator and re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme, re.I):
        params = _from_url(rest)
    elif not separator and "=" in text:
        params = _from_keywords(text)
    else:
        shown = f"{scheme}:// is" if separator and re.fullmatch(r"[\w+.-]{1,30}", scheme) else "this is"
        raise UsageError(f"{shown} not a PostgreSQL connection string", hint=_HELP)
    return _build(params, os.environ if environ is None else environ)


def redact(text: str) -> str:
    """Return the DSN with every password replaced by `***`; any text will do, readable or not."""
    head, separator, rest = text.partition("://") if "://" in text else ("", "", text)
    rest = re.sub(r"^([^:@]*):.*@", r"\1:***@", rest, flags=re.S)  # to the last @: hide too much rather than too little
    text = head + separator + rest
    text = re.sub(r"(?i)((?:ssl)?password\s*=\s*)'(?:\\.|[^'\\])*'?", r"\1***", text)
    return re.sub(r"(?i)((?:ssl)?password\s*=\s*)(?!\*\*\*)(?:\\.|[^\s&\\])+", r"\1***", text)


def describe(dsn: Dsn | str) -> str:
    """Return `database app at db.example:5432 as bob` for people; what the environment decides is left out."""
    one = parse(dsn) if isinstance(dsn, str) else dsn
    words = [f"database {one.database}" if one.database else "the default database"]
    if one.hosts:
        ports = one.ports * len(one.hosts) if len(one.ports) == 1 else one.ports or (5432,) * len(one.hosts)
        words.append("at " + ", ".join(f"{host}:{port}" for host, port in zip(one.hosts, ports, strict=True)))
    if one.user:
        words.append(f"as {one.user}")
    return " ".join(words)


def _split_login(rest: str) -> tuple[str | None, str]:
    """Split `user:password@host/db?..`, also where the password holds an unescaped `@`, `/`, `?` or `#`."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        cut = authority.rindex("@")
        return rest[:cut], rest[cut + 1 :]
    port = authority.rpartition(":")[2] if ":" in authority else ""
    if "@" in rest and port and not port.isdigit() and "," not in authority:
        cut = rest.rindex("@")
        return rest[:cut], rest[cut + 1 :]
    return None, rest


def _from_url(rest: str) -> dict[str, str]:
    login, tail = _split_login(rest)
    tail, _, query = tail.partition("?")
    hostspec, _, path = tail.partition("/")
    if "@" in path or (query and not all("=" in part for part in query.split("&"))):
        raise UsageError(
            "the connection string cannot be read: there are @ or ? signs that may belong to the password",
            hint="write @ / ? # as %40 %2F %3F %23 in user names, passwords and database names",
        )
    params: dict[str, str] = {}
    if login is not None:
        user, colon, password = login.partition(":")
        params["user"] = unquote(user)
        if colon:
            params["password"] = unquote(password)
    params["dbname"] = unquote(path)
    params |= _from_hostspec(hostspec)
    # `+` is a plus sign in libpq's URLs, not a space
    params |= {_NAMES.get(k, k): v for k, v in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)}
    return {k: v for k, v in params.items() if v}


def _from_hostspec(text: str) -> dict[str, str]:
    hosts, ports = [], []
    for part in text.split(",") if text else ():
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::(\d*))?", part)
        if match is None:
            raise UsageError("the host or port in the connection string cannot be read", hint=_HELP)
        hosts.append(unquote(match.group(1) or match.group(2)))
        ports.append(match.group(3) or "")
    if any(ports):
        return {"host": ",".join(hosts), "port": ",".join(port or "5432" for port in ports)}
    return {"host": ",".join(hosts)}


def _from_keywords(text: str) -> dict[str, str]:
    params, at = {}, 0
    while at < len(text):
        match = _KEYWORD.match(text, at)
        if match is None:
            raise UsageError("the connection string has a part that is not keyword=value", hint=_HELP)
        raw = match.group(2) if match.group(2) is not None else match.group(3)
        params[_NAMES.get(match.group(1), match.group(1))] = re.sub(r"\\(.)", r"\1", raw)
        at = match.end()
    return {k: v for k, v in params.items() if v}


def _build(params: dict[str, str], environ: Mapping[str, str]) -> Dsn:
    if "service" in params:
        params = _service(params["service"], environ) | params
    port = "the port in the connection string" if "port" in params else "the port in PGPORT"
    params = _from_variables(params, environ) | params
    known = {"host", "hostaddr", "port", "user", "password", "dbname", "connect_timeout", "service"}
    options = {k: v for k, v in params.items() if k in PASSED_ON}
    if "sslmode" in options:
        options["sslmode"] = _SSL_WORDS.get(options["sslmode"].lower(), options["sslmode"])
    ignored = [k for k in params if k not in known and k not in PASSED_ON]
    host = params.get("host", "")
    if "hostaddr" in params:
        if host and options.get("sslmode") == "verify-full":
            ignored.append("hostaddr")  # the certificate is checked against the name we connect to
        else:
            host = params["hostaddr"]
    hosts = tuple(part.strip() for part in host.split(",") if part.strip())
    return Dsn(
        hosts,
        _ports(params.get("port", ""), len(hosts), port),
        params.get("user"),
        params.get("password"),
        params.get("dbname"),
        options,
        _timeout_s(params.get("connect_timeout", "")),
        tuple(sorted(ignored)),
    )


def _from_variables(params: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """PG* variables for what the DSN leaves open, so that messages name the server and the database they lead to."""
    found = {"dbname": "PGDATABASE", "user": "PGUSER"}
    if "host" not in params and "hostaddr" not in params:
        found |= {"host": "PGHOST", "port": "PGPORT"}
    elif "," not in environ.get("PGPORT", ""):
        found |= {"port": "PGPORT"}
    return {key: environ[name] for key, name in found.items() if environ.get(name)}


def _ports(text: str, hosts: int, what: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and 0 < int(part) < 65536 for part in parts):
        raise UsageError(f"{what} is not a number from 1 to 65535", hint=_HELP)
    if len(parts) > 1 and len(parts) != hosts:
        raise UsageError(f"the connection string has {len(parts)} ports for {plural(hosts, 'host')}", hint=_HELP)
    return tuple(map(int, parts))


def _timeout_s(text: str) -> float | None:
    """0 and negative mean without limit in libpq; here the default applies."""
    return float(text) if text.isdigit() and int(text) > 0 else None


def _service(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    user_file = environ.get("PGSERVICEFILE") or str(Path(environ.get("HOME", "/")) / ".pg_service.conf")
    system_file = Path(environ.get("PGSYSCONFDIR", "/etc/postgresql-common")) / "pg_service.conf"
    for path in (Path(user_file), system_file):
        reader = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        try:
            reader.read(path)
        except (configparser.Error, OSError, UnicodeDecodeError):
            raise UsageError(
                f"the service file {path} cannot be read", hint="each line is [name] or key=value"
            ) from None
        if reader.has_section(name):
            return {_NAMES.get(k, k): v.strip() for k, v in reader.items(name) if v.strip()}
    raise UsageError(f"service {name!r} is in no service file", hint=f"looked in {user_file} and {system_file}")
