"""The copiers that stand side by side. Each runs in a process of its own and fills the same table."""
