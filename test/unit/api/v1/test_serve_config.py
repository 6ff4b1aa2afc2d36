"""What users write into serveConfigV2 means what it means to the reference."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.serve_config import ServeConfigError, canonical, digest_of, parse_serve_config, routes_of
from localcluster.testing.shaped import UNREADABLE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 100000),
        ("1.0e5", 100000),
        ("3.0e3", 3000),
        ("1.e2", 100),
        (".5e1", 5),
        ("0.25", 0.25),
        ("1.0", 1),
        ("1:30", "1:30"),
        ("1:30:00.5", "1:30:00.5"),
        ("190:20:30", "190:20:30"),
        ("y", True),
        ("N", False),
        ("on", True),
        ("Off", False),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02 10:00:00", "2024-01-02 10:00:00"),
        ("0o17", 15),
        ("017", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("08", 8),
        ("1_000", 1000),
        ("-5", -5),
        ("+7", 7),
        ("!foo 1", "1"),
        ("!foo [1, y]", [1, True]),
        ("!!str 1", "1"),
        ("!!binary aGk=", "hi"),
        ("'1'", "1"),
        ('"y"', "y"),
        ("~", None),
        ("", None),
        ("1.2.3", "1.2.3"),
        ("text", "text"),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_scalars_mean_what_they_mean_to_the_reference(text: str, value: Any) -> None:
    found = parse_serve_config(f"key: {text}\n")["key"]

    assert found == value
    assert type(found) is type(value)


def test_json_with_tabs_is_read_and_a_tab_may_stand_before_a_value() -> None:
    assert parse_serve_config('{\n\t"a": [\n\t\t{"b": 1}\n\t]\n}') == {"a": [{"b": 1}]}
    assert parse_serve_config("a:\t1\n") == {"a": 1}


def test_keys_become_text_and_the_last_of_two_wins() -> None:
    assert parse_serve_config("1: a\ny: b\n2.5: c\na: 1\na: 2\n") == {"1": "a", "true": "b", "2.5": "c", "a": 2}


@pytest.mark.spec("rayservice:E20")
@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "~", "---\n", "---\n---\na: 1\n"])
def test_nothing_is_an_empty_mapping(text: str) -> None:
    assert parse_serve_config(text) == {}


def test_only_the_first_document_counts() -> None:
    assert parse_serve_config("a: 1\n---\nb: [\n") == {"a": 1}


def test_json_is_yaml_and_anchors_and_merges_work() -> None:
    assert parse_serve_config('{"applications": [{"name": "a"}]}') == {"applications": [{"name": "a"}]}
    assert parse_serve_config("a: &x {b: 1}\nc: {<<: *x, d: 2}\n") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}


@pytest.mark.spec("rayservice:E37")
@pytest.mark.parametrize(
    "text", ["[1]", "text", "3", "a: [", "a: b: c", "a: .inf", "a: -.inf", "a: .nan", "? [a]\n: b", "~: a", "a: *x"]
)
def test_what_is_no_mapping_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ServeConfigError, match="serveConfigV2"):
        parse_serve_config(text)


def test_the_same_configuration_has_the_same_digest_however_it_is_written() -> None:
    """Order of keys, comments and spelling are none of Serve's business."""
    one = canonical(parse_serve_config("applications: [{name: a, x: 1.0}]\nproxy_location: HeadOnly\n"))
    other = canonical(
        parse_serve_config('# hi\n{"proxy_location": "HeadOnly", "applications": [{"x": 1, "name": "a"}]}')
    )

    assert one == other
    assert digest_of(one) == digest_of(other)
    assert digest_of(one) != digest_of(canonical({}))


@pytest.mark.parametrize(
    ("text", "routes"),
    [
        ("applications: [{name: a}]", {"/"}),
        ("applications: [{name: a, route_prefix: /a}, {name: b, route_prefix: /b}]", {"/a", "/b"}),
        ("applications: [{name: a, route_prefix: null}]", set()),
        ("applications: nonsense", set()),
        ("applications: [1, {route_prefix: 3}]", set()),
        ("", set()),
    ],
)
def test_routes_are_those_that_applications_ask_for(text: str, routes: set[str]) -> None:
    assert routes_of(parse_serve_config(text)) == routes


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_no_json_can_hold_is_refused_in_no_time(text: str) -> None:
    """A user's text never ends a reconcile or a review with a traceback, nor holds it up."""
    with pytest.raises(ServeConfigError):
        parse_serve_config(text)
