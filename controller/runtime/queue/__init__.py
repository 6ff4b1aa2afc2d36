"""Keys that wait to be reconciled, and how long a failing one waits."""
