"""Plain YAML, built right from the parser's events: several times as fast as by nodes. Pure.

What people write is mappings, lists and scalars. Tags, anchors, aliases and merges are left to the loaders of
`api.yamltext`: of a text that has one of them this says so, and builds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml

from api.yamltext import key_text

__all__ = ["TooManyValues", "Unusual", "built"]

DEEPEST: Final = 400  # levels; deeper ones end the interpreter's own recursion where they are walked
NO_KEY: Final = object()
MERGE: Final = "<<"

# The loaders' own parser: the one written in C, where PyYAML was built with it.
_Parser: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooManyValues(ValueError):
    """The text has more than its reader asked for."""


class Unusual(Exception):
    """The text has a tag, an anchor, an alias or a merge."""


def built(text: str, plain: Callable[[yaml.ScalarEvent], Any], *, most: int, null_keys: bool = False) -> Any:
    """What the first document of a text holds; None where there is none. `plain` reads scalars without quotes.

    Keys are text, and of repeated ones the last wins. Raises Unusual; TooManyValues for more than `most` values;
    YAMLError for what is no YAML, is nested too deep, or has a key that is no scalar, or null where that is no key.
    """
    parser = _Parser(text)
    builder = _Builder(plain, most, null_keys)
    try:
        while True:
            event = parser.get_event()
            step = _STEPS.get(type(event))
            if step is not None:
                step(builder, event)
            elif type(event) in _LAST:
                return builder.root[0] if builder.root else None
    finally:
        parser.dispose()


class _Builder:
    """A value that grows with each event."""

    def __init__(self, plain: Callable[[yaml.ScalarEvent], Any], most: int, null_keys: bool) -> None:
        self.plain = plain
        self.most = self.left = most
        self.null_keys = null_keys
        self.root: list[Any] = []
        self.into: Any = self.root
        self.key: Any = NO_KEY
        self.around: list[Any] = []  # the containers that are not yet closed, outermost first

    def scalar(self, event: yaml.ScalarEvent) -> None:
        if event.tag is not None or event.anchor is not None:
            raise Unusual
        value: Any = event.value
        if event.implicit[0]:
            if value == MERGE:
                raise Unusual
            value = self.plain(event)
        if self.into.__class__ is dict and self.key is NO_KEY:
            if value is None and not self.null_keys:
                raise _complaint("a key must be a scalar", event)
            self.key = value if value.__class__ is str else key_text(value)
        else:
            self.take(value)

    def opened(self, event: Any) -> None:
        """A mapping or a list begins."""
        if event.tag is not None or event.anchor is not None:
            raise Unusual
        made: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        if self.into.__class__ is dict and self.key is NO_KEY:
            raise _complaint("a key must be a scalar", event)
        if len(self.around) >= DEEPEST:
            raise _complaint(f"this is nested more than {DEEPEST} deep", event)
        self.take(made)
        self.around.append(self.into)
        self.into = made

    def closed(self, _: Any) -> None:
        """It ends."""
        self.into = self.around.pop()

    def alias(self, _: Any) -> None:
        """Somebody else's."""
        raise Unusual

    def take(self, value: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooManyValues(f"more than {self.most} values")
        if self.into.__class__ is dict:
            self.into[self.key] = value
            self.key = NO_KEY
        else:
            self.into.append(value)


def _complaint(words: str, event: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, words, event.start_mark)


_STEPS: Final[Mapping[type[Any], Callable[[_Builder, Any], None]]] = {
    yaml.ScalarEvent: _Builder.scalar,
    yaml.MappingStartEvent: _Builder.opened,
    yaml.SequenceStartEvent: _Builder.opened,
    yaml.MappingEndEvent: _Builder.closed,
    yaml.SequenceEndEvent: _Builder.closed,
    yaml.AliasEvent: _Builder.alias,
}
_LAST: Final = frozenset({yaml.DocumentEndEvent, yaml.StreamEndEvent})
