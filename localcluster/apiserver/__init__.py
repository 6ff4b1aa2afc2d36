"""A small Kubernetes API server: a pure core and its HTTP face."""
