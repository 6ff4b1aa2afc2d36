"""Where in a YAML text each field stands; and which texts say more than anybody should read. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import yaml

__all__ = ["Place", "Steps", "checked", "places_in", "repeated_in"]

Steps: TypeAlias = tuple[str | int, ...]

DEEPEST: Final = 100  # an object of Ray's nests some twenty deep
MOST_BY_ALIASES: Final = 100_000  # values; what is more and ten times what is written is no use of aliases
TIMES: Final = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands in a file, from its key to the end of its value or of the line; counted from 1."""

    line: int
    column: int
    end: int
    text: int = 0  # the line on which a text begins that stands there as it is (`|`); 0: none does


def checked(root: yaml.Node) -> yaml.Node:
    """The node, if everything under it can be walked: aliases as often as they are named, and not for ever.

    Raises MarkedYAMLError.
    """
    sizes: dict[int, int] = {}
    open_: list[yaml.Node] = []

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if any(node is one for one in open_):
            raise complaining(node, "an alias stands within what it stands for")
        if len(open_) >= DEEPEST:
            raise complaining(node, f"this is nested more than {DEEPEST} deep")
        open_.append(node)
        sizes[id(node)] = 1 + sum(size(one) for one in below(node))
        open_.pop()
        return sizes[id(node)]

    whole = size(root)
    if whole > MOST_BY_ALIASES and whole > TIMES * len(sizes):
        raise complaining(root, f"its aliases stand for {whole} values")
    return root


def below(node: yaml.Node) -> Iterator[yaml.Node]:
    """Keys, values and items right under it. Raises MarkedYAMLError for a key that no JSON can have."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise complaining(key, "a key is no text")
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def complaining(node: yaml.Node, words: str) -> yaml.MarkedYAMLError:
    """An error at a node."""
    return yaml.MarkedYAMLError(None, None, words, node.start_mark)


def repeated_in(root: yaml.Node) -> Mapping[Steps, Place]:
    """What its mapping has twice, with the second place. To be asked before merges (`<<`) are resolved."""
    repeated: dict[Steps, Place] = {}
    for path, node in walked(root):
        if isinstance(node, yaml.MappingNode):
            here = set()
            for key, value in node.value:
                if key.value in here:
                    repeated[*path, str(key.value)] = from_to(key, value)
                here.add(key.value)
    return repeated


def places_in(root: yaml.Node) -> dict[Steps, Place]:
    """The place of every field under the node. Asked after merges are resolved, it knows what they brought, too."""
    places: dict[Steps, Place] = {(): from_to(root, root)}
    for path, node in walked(root):
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                places[*path, str(key.value)] = from_to(key, value)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                places[*path, index] = from_to(item, item)
    return places


def walked(root: yaml.Node) -> Iterator[tuple[Steps, yaml.Node]]:
    """Every mapping and list with its path, in the order of the text."""
    waiting: list[tuple[Steps, yaml.Node]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        inside: list[tuple[Steps, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            inside = [((*path, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inside = [((*path, index), item) for index, item in enumerate(node.value)]
        waiting += [one for one in reversed(inside) if not isinstance(one[1], yaml.ScalarNode)]


def from_to(first: yaml.Node, last: yaml.Node) -> Place:
    """From the one to the other; no further than the first line."""
    start, end = first.start_mark, last.end_mark
    as_it_is = isinstance(last, yaml.ScalarNode) and last.style == "|"
    return Place(
        start.line + 1,
        start.column + 1,
        end.column + 1 if end.line == start.line else sys.maxsize,
        last.start_mark.line + 2 if as_it_is else 0,
    )
