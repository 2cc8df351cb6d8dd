"""What `inspect` says of a source."""
