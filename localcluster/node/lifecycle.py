"""A pod's phases, pure."""
