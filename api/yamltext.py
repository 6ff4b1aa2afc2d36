"""YAML as Kubernetes reads it, which is YAML 1.1 with two exceptions: dates are text, and so are all keys."""

from __future__ import annotations

from typing import Any, Final

import yaml

__all__ = ["Loader", "QuickLoader", "key_text"]

MOST_MERGED: Final = 20_000  # pairs of one text: a thousand mappings that merge a thousand pairs take seconds

# Written in C, as is the reference's parser in Go after the same model; where PyYAML was built without it, in Python.
_Quick: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TextKeys:
    """Keys become text before they meet in one mapping: 1 and true are two keys, not one."""

    _merged = 0  # pairs that merges (`<<`) brought, by aliases of one mapping many times

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See SafeConstructor."""
        loader: Any = self
        written = len(node.value)
        loader.flatten_mapping(node)
        self._merged += max(0, len(node.value) - written)
        if self._merged > MOST_MERGED:
            raise yaml.constructor.ConstructorError(None, None, "its merges bring too many values", node.start_mark)
        return {
            key_text(loader.construct_object(key, deep=True)): loader.construct_object(value, deep=deep)
            for key, value in node.value
        }


class Loader(_TextKeys, yaml.SafeLoader):
    """YAML 1.1 without time stamps (`2026-01-01` is text) and with text keys; errors show the line they mean."""


class QuickLoader(_TextKeys, _Quick):  # type: ignore[misc]
    """The same, many times as fast, and with a limit to nesting; for texts inside of objects."""


for one in (Loader, QuickLoader):
    one.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def key_text(key: Any) -> str:
    """A mapping key as the reference writes it."""
    match key:
        case bool():
            return "true" if key else "false"
        case None:
            return "null"
        case float() if key.is_integer():
            return str(int(key))
        case _:
            return str(key)
