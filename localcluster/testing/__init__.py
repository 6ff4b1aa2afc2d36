"""A cluster for stories, short factories, and a stand-in for the Ray dashboard."""
