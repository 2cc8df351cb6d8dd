"""A damaged file: what can be read of it, in a new sound one, and a list of what cannot."""
