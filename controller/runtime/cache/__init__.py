"""What the API server told us: objects and indexes, kept in step by list and watch."""
