"""The compiled kernel: built where a C compiler is, optional unless asked for.

SQLITE2PG_REQUIRE_NATIVE=1 makes a kernel that cannot be built an error; SQLITE2PG_DISABLE_NATIVE=1 leaves it out.
SQLITE2PG_SANITIZE=1 builds it with the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup

WIRE = Path("copier/wire")


def _asked(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def _extensions() -> list[Extension]:
    required = _asked("SQLITE2PG_REQUIRE_NATIVE")
    if _asked("SQLITE2PG_DISABLE_NATIVE"):
        if required:
            raise SystemExit("SQLITE2PG_REQUIRE_NATIVE and SQLITE2PG_DISABLE_NATIVE contradict each other")
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if required:
            raise SystemExit("the kernel needs Cython to be built, and SQLITE2PG_REQUIRE_NATIVE is set") from None
        return []
    # a product contracted with the following sum would be rounded once instead of twice, unlike Python's
    flags = [] if os.name == "nt" else ["-O3", "-g0", "-ffp-contract=off"]
    links = []
    if _asked("SQLITE2PG_SANITIZE"):
        sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        flags += [*sanitize, "-g", "-O1", "-fno-omit-frame-pointer"]
        links += sanitize
    kernel = Extension(
        "copier.wire.kernel",
        [str(WIRE / "kernel.pyx")],
        depends=[str(part) for part in sorted(WIRE.glob("kernel_*.pxi"))],
        extra_compile_args=flags,
        extra_link_args=links,
    )
    found: list[Extension] = cythonize([kernel], build_dir="build/cython")
    for extension in found:
        extension.optional = not required  # cythonize makes a new object and forgets this
    return found


setup(ext_modules=_extensions())
