"""Plain YAML is built right from the parser's events: as the loaders would read it, and many times as fast."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from api.v1.runtime_env import first_document, normalized, parse_runtime_env
from api.v1.serve_config import canonical, parse_serve_config
from api.yamlbuilt import DEEPEST, TooManyValues, Unusual, built
from api.yamltext import QuickLoader

MANY = 1000

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["1e5", "0x1F", "y", "~", "1:30", "2024-01-02", "=", "-", ".5", "null", "a: b", "#", "017", "1_0"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
TEXTS = [
    "",
    "# nothing\n",
    "a: 1\n---\nb: 2\n",
    "a: 1\na: 2\n",
    "1: a\ntrue: b\n1.0: c\n1.5: d\n",
    "[1, 2.0, [3, {a: b}], 'y', \"y\", y]",
    "a: |\n  text\n  more\nb: >-\n  folded\n  text\n",
    "{a, b: }",
    "- - - a\n    - b\n  - c\n",
    "a: 2026-01-01\nb: 1e400\nc: 1.0e+300\nd: 0b11\ne: 1:30\n",
]


def by_loader(text: str) -> Any:
    return normalized(first_document(QuickLoader, text))


def words(event: yaml.ScalarEvent) -> str:
    return str(event.value)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_the_loader_reads_it(text: str) -> None:
    """The runtime environment is, so a list stands under a key of its own."""
    whole = "a:\n" + "".join(f"  {line}\n" for line in text.splitlines()) if text.startswith(("[", "-")) else text

    assert repr(parse_runtime_env(whole)) == repr(by_loader(whole))


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans())
def test_whatever_is_written_comes_back_the_same(value: Any, flow: bool) -> None:
    """In both styles, quoted where it must be."""
    text = yaml.safe_dump({"key": value}, default_flow_style=flow, allow_unicode=True)

    assert repr(parse_runtime_env(text)) == repr(by_loader(text))


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_a_serve_configuration_is_the_same_with_an_anchor_in_it(value: Any) -> None:
    """Which sends it to the loader."""
    text = yaml.safe_dump({"key": value}, allow_unicode=True)

    plain, anchored = parse_serve_config(text), parse_serve_config(f"x: &x 1\n{text}")

    assert canonical(anchored) == canonical({"x": 1, **plain})


@pytest.mark.parametrize("text", ["a: &x 1", "a: *x", "a: {<<: {b: 1}}", "a: !!str 1", "a: ! 1", "&x [1]", "!x {a: 1}"])
def test_what_is_not_plain_is_left_to_the_loaders(text: str) -> None:
    """Nothing is guessed of it."""
    with pytest.raises(Unusual):
        built(text, words, most=MANY)


@pytest.mark.parametrize(
    "text", ["? [a]\n: b", "{[a]: b}", "a: [", "a: b: c", "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "[" * 20_000]
)
def test_what_is_no_yaml_is_refused(text: str) -> None:
    """A key that is no scalar, a text that ends too early, one that nests without end."""
    with pytest.raises(yaml.YAMLError):
        built(text, words, most=MANY)


def test_a_null_is_a_key_only_where_that_is_allowed() -> None:
    """Kubernetes writes it out; Serve refuses it."""

    def nothing(_: yaml.ScalarEvent) -> None:
        return None

    assert built("~: ~", nothing, most=MANY, null_keys=True) == {"null": None}
    with pytest.raises(yaml.YAMLError, match="a key must be a scalar"):
        built("~: ~", nothing, most=MANY)


def test_no_more_is_built_than_was_asked_for() -> None:
    """The limit counts values, not characters."""
    assert len(built("[1,2,3]", words, most=4)) == 3
    with pytest.raises(TooManyValues):
        built("[1,2,3]", words, most=3)


def test_a_mapping_that_is_merged_again_and_again_is_refused() -> None:
    """A thousand mappings that merge a thousand pairs would take seconds, and some fifty megabytes."""
    pairs = ", ".join(f"k{number}: 1" for number in range(MANY))
    text = f"a: &a {{{pairs}}}\n" + "".join(f"b{number}: {{<<: *a}}\n" for number in range(MANY))

    with pytest.raises(yaml.YAMLError, match="merges"):
        first_document(QuickLoader, text)
