"""The target: the only package that imports asyncpg."""
