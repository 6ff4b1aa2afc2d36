"""Resource versions: how two of one resource compare (spec runtime RV-1..RV-4). Pure."""

from __future__ import annotations

from controller.runtime.errors import RuntimeProblem

__all__ = ["MalformedVersion", "at_least", "is_valid", "newest", "order"]


class MalformedVersion(RuntimeProblem):
    """Not a version that can be ordered; the resource is opaque: only equality means anything (RV-4)."""

    def __init__(self, text: str) -> None:
        super().__init__(f"resourceVersion {text!r} cannot be ordered")
        self.text = text


def is_valid(text: str) -> bool:
    """A non-empty run of ASCII digits that does not begin with 0."""
    return text.isascii() and text.isdigit() and text[0] != "0"


def order(text: str) -> tuple[int, str]:
    """A sort key: the longer number is the larger one, then text decides. Raises MalformedVersion."""
    if not is_valid(text):
        raise MalformedVersion(text)
    return len(text), text


def at_least(have: str, wanted: str) -> bool:
    """Is `have` as new as `wanted`? Raises MalformedVersion."""
    return order(have) >= order(wanted)


def newest(one: str, other: str) -> str:
    """The later of two; an empty one loses."""
    if not one or not other:
        return one or other
    return max(one, other, key=order)
