"""The application's queries, asked of SQLite and of the PostgreSQL database it was moved into."""
