"""The kinds of `ray.io/v1`: spec, status, phases, condition types, reasons."""
