"""Cast to inet and cidr."""

from __future__ import annotations

import ipaddress
import re

from copier.wire.cast_base import CastError, Filled

_FORM = re.compile(r"([0-9A-Fa-f.:]+)(?:/(0|[1-9][0-9]{0,2}))?")
_FAMILY_V4, _FAMILY_V6 = 2, 3  # PGSQL_AF_INET and PGSQL_AF_INET6 in PostgreSQL's `inet.h`


def to_inet(v: Filled, cidr: bool = False) -> bytes:
    """Return the payload of inet_send: family, mask bits, whether it is a cidr, address length, address.

    Takes text `address` or `address/bits`, IPv4 of four plain decimal octets or IPv6; with `cidr` the bits right of
    the mask must be zero. CastError otherwise.
    """
    match = _FORM.fullmatch(v) if isinstance(v, str) else None
    if match is None:
        raise CastError("not an IP address")
    try:
        address = ipaddress.ip_address(match.group(1))
    except ValueError:
        raise CastError("not an IP address") from None
    raw = address.packed
    width = 8 * len(raw)
    bits = width if match.group(2) is None else int(match.group(2))
    if bits > width:
        raise CastError("not an IP address")
    if cidr and int.from_bytes(raw) & ((1 << (width - bits)) - 1):
        raise CastError("a network address with bits set to the right of its mask")
    family = _FAMILY_V4 if address.version == 4 else _FAMILY_V6
    return bytes((family, bits, cidr, len(raw))) + raw
