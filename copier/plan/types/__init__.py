"""Which PostgreSQL type a column gets, and why."""
