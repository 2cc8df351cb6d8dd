"""SQLite SQL -> PostgreSQL SQL, where the meaning is kept."""
