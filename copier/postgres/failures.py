"""What asyncpg and the operating system report about the server, as errors a person can act on.

Nothing here quotes the DSN: messages name host, port, database and role, or repeat the server's own words, which
hold no password.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import asyncpg

from copier.errors import ConnectionLost, CopierError, TargetUnusable, TerminalError, TransientError, UsageError
from copier.postgres.dsn import Dsn, describe

_TRANSIENT_CLASSES = ("08",)
_TRANSIENT_STATES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "53300",  # too_many_connections
        "55P03",  # lock_not_available
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
    }
)
_LOST_INTERFACE = ("closed", "connection is", "released back to the pool", "closing")
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when it is tried again, on a new connection where the old one is gone."""
    if isinstance(error, CopierError):
        return isinstance(error, TransientError)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _TRANSIENT_STATES or state.startswith(_TRANSIENT_CLASSES)
    if isinstance(error, (ssl.SSLCertVerificationError, FileNotFoundError, PermissionError)):
        return False
    if isinstance(error, (OSError, asyncio.TimeoutError)):
        return True
    if isinstance(error, asyncpg.InternalClientError):
        return True  # asyncpg's word for a connection that breaks in the middle of a COPY
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
        return any(word in str(error) for word in _LOST_INTERFACE)
    return isinstance(error, asyncpg.TargetServerAttributeNotMatched)


def is_trouble(error: asyncpg.PostgresError) -> bool:
    """Whether the server could not work for now (disk full, out of memory, cancelled, I/O error).

    That is no word about the statement, which may succeed when it is tried again.
    """
    return (error.sqlstate or "").startswith(("53", "57", "58", "XX"))


def server_words(error: Exception) -> str:
    """Return the server's own words: message and detail in one line."""
    detail = getattr(error, "detail", None)
    return " ".join(filter(None, [str(error.args[0] if error.args else error), detail]))


def translate(error: BaseException, dsn: Dsn, *, password_given: bool = True) -> CopierError:
    """Return the copier's error for a connection that could not be made. Raise it `from None`."""
    if isinstance(error, CopierError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error, dsn, password_given)
    if isinstance(error, (ssl.SSLError, ssl.CertificateError)):
        return _from_tls(error, dsn)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return TargetUnusable(
            f"no server of {describe(dsn)} is of the kind target_session_attrs asks for",
            hint="name the primary, or leave target_session_attrs out",
        )
    if isinstance(error, (OSError, asyncio.TimeoutError)):
        return _from_system(error, dsn)
    if isinstance(error, asyncpg.InterfaceError) and is_transient(error):
        return ConnectionLost(f"the connection to {describe(dsn)} broke", hint="run the same command again")
    return UsageError(f"asyncpg cannot use the connection string for {describe(dsn)}", hint=_without_values(error))


def broken_run(error: BaseException) -> CopierError | None:
    """Return the copier's error for one of asyncpg's that came out of a run under way, None for any other error."""
    if isinstance(error, CopierError) or not isinstance(
        error, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError | ConnectionError
    ):
        return None
    if is_transient(error):
        return ConnectionLost(
            "the connection to PostgreSQL was lost",
            hint="run the same command again: it goes on from what is committed",
        )
    if isinstance(error, asyncpg.PostgresError) and is_trouble(error):
        hint = "mend the cause on the server, then run the same command again: it goes on from what is committed"
    else:
        hint = "--verbose and the server's log say more"
    return TerminalError(f"PostgreSQL refused: {server_words(error)}", hint=hint)


def _without_values(error: BaseException) -> str:
    """asyncpg's sentence where it is known to name options only."""
    text = str(error)
    return text if isinstance(error, asyncpg.InterfaceError) and "sslmode" in text else "check its options"


def _from_server(error: asyncpg.PostgresError, dsn: Dsn, password_given: bool) -> CopierError:
    where, words = describe(dsn), (error.args[0] if error.args else "")
    if isinstance(error, asyncpg.InvalidPasswordError):
        said = "the server refused the password" if password_given else "the server wants a password, and none is given"
        hint = "give it in PGPASSWORD, in ~/.pgpass (which only its owner may read), or in the DSN"
        return TargetUnusable(f"{where}: {said} ({words})", hint=hint)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        hint = (
            "pg_hba.conf on the server decides who may connect from where, and whether TLS is needed (sslmode=require)"
        )
        return TargetUnusable(f"{where}: the server refused the role ({words})", hint=hint)
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return TargetUnusable(
            f"{where}: the database does not exist", hint=f"create it: createdb {dsn.database or ''}".rstrip()
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return TargetUnusable(f"{where}: {words}", hint="GRANT CONNECT ON DATABASE .. TO the role")
    if isinstance(error, asyncpg.TooManyConnectionsError):
        hint = "close other clients, raise max_connections, or use fewer --jobs"
        return ConnectionLost(f"{where}: the server has no connection slot left ({words})", hint=hint)
    if is_transient(error):
        return ConnectionLost(f"{where}: the server does not take connections now ({words})", hint="try again later")
    return TargetUnusable(f"{where}: {words}", hint=getattr(error, "hint", None) or "see the server's log")


def _from_tls(error: BaseException, dsn: Dsn) -> CopierError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TargetUnusable(
            f"{describe(dsn)}: the server's certificate was not accepted: {error.verify_message}",
            hint="sslrootcert must name the certificate of its authority, and the host its name "
            "(sslmode=verify-ca leaves the name unchecked)",
        )
    return TargetUnusable(f"{describe(dsn)}: TLS failed ({getattr(error, 'reason', None) or 'no reason given'})",
                          hint="check sslmode, the certificates, and that this port is PostgreSQL's")  # fmt: skip


def _from_system(error: BaseException, dsn: Dsn) -> CopierError:
    where = describe(dsn)
    number = getattr(error, "errno", None)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return ConnectionLost(f"{where} did not answer in time", hint="check host, port and firewall")
    if isinstance(error, socket.gaierror):
        if number == socket.EAI_AGAIN:
            return ConnectionLost(f"{where}: the name service does not answer now", hint="try again, or use an address")
        return TargetUnusable(f"{where}: no such host", hint="check the host name in the connection string")
    if "rejected SSL upgrade" in str(error):
        return TargetUnusable(f"{where}: the server has no TLS, and sslmode asks for it",
                              hint="set ssl=on on the server, or sslmode=prefer in the connection string")  # fmt: skip
    if isinstance(error, PermissionError):
        return TargetUnusable(f"{where}: no permission to use the socket or a certificate file", hint="check its owner")
    if number in _UNREACHABLE:
        return ConnectionLost(f"{where} cannot be reached", hint="check host, network and firewall")
    if isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return ConnectionLost(f"the connection to {where} broke", hint="see the server's log, then try again")
    return ConnectionLost(
        f"{where}: nothing accepts connections there", hint="is the server running? check host and port"
    )
