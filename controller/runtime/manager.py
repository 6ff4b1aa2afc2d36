"""The nesting order of everything that runs."""
