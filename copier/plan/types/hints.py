"""What a column's name, declared type and default say about text in it."""

from __future__ import annotations

import re

from copier.plan.source import SourceColumn
from copier.plan.types.times import snake

_ADDRESS = re.compile(r"(.+_)?(ip|ipv4|ipv6|ip_addr|ip_address|ipaddress|ipaddr|inet|remote_addr|client_addr)")
_DIGEST = re.compile(
    r".*(hash|md5|sha1|sha256|sha512|digest|checksum|fingerprint|etag|secret|password|token|salt|signature|nonce"
    r"|session|cookie|api_?key|access_?key).*|(.+_)?sid"
)
_UUID = re.compile(r"(.*_)?(uuid|guid)(_.+)?|.*[a-z0-9](uuid|guid)")
_ID = re.compile(r"(.+_)?id")
_ORM_UUID = re.compile(r"\s*CHAR(ACTER)?\s*\(\s*32\s*\)\s*", re.I)
"""How SQLAlchemy's Uuid and Django's UUIDField declare themselves in SQLite; an MD5 may be declared so too."""
_DECLARED_UUID = re.compile(r"uuid|guid|uniqueidentifier", re.I)
_RANDOM_16 = re.compile(r"randomblob\s*\(\s*16\s*\)", re.I)
"""Sixteen random bytes: a default that is what gen_random_uuid() gives."""


def is_address_name(name: str) -> bool:
    """Whether a column of this name is likely to hold IP addresses."""
    return _ADDRESS.fullmatch(snake(name)) is not None


def is_digest_name(name: str) -> bool:
    """Whether 32 hex digits in a column of this name are more likely a digest or a secret than a UUID."""
    return _DIGEST.fullmatch(snake(name)) is not None


def says_uuid(column: SourceColumn) -> bool:
    """Whether 32 hex digits without hyphens in this column are UUIDs: by its default, its declared type or its name."""
    if _RANDOM_16.search(column.default or ""):
        return True
    if _DECLARED_UUID.search(column.declared):
        return True
    if is_digest_name(column.name) and not column.name.lower().endswith(("uuid", "guid")):
        return False
    word = snake(column.name)
    return _UUID.fullmatch(word) is not None or (
        _ID.fullmatch(word) is not None and _ORM_UUID.fullmatch(column.declared) is not None
    )
