"""Settings of a PostgreSQL server that fit its machine: pure arithmetic, each with its reason."""
