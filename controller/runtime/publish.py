"""One status write, or none."""
