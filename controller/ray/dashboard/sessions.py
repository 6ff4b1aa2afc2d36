"""A watched dashboard per cluster."""
