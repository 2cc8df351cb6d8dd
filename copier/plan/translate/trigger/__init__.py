"""Triggers -> PL/pgSQL functions and triggers, where their effect is kept."""
