"""The source: the only package that imports aiosqlite."""
