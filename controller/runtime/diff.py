"""Desired and observed to what must change."""
