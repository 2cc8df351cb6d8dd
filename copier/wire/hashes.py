"""The hash functions of the row digest, for compiled code: those of the xxhash module itself, where it shows them."""

from __future__ import annotations

import ctypes
from functools import cache

import xxhash

_PROOF = bytes(range(256)) * 5
_SIZES = (0, 1, 3, 8, 16, 17, 128, 129, 240, 241, 1280)
"""xxh3 works differently in each of these ranges of lengths."""


class _Hash128(ctypes.Structure):
    _fields_ = (("low", ctypes.c_uint64), ("high", ctypes.c_uint64))


@cache
def find_hashes() -> tuple[int, int] | None:
    """Return the addresses of XXH3_128bits and XXH3_64bits; None where they are not shown, or do not agree."""
    try:
        library = ctypes.CDLL(xxhash._xxhash.__file__)  # type: ignore[attr-defined]
        wide, narrow = library.XXH3_128bits, library.XXH3_64bits
    except (AttributeError, OSError):
        return None
    wide.restype, narrow.restype = _Hash128, ctypes.c_uint64
    wide.argtypes = narrow.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    for size in _SIZES:
        found = wide(_PROOF, size)
        expected = xxhash.xxh3_128_intdigest(_PROOF[:size]), xxhash.xxh3_64_intdigest(_PROOF[:size])
        if (found.high << 64 | found.low, narrow(_PROOF, size)) != expected:
            return None
    pointers = (ctypes.cast(one, ctypes.c_void_p).value or 0 for one in (wide, narrow))
    return next(pointers), next(pointers)
