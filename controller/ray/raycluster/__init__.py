"""The RayCluster controller: observe, decide, apply, publish."""
