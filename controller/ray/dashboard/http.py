"""One request to a Ray dashboard."""
