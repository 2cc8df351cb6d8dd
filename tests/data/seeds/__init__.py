"""One module per application; each has `build(path, rows, seed=, dirt=) -> Expected`."""

from . import chat, liaizen, osrs, shadowrealms, truths

APPLICATIONS = {module.__name__.rpartition(".")[2]: module for module in (shadowrealms, chat, liaizen, truths, osrs)}
"""Name -> module."""
