"""The sqlite2pg copier."""
