"""The controller-runtime: watch, cache, queue, reconcile loop, writes. It knows nothing of Ray."""
