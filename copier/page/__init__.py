"""One web page for a migration or a load test: self-contained, without scripts, nothing fetched.

`migration` and `loadtest` say what is on it, `charts` draws, `render` fills the templates. No I/O but reading those.
"""
