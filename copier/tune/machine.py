"""The machine a server is tuned for, as options describe it, and sizes as PostgreSQL writes them."""

from __future__ import annotations

from dataclasses import dataclass

from copier.errors import UsageError
from copier.units import parse_bytes

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TIB = GIB << 10

RAM_BYTES = (256 * MIB, 16 * TIB)
CPUS = (1, 1024)
CONNECTIONS = (10, 10_000)
"""Smallest and largest that are taken; above, PostgreSQL itself refuses some values, or a pooler is the answer."""

DISKS = {"hdd": ("4", "2"), "ssd": ("1.1", "200"), "nvme": ("1.1", "300")}
"""Kind of disk -> random_page_cost, effective_io_concurrency."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the server has for itself. `disk` is a key of DISKS."""

    ram_bytes: int
    cpus: int
    disk: str = "ssd"
    connections: int = 200


def machine(ram: str, cpus: str, disk: str, connections: str) -> Machine:
    """Return the machine these words describe; UsageError, naming the option, when one of them cannot be."""
    try:
        ram_bytes = parse_bytes(ram)
    except ValueError:
        raise UsageError(f"--ram {ram!r} is not a size", hint="write it as 32GB or 512MB") from None
    if not RAM_BYTES[0] <= ram_bytes <= RAM_BYTES[1]:
        raise UsageError(f"--ram {ram} is not the memory of a server", hint="256MB to 16TB can be tuned for")
    if disk not in DISKS:
        raise UsageError(f"--disk {disk!r} is not known", hint=f"one of {', '.join(DISKS)}")
    return Machine(ram_bytes, _whole("--cpus", cpus, CPUS), disk, _whole("--connections", connections, CONNECTIONS))


def _whole(option: str, text: str, limits: tuple[int, int]) -> int:
    digits = text.strip()
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else -1
    if not limits[0] <= number <= limits[1]:
        more = "; more clients than that go through a pooler" if option == "--connections" else ""
        raise UsageError(
            f"{option} {text!r} is not a number it can be", hint=f"{limits[0]} to {limits[1]:,}, a whole number{more}"
        )
    return number


def size_text(n: int) -> str:
    """Return bytes as PostgreSQL writes them, in the largest unit that fits without a rest; whole MB above 1 MB."""
    step = 64 * MIB if n >= GIB else MIB if n >= MIB else KIB
    n -= n % step
    for unit, name in ((GIB, "GB"), (MIB, "MB")):
        if n >= unit and n % unit == 0:
            return f"{n // unit}{name}"
    return f"{n // KIB}kB"
