"""Pure builders: from a spec to the objects that should exist."""
