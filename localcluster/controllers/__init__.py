"""What a control plane brings: garbage collection, Jobs, namespaces, endpoints."""
