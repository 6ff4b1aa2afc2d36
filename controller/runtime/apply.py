"""A plan's writes to requests, and every one to an outcome."""
