"""runtimeEnvYAML as users write it -> JSON as Ray takes it (spec rayjob §8.8).

Read leniently, as the reference does: of repeated keys the last wins, only the first document counts, dates stay
text, keys that are no text become text, and a number of integral value loses its decimal point.
"""

from __future__ import annotations

from typing import Any

import yaml

from api.meta import Json
from api.yamltext import Loader

__all__ = ["RuntimeEnvError", "parse_runtime_env"]


class RuntimeEnvError(ValueError):
    """The text is no YAML mapping."""


def parse_runtime_env(text: str) -> Json | None:
    """The mapping; None for an empty, blank, comment-only or null text. Raises RuntimeEnvError."""
    loader = Loader(text)
    try:
        content = loader.get_data() if loader.check_data() else None  # type: ignore[no-untyped-call]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise RuntimeEnvError(f"failed to unmarshal RuntimeEnvYAML: {text}: {one_line(error)}") from error
    finally:
        loader.dispose()
    if content is None:
        return None
    if not isinstance(content, dict):
        raise RuntimeEnvError(f"failed to unmarshal RuntimeEnvYAML: {text}: not a mapping")
    normal = normalized(content)
    assert isinstance(normal, dict)
    return normal


def normalized(value: Any) -> Any:
    """JSON-ready: integral numbers are integers."""
    match value:
        case dict():
            return {key: normalized(member) for key, member in value.items()}
        case list() | tuple():
            return [normalized(member) for member in value]
        case float() if value.is_integer() and abs(value) < 2**63:
            return int(value)
        case _:
            return value


def one_line(error: Exception) -> str:
    """A YAML error without its line breaks."""
    return " ".join(str(error).split())
