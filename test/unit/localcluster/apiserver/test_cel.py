"""CEL rules: when they run, what they say, and which do not compile."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.apiserver.cel import RuleError, compile_rules
from localcluster.apiserver.schema import Found

SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "min": {"type": "integer"},
        "max": {"type": "integer"},
        "title": {"type": "string"},
        "frozen": {
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "frozen is immutable"}],
        },
    },
}


def told(schema: dict[str, Any], value: Any, old: Any = None) -> list[tuple[str, str, str]]:
    """(reason, field, message) of the rules that do not hold."""
    rules = compile_rules({"type": "object", "properties": {"spec": schema}})
    assert rules is not None
    found: Found = []
    rules({"spec": value}, {"spec": old}, old is not None, None, found)
    return [(cause.reason, cause.field, cause.message) for _, cause in found]


def with_rule(**rule: Any) -> dict[str, Any]:
    return {**SPEC, "x-kubernetes-validations": [rule]}


@pytest.mark.spec("kube-api:VAL-8")
def test_a_rule_that_does_not_hold_is_told_at_its_place() -> None:
    """The value shown is the name of its type."""
    schema = with_rule(
        rule="!has(self.min) || !has(self.max) || self.min <= self.max", message="min must not exceed max"
    )

    assert told(schema, {"min": 1, "max": 2}) == []
    assert told(schema, {"min": 5, "max": 2}) == [
        ("FieldValueInvalid", "spec", "Invalid value: min must not exceed max")
    ]


@pytest.mark.spec("kube-api:VAL-8")
def test_reason_message_and_place_can_be_chosen() -> None:
    """fieldPath is appended, messageExpression evaluated."""
    schema = with_rule(
        rule="self.title != 'bad'",
        messageExpression="'title is ' + self.title",
        reason="FieldValueForbidden",
        fieldPath=".title",
    )

    assert told(schema, {"title": "bad"}) == [("FieldValueForbidden", "spec.title", "Forbidden: title is bad")]


@pytest.mark.spec("kube-api:VAL-8")
@pytest.mark.parametrize(
    ("new", "old", "refused"),
    [
        ({"frozen": "x"}, None, False),
        ({"frozen": "x"}, {"frozen": "x"}, False),
        ({"frozen": "y"}, {"frozen": "x"}, True),
        ({}, {"frozen": "x"}, False),
        ({"frozen": "y"}, {}, False),
    ],
)
def test_a_transition_rule_runs_only_between_two_values(new: Any, old: Any, refused: bool) -> None:
    """To remove an immutable field, or to add it, is no transition."""
    assert bool(told(SPEC, new, old)) is refused


def test_items_of_a_list_map_are_compared_by_their_keys() -> None:
    """Not by their places."""
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "message": "may not shrink"}],
    }
    schema = {"type": "array", "items": item, "x-kubernetes-list-map-keys": ["name"]}
    old = [{"name": "a", "size": 1}, {"name": "b", "size": 5}]

    assert told(schema, [{"name": "b", "size": 5}, {"name": "a", "size": 1}], old) == []
    assert [field for _, field, _ in told(schema, [{"name": "b", "size": 4}], old)] == ["spec[0]"]


def test_items_of_a_plain_list_have_no_past() -> None:
    """So their transition rules never run."""
    item = {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}

    assert told({"type": "array", "items": item}, [1], [5]) == []


def test_rules_see_the_whole_of_self_when_they_ask_for_it() -> None:
    """Members are handed over one by one only if all are named."""
    schema = {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(key, self[key] > 0)", "message": "positive"}],
    }

    assert told(schema, {"a": 1, "b": 2}) == []
    assert len(told(schema, {"a": 1, "b": -2})) == 1


def test_the_word_self_within_a_text_means_nothing() -> None:
    """Rules are looked at, not searched."""
    schema = with_rule(rule="self.title != 'oldSelf.zork'", message="m")

    assert told(schema, {"title": "x"}) == []
    assert len(told(schema, {"title": "oldSelf.zork"})) == 1


def test_a_rule_that_fails_while_it_runs_does_not_hold() -> None:
    """An absent member without has() is an error, and the object is refused."""
    schema = with_rule(rule="self.min > 1", message="m")

    assert len(told(schema, {})) == 1


@pytest.mark.spec("kube-api:CRD-3")
def test_an_unknown_member_of_self_does_not_compile() -> None:
    """With the place in the rule, as the server shows it."""
    with pytest.raises(RuleError) as refused:
        compile_rules(with_rule(rule="self.nope == 1"), "spec.validation.openAPIV3Schema")

    arrow = " | self.nope == 1\n | ....^"
    assert str(refused.value) == f"compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n{arrow}"
    assert refused.value.where == "spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule"


def test_what_is_no_cel_does_not_compile() -> None:
    """The library's own words follow."""
    with pytest.raises(RuleError, match="compilation failed: ERROR: <input>:1:"):
        compile_rules(with_rule(rule="self.min >"))


def test_a_schema_without_rules_costs_nothing() -> None:
    """There is nothing to run."""
    assert compile_rules({"type": "object", "properties": {"a": {"type": "string"}}}) is None
