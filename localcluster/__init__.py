"""Kubernetes on one machine, in one process: to try things, for CI, under every test; never in the image."""
