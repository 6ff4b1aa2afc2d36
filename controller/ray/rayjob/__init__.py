"""The RayJob controller: observe, decide, apply, publish."""
