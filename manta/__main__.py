"""Placeholder replaced below."""


def main() -> None:
    """Not there yet."""
