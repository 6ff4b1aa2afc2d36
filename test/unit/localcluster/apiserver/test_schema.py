"""Structural schemas: what shaping drops and fills in, what checking finds."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.apiserver.schema import Found, compile_check, value_at
from localcluster.apiserver.shaping import compile_shape


def shaped(schema: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    """The value as shaping leaves it, and what it dropped."""
    unknown: list[str] = []
    shape = compile_shape({"type": "object", "properties": {"spec": schema}}, root=True)
    assert shape is not None
    return shape({"spec": value}, None, unknown).get("spec"), unknown


def wrong(schema: dict[str, Any], value: Any) -> list[tuple[str, str, str]]:
    """(reason, field, message) of all that is wrong with the value."""
    found: Found = []
    check = compile_check({"type": "object", "properties": {"spec": schema}}, root=True)
    if check is not None:
        check({"spec": value}, None, found)
    return [(cause.reason, cause.field, cause.message) for _, cause in found]


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TEXT = {"type": "string"}


@pytest.mark.spec("kube-api:VAL-12")
def test_unknown_fields_are_dropped_and_named() -> None:
    """At every depth, lists included."""
    schema = an_object(known=TEXT, items={"type": "array", "items": an_object(name=TEXT)})

    value, unknown = shaped(schema, {"known": "a", "zork": 1, "items": [{"name": "b", "q": 1}]})

    assert value == {"known": "a", "items": [{"name": "b"}]}
    assert unknown == ["spec.zork", "spec.items[0].q"]


@pytest.mark.spec("kube-api:VAL-12")
def test_nothing_is_unknown_where_unknown_fields_are_preserved() -> None:
    """Known fields below are still shaped."""
    schema = {**an_object(known=an_object(a=TEXT)), "x-kubernetes-preserve-unknown-fields": True}

    value, unknown = shaped(schema, {"x": {"y": None}, "known": {"a": "1", "b": 2}})

    assert value == {"x": {"y": None}, "known": {"a": "1"}}
    assert unknown == ["spec.known.b"]


@pytest.mark.spec("kube-api:VAL-12")
def test_defaults_are_filled_in_where_their_parent_is() -> None:
    """A parent with a default of its own brings those below it along."""
    schema = an_object(
        mode={**TEXT, "default": "Auto"},
        nested={**an_object(level={"type": "integer", "default": 3}), "default": {}},
        absent=an_object(level={"type": "integer", "default": 3}),
        items={"type": "array", "items": an_object(name=TEXT, proto={**TEXT, "default": "TCP"})},
    )

    value, _ = shaped(schema, {"items": [{"name": "a"}]})

    assert value == {"mode": "Auto", "nested": {"level": 3}, "items": [{"name": "a", "proto": "TCP"}]}


def test_a_default_is_not_shared_between_objects() -> None:
    """Or a change of one would change all that come later."""
    schema = an_object(nested={**an_object(names={"type": "array", "items": TEXT}), "default": {"names": []}})

    first, _ = shaped(schema, {})
    first["nested"]["names"].append("x")

    assert shaped(schema, {})[0] == {"nested": {"names": []}}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({**TEXT, "nullable": True}, None, {"a": None}),
        ({**TEXT, "default": "d"}, None, {"a": "d"}),
        (TEXT, None, {}),
        ({**TEXT, "nullable": True, "default": "d"}, None, {"a": None}),
    ],
)
def test_a_null_stays_is_replaced_or_goes(schema: dict[str, Any], value: Any, expected: Any) -> None:
    """Nullable, with a default, or neither."""
    assert shaped(an_object(a=schema), {"a": value})[0] == expected


@pytest.mark.spec("kube-api:VAL-2")
def test_three_point_nought_is_stored_as_three() -> None:
    """Go's JSON knows no difference."""
    value, _ = shaped(an_object(a={"type": "integer"}), {"a": 3.0})

    assert type(value["a"]) is int
    assert wrong(an_object(a={"type": "integer"}), value) == []


@pytest.mark.spec("kube-api:VAL-10")
def test_the_metadata_of_an_embedded_object_is_typed_and_its_type_required() -> None:
    """Even where all else is preserved."""
    schema = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}

    value, unknown = shaped(schema, {"kind": "X", "metadata": {"name": "a", "zork": 1}, "spec": {"any": 1}})

    assert (value["metadata"], unknown) == ({"name": "a"}, ["spec.metadata.zork"])
    assert wrong(schema, value) == [("FieldValueRequired", "spec.apiVersion", "Required value")]


@pytest.mark.spec("kube-api:VAL-2")
@pytest.mark.parametrize(
    ("kind", "value", "actual"),
    [
        ("integer", "3", "string"),
        ("integer", True, "boolean"),
        ("string", 5, "integer"),
        ("array", {}, "object"),
        ("object", [], "array"),
        ("boolean", "yes", "string"),
        ("number", "1", "string"),
    ],
)
def test_a_wrong_type_is_told_with_the_one_found(kind: str, value: Any, actual: str) -> None:
    """By its JSON name."""
    message = f'Invalid value: "{actual}": spec.a in body must be of type {kind}: "{actual}"'

    assert wrong(an_object(a={"type": kind}), {"a": value}) == [("FieldValueTypeInvalid", "spec.a", message)]


@pytest.mark.spec("kube-api:VAL-2")
@pytest.mark.parametrize("value", [3.5, 2**63])
def test_what_is_no_integer_but_a_number_is_told_twice(value: Any) -> None:
    """What does not fit into 64 bits is a number."""
    assert wrong(an_object(a={"type": "integer"}), {"a": value}) == [
        (
            "FieldValueTypeInvalid",
            "spec.a",
            'Invalid value: "number": spec.a in body must be of type integer: "number"',
        ),
        (
            "FieldValueInvalid",
            "<nil>",
            'Invalid value: "": Checked value must be of type integer (default format) in spec.a',
        ),
    ]


@pytest.mark.spec("kube-api:VAL-2")
@pytest.mark.parametrize(
    ("value", "actual"), [(1, ""), ("http", ""), (1.5, "number"), ({}, "object"), (True, "boolean")]
)
def test_an_int_or_string_is_either(value: Any, actual: str) -> None:
    """It needs no type in the schema."""
    told = [message for _, _, message in wrong(an_object(a={"x-kubernetes-int-or-string": True}), {"a": value})]

    expected = f'Invalid value: "{actual}": spec.a in body must be of type integer,string: "{actual}"'
    assert told == ([expected] if actual else [])


@pytest.mark.spec("kube-api:VAL-3", "kube-api:VAL-5", "kube-api:VAL-6")
@pytest.mark.parametrize(
    ("schema", "value", "reason", "message"),
    [
        (
            {**TEXT, "enum": ["Auto", "Manual"]},
            "Nope",
            "FieldValueNotSupported",
            'Unsupported value: "Nope": supported values: "Auto", "Manual"',
        ),
        (
            {"type": "integer", "minimum": 1},
            0,
            "FieldValueInvalid",
            "Invalid value: 0: spec.a in body should be greater than or equal to 1",
        ),
        (
            {"type": "integer", "maximum": 10},
            50,
            "FieldValueInvalid",
            "Invalid value: 50: spec.a in body should be less than or equal to 10",
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            1,
            "FieldValueInvalid",
            "Invalid value: 1: spec.a in body should be greater than 1",
        ),
        (
            {**TEXT, "pattern": "^[a-z]+$"},
            "A",
            "FieldValueInvalid",
            "Invalid value: \"A\": spec.a in body should match '^[a-z]+$'",
        ),
        (
            {**TEXT, "minLength": 2},
            "a",
            "FieldValueInvalid",
            'Invalid value: "a": spec.a in body should be at least 2 chars long',
        ),
        ({**TEXT, "maxLength": 2}, "abc", "FieldValueTooLong", "Too long: may not be more than 2 bytes"),
        (
            {"type": "array", "items": TEXT, "maxItems": 1},
            ["a", "b"],
            "FieldValueTooMany",
            "Too many: 2: must have at most 1 items",
        ),
        (
            {"type": "object", "additionalProperties": TEXT, "maxProperties": 1},
            {"a": "1", "b": "2"},
            "FieldValueTooMany",
            "Too many: 2: must have at most 1 items",
        ),
        (
            {**TEXT, "format": "date-time"},
            "nope",
            "FieldValueTypeInvalid",
            'Invalid value: "nope": spec.a in body must be of type date-time: "nope"',
        ),
    ],
)
def test_a_broken_constraint_is_told_in_the_servers_words(
    schema: dict[str, Any], value: Any, reason: str, message: str
) -> None:
    """One per constraint."""
    assert wrong(an_object(a=schema), {"a": value}) == [(reason, "spec.a", message)]


def test_of_several_broken_rules_of_a_text_only_the_first_is_told() -> None:
    """Too long, and not of the pattern: too long."""
    schema = an_object(a={**TEXT, "maxLength": 2, "pattern": "^[a-z]+$"})

    assert [reason for reason, _, _ in wrong(schema, {"a": "ABC"})] == ["FieldValueTooLong"]


@pytest.mark.spec("kube-api:VAL-4", "kube-api:VAL-11")
def test_what_is_missing_is_named_but_only_in_parents_that_are_there() -> None:
    """The field is the missing member."""
    schema = an_object(items={"type": "array", "items": {**an_object(name=TEXT), "required": ["name"]}})

    assert wrong(schema, {"items": [{}]}) == [("FieldValueRequired", "spec.items[0].name", "Required value")]
    assert wrong(schema, {}) == []


@pytest.mark.spec("kube-api:VAL-7")
def test_no_two_items_of_a_list_map_have_the_same_keys() -> None:
    """The second one is told, with its keys."""
    schema = {
        "type": "array",
        "items": an_object(name=TEXT, value=TEXT),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    items = [{"name": "a", "value": "1"}, {"name": "b"}, {"name": "a"}]

    told = wrong(an_object(items=schema), {"items": items})

    assert told == [("FieldValueDuplicate", "spec.items[2]", 'Duplicate value: {"name":"a"}')]


@pytest.mark.spec("kube-api:VAL-7")
def test_no_item_of_a_set_stands_twice() -> None:
    """Lists without a list type may repeat."""
    tags = {"type": "array", "items": TEXT}

    assert wrong(an_object(tags=tags), {"tags": ["a", "a"]}) == []
    assert wrong(an_object(tags={**tags, "x-kubernetes-list-type": "set"}), {"tags": ["a", "a"]}) == [
        ("FieldValueDuplicate", "spec.tags[1]", 'Duplicate value: "a"')
    ]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, {}),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, {"a": 1, "b": 1}),
        ({"not": {"required": ["a"]}}, {"b": 1}, {"a": 1}),
        ({"allOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 1}, {"a": 1}),
    ],
)
def test_schemas_can_be_combined(schema: dict[str, Any], good: Any, bad: Any) -> None:
    """anyOf, oneOf, not, allOf."""
    node = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **schema}

    assert wrong(node, good) == []
    assert len(wrong(node, bad)) == 1


def test_a_value_is_found_again_by_its_path() -> None:
    """What is not there is None."""
    obj = {"a": [{"b": 1}]}

    assert value_at(obj, (((None, "a"), 0), "b")) == 1
    assert value_at(obj, (((None, "a"), 1), "b")) is None
