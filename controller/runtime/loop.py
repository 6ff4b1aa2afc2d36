"""One controller: its sources, its queue, its workers."""
