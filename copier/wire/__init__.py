"""Bytes: casts, the binary COPY format and digests, no I/O."""
