"""RayCronJob: a RayJob at each tick of a schedule (docs/spec/rayjob.md §12)."""
