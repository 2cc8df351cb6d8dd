"""Source schema, profile and choices -> the plan."""
