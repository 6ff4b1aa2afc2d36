"""Validation of custom resources: spec kube-api §14."""

from __future__ import annotations

import json

import pytest

from localcluster.testing.wire import Json, Reply, Wire

LEFT_OUT = "some validation rules were not checked because the object was invalid"
UNCHECKED = (
    "FieldValueInvalid",
    "<nil>",
    f"Invalid value: null: {LEFT_OUT}; correct the existing errors to complete validation",
)


def widget(**spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w1"},
        "spec": {"size": 2, **spec},
    }


async def refused(cluster: Wire, widgets: str, **spec: object) -> list[tuple[str, str, str]]:
    answer = await cluster.post(widgets, widget(**spec))
    assert answer.code == 422, answer.text
    return answer.causes


async def accepted(cluster: Wire, widgets: str, **spec: object) -> Json:
    made: Json = (await cluster.post(widgets, widget(**spec))).ok(201)["spec"]
    return made


@pytest.mark.spec("kube-api:VAL-1")
async def test_all_structural_errors_are_told_and_that_rules_were_not_checked(cluster: Wire, widgets: str) -> None:
    """One more cause says so, when an error of shape is among them."""
    causes = await refused(cluster, widgets, size="x", mode="Nope")

    assert sorted(cause[:2] for cause in causes) == [
        ("FieldValueInvalid", "<nil>"),
        ("FieldValueNotSupported", "spec.mode"),
        ("FieldValueTypeInvalid", "spec.size"),
    ]
    assert causes[-1] == UNCHECKED


@pytest.mark.spec("kube-api:VAL-1", "kube-api:VAL-5")
@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"size": 0}, "spec.size", "Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 11}, "spec.size", "Invalid value: 11: spec.size in body should be less than or equal to 10"),
        ({"title": "ABC"}, "spec.title", "Invalid value: \"ABC\": spec.title in body should match '^[a-z]+$'"),
        ({"title": "a"}, "spec.title", 'Invalid value: "a": spec.title in body should be at least 2 chars long'),
    ],
)
async def test_bounds_and_patterns(cluster: Wire, widgets: str, spec: Json, field: str, text: str) -> None:
    """Such an error leaves the rules checked: it stands alone."""
    assert await refused(cluster, widgets, **spec) == [("FieldValueInvalid", field, text)]


@pytest.mark.spec("kube-api:VAL-5")
@pytest.mark.parametrize("spec", [{"size": 1, "title": "ab"}, {"size": 10}])
async def test_a_bound_itself_is_allowed(cluster: Wire, widgets: str, spec: Json) -> None:
    """Bounds are inclusive unless they say otherwise."""
    assert (await accepted(cluster, widgets, **spec)).items() >= spec.items()


@pytest.mark.spec("kube-api:VAL-2")
@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"size": "3"}, "spec.size", 'Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"min": 3.5}, "spec.min", 'Invalid value: "number": spec.min in body must be of type integer: "number"'),
        ({"title": 5}, "spec.title", 'Invalid value: "integer": spec.title in body must be of type string: "integer"'),
        ({"flag": "x"}, "spec.flag", 'Invalid value: "string": spec.flag in body must be of type boolean: "string"'),
        ({"plain": {}}, "spec.plain", 'Invalid value: "object": spec.plain in body must be of type array: "object"'),
        ({"nested": []}, "spec.nested", 'Invalid value: "array": spec.nested in body must be of type object: "array"'),
        (
            {"port": 1.5},
            "spec.port",
            'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
        ),
        ({"when": "nope"}, "spec.when", 'Invalid value: "nope": spec.when in body must be of type date-time: "nope"'),
    ],
)
async def test_types(cluster: Wire, widgets: str, spec: Json, field: str, text: str) -> None:
    """The actual type is named."""
    causes = await refused(cluster, widgets, **spec)

    assert ("FieldValueTypeInvalid", field, text) in causes


@pytest.mark.spec("kube-api:VAL-2")
async def test_a_whole_number_is_an_integer_however_it_is_written(cluster: Wire, widgets: str) -> None:
    """3.0 is stored as 3; text and number both serve for a port."""
    raw = json.dumps(widget(size=3.0, port="http")).encode()
    assert b"3.0" in raw

    made = (await cluster.request("POST", widgets, raw)).ok(201)

    assert made["spec"]["size"] == 3
    assert isinstance(made["spec"]["size"], int)
    assert made["spec"]["port"] == "http"


@pytest.mark.spec("kube-api:VAL-3")
async def test_an_enum_lists_what_it_supports(cluster: Wire, widgets: str) -> None:
    """In quotes."""
    causes = await refused(cluster, widgets, mode="Nope")

    assert causes == [
        ("FieldValueNotSupported", "spec.mode", 'Unsupported value: "Nope": supported values: "Auto", "Manual"'),
        UNCHECKED,
    ]


@pytest.mark.spec("kube-api:VAL-4")
async def test_a_required_member_is_named_where_it_is_missing(cluster: Wire, widgets: str) -> None:
    """Also inside a list."""
    causes = await refused(cluster, widgets, items=[{"value": "x"}])

    assert ("FieldValueRequired", "spec.items[0].name", "Required value") in causes


@pytest.mark.spec("kube-api:VAL-6")
@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        (
            {"title": "abcdefghi"},
            ("FieldValueTooLong", "spec.title", "Too long: may not be more than 8 bytes"),
        ),
        (
            {"items": [{"name": str(number)} for number in range(4)]},
            ("FieldValueTooMany", "spec.items", "Too many: 4: must have at most 3 items"),
        ),
        (
            {"labels": {"a": "1", "b": "2", "c": "3"}},
            ("FieldValueTooMany", "spec.labels", "Too many: 3: must have at most 2 items"),
        ),
    ],
)
async def test_lengths(cluster: Wire, widgets: str, spec: Json, cause: tuple[str, str, str]) -> None:
    """Of text, lists and maps."""
    assert cause in await refused(cluster, widgets, **spec)


@pytest.mark.spec("kube-api:VAL-7")
async def test_list_maps_and_sets_have_no_duplicates(cluster: Wire, widgets: str) -> None:
    """A duplicate is named by its key, at its own index."""
    items = await refused(cluster, widgets, items=[{"name": "a"}, {"name": "a"}])
    tags = await refused(cluster, widgets, tags=["a", "b", "a"])

    assert items == [("FieldValueDuplicate", "spec.items[1]", 'Duplicate value: {"name":"a"}')]
    assert tags == [("FieldValueDuplicate", "spec.tags[2]", 'Duplicate value: "a"')]


@pytest.mark.spec("kube-api:VAL-8")
async def test_rules_speak_at_their_place(cluster: Wire, widgets: str) -> None:
    """With their message, or an expression that makes one; reason and field path are the rule's."""
    message = await refused(cluster, widgets, min=3, max=2)
    expression = await refused(cluster, widgets, title="bad")

    assert message == [("FieldValueInvalid", "spec", "Invalid value: min must not exceed max")]
    assert expression == [("FieldValueForbidden", "spec.title", "Forbidden: title is bad")]


@pytest.mark.spec("kube-api:VAL-8")
async def test_transition_rules_compare_with_what_was(cluster: Wire, widgets: str) -> None:
    """On updates only; taking an optional field away passes unless its parent forbids it."""
    made = (await cluster.post(widgets, widget(frozen="a", max=3))).ok(201)
    path = f"{widgets}/w1"

    changed = await cluster.patch(path, {"spec": {"frozen": "b"}})
    forbidden = await cluster.patch(path, {"spec": {"max": None}})
    removed = await cluster.patch(path, {"spec": {"frozen": None}})

    assert made["spec"]["frozen"] == "a"
    assert changed.code == 422
    assert changed.causes == [("FieldValueInvalid", "spec.frozen", 'Invalid value: "b": frozen is immutable')]
    assert forbidden.causes == [("FieldValueInvalid", "spec", "Invalid value: max is required once set")]
    assert "frozen" not in removed.ok()["spec"]


@pytest.mark.spec("kube-api:VAL-9")
async def test_replicas_of_the_scale_are_small_numbers(cluster: Wire, widgets: str) -> None:
    """int32, not negative; the field starts with a dot."""
    negative = await refused(cluster, widgets, replicas=-1)
    big = await refused(cluster, widgets, replicas=2**31)

    assert [(cause[1], cause[2]) for cause in negative] == [
        (".spec.replicas", "Invalid value: -1: should be a non-negative integer")
    ]
    assert (".spec.replicas", "Invalid value: 2147483648: should be less than or equal to 2147483647") in [
        cause[1:] for cause in big
    ]


@pytest.mark.spec("kube-api:VAL-10")
async def test_an_embedded_object_is_an_object(cluster: Wire, widgets: str) -> None:
    """It says its kind and version; its metadata are checked and pruned."""
    causes = await refused(cluster, widgets, embedded={"metadata": {"name": "x"}})
    embedded = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "zork": 1}, "any": {"thing": 1}}
    made = await accepted(cluster, widgets, embedded=embedded)

    assert {("FieldValueRequired", f"spec.embedded.{name}") for name in ("apiVersion", "kind")} <= {
        cause[:2] for cause in causes
    }
    assert made["embedded"] == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "any": {"thing": 1}}


@pytest.mark.spec("kube-api:VAL-11")
@pytest.mark.parametrize("spec", [{}, {"spec": None}])
async def test_what_spec_requires_is_required_inside_it_only(cluster: Wire, widgets: str, spec: Json) -> None:
    """An object without spec passes; null is dropped."""
    body = {key: value for key, value in widget().items() if key != "spec"} | spec

    made = (await cluster.post(widgets, body)).ok(201)

    assert "spec" not in made


@pytest.mark.spec("kube-api:VAL-12")
async def test_defaults_and_pruning(cluster: Wire, widgets: str) -> None:
    """Nested defaults need a parent that is there or has one; list items get theirs; unknown fields go."""
    answer: Reply = await cluster.post(widgets, widget(items=[{"name": "a"}], unk=1, nested={"zork": 1}))

    spec = answer.ok(201)["spec"]
    assert (spec["mode"], spec["flag"], spec["replicas"], spec["noteDefault"]) == ("Auto", True, 1, "dflt")
    assert spec["nested"] == {"level": 3}
    assert spec["items"] == [{"name": "a", "proto": "TCP"}]
    assert "unk" not in spec
    assert "status" not in answer.json


@pytest.mark.spec("kube-api:VAL-12")
async def test_null_is_kept_defaulted_or_dropped(cluster: Wire, widgets: str) -> None:
    """As the field is nullable, has a default, or neither."""
    spec = await accepted(cluster, widgets, note=None, noteDefault=None, title=None)

    assert spec["note"] is None
    assert spec["noteDefault"] == "dflt"
    assert "title" not in spec


@pytest.mark.spec("kube-api:VAL-12", "kube-api:VAL-4")
async def test_a_required_field_that_is_null_is_missing(cluster: Wire, widgets: str) -> None:
    """Null is dropped before it is looked for."""
    causes = await refused(cluster, widgets, size=None)

    assert ("FieldValueRequired", "spec.size", "Required value") in causes


@pytest.mark.spec("kube-api:VAL-2")
async def test_in_status_the_inner_name_is_relative(cluster: Wire, widgets: str) -> None:
    """The field is whole, the text is not."""
    (await cluster.post(widgets, widget())).ok(201)

    answer = await cluster.patch(f"{widgets}/w1/status", {"status": {"phase": 5}})

    assert answer.code == 422
    assert (
        "FieldValueTypeInvalid",
        "status.phase",
        'Invalid value: "integer": phase in body must be of type string: "integer"',
    ) in answer.causes


CHECKED = 'Invalid value: "": Checked value must be of type'


@pytest.mark.spec("kube-api:VAL-2")
@pytest.mark.parametrize(
    ("spec", "seen", "form"),
    [
        (
            {"size": 3.5},
            '"float64": spec.size in body must be of type int32: "float64"',
            "integer with format int32 in spec.size",
        ),
        (
            {"min": 3.5},
            '"number": spec.min in body must be of type integer: "number"',
            "integer (default format) in spec.min",
        ),
        ({"size": True}, '"": spec.size in body must be of type int32: ""', ""),
        ({"size": 2**40}, "", "integer with format int32 in spec.size"),
    ],
)
async def test_integers_have_a_size(cluster: Wire, widgets: str, spec: Json, seen: str, form: str) -> None:
    """A fraction is told twice; what is too big for its format is told without a field."""
    causes = await refused(cluster, widgets, **spec)

    field = f"spec.{next(iter(spec))}"
    types = [cause for cause in causes if cause[0] == "FieldValueTypeInvalid"]
    checked = [cause[2] for cause in causes if cause[2].startswith(CHECKED)]
    assert types == ([("FieldValueTypeInvalid", field, f"Invalid value: {seen}")] if seen else [])
    assert checked == ([f"{CHECKED} {form}"] if form else [])
