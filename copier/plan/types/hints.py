"""What a column's name says about text in it."""

from __future__ import annotations

import re

from copier.plan.types.times import snake

_ADDRESS = re.compile(r"(.+_)?(ip|ipv4|ipv6|ip_addr|ip_address|ipaddress|ipaddr|inet|remote_addr|client_addr)")
_DIGEST = re.compile(
    r".*(hash|md5|sha1|sha256|sha512|digest|checksum|fingerprint|etag|secret|password|token|salt|signature|nonce).*"
)


def is_address_name(name: str) -> bool:
    """Whether a column of this name is likely to hold IP addresses."""
    return _ADDRESS.fullmatch(snake(name)) is not None


def is_digest_name(name: str) -> bool:
    """Whether 32 hex digits in a column of this name are more likely a digest or a secret than a UUID."""
    return _DIGEST.fullmatch(snake(name)) is not None
