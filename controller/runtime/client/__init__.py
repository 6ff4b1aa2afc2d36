"""Requests to the API server: the transport seam, credentials, typed calls, a stream of watch events."""
