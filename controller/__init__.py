"""The operator: a controller-runtime that knows nothing of Ray, and the Ray controllers on it."""
