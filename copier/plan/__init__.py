"""What will be done: pure functions and frozen data, no I/O."""
