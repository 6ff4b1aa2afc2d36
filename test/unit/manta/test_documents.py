"""YAML files as users write them: what is read, and where complaints point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.yamltext import Loader, QuickLoader
from manta.documents import (
    Steps,
    Unusable,
    decoded,
    nodes,
    objects_in,
    parsed,
    path_text,
    pieces,
    read_documents,
    steps_in,
    steps_of,
)
from manta.places import Place, places_in

JOB = """\
# a job
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: train
spec:
  entrypint: python train.py
  rayClusterSpec:
    workerGroupSpecs:
      - groupName: a
      - groupName: b
        replicas: two
"""


def test_every_document_of_a_file_is_read_and_empty_ones_are_left_out() -> None:
    """`---` at the end, or twice, is common in files that were generated."""
    text = f"---\n{JOB}---\n---\n# nothing\n---\n"
    text += "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code, namespace: ml}\n"

    documents = list(parsed("job.yaml", text))

    assert [str(document) for document in documents] == ["RayJob default/train", "ConfigMap ml/code"]


def test_a_field_is_shown_with_its_line_and_a_mark_under_it() -> None:
    """Counted from the beginning of the file, not of the document."""
    (document,) = parsed("job.yaml", f"---\n{JOB}")

    assert document.where("spec.entrypint") == "job.yaml:8:3"
    assert document.excerpt("spec.entrypint") == ("      entrypint: python train.py\n      ^^^^^^^^^^^^^^^^^^^^^^^^^^")


def test_a_field_within_braces_is_marked_alone() -> None:
    """The rest of its line has nothing to do with it."""
    (document,) = parsed("a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: a, labels: {b: 1}}\n")

    assert document.where("metadata.labels") == "a.yaml:3:21"
    assert document.excerpt("metadata.labels").endswith("\n" + " " * 24 + "^" * len("labels: {b: 1}"))


def test_a_key_that_stands_twice_is_known_with_its_second_place() -> None:
    """The last one would win, silently."""
    (document,) = parsed("job.yaml", JOB + "  entrypint: other\n")

    assert [path_text(steps) for steps in document.repeated] == ["spec.entrypint"]
    assert document.where("spec.entrypint") == "job.yaml:13:3"


def test_keys_are_text() -> None:
    """As JSON has them: a label `1: a` has the name "1"."""
    (document,) = parsed("a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: a, labels: {1: a, true: b}}\n")

    assert document.body["metadata"]["labels"] == {"1": "a", "true": "b"}


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("spec.a[0].b", ("spec", "a", 0, "b")),
        ("spec.clusterSelector[ray.io/cluster]", ("spec", "clusterSelector", "ray.io/cluster")),
        ("", ()),
    ],
)
def test_a_path_is_read_step_by_step(path: str, steps: Steps) -> None:
    """Keys with dots stand in brackets."""
    assert steps_of(path) == steps


def test_a_field_of_a_list_item_is_found_by_its_index() -> None:
    """As the server names it."""
    (document,) = parsed("job.yaml", JOB)

    assert document.place_of("spec.rayClusterSpec.workerGroupSpecs[1].replicas").line == 12


def test_a_missing_field_is_shown_where_it_should_stand() -> None:
    """The nearest thing around it that the file has."""
    (document,) = parsed("job.yaml", JOB)

    assert document.place_of("spec.rayClusterSpec.headGroupSpec.template").line == 8
    assert document.where("status.nothing") == "job.yaml:2:1"


def test_a_date_stays_text() -> None:
    """Kubernetes' YAML has no dates: an annotation like this must reach the server as a string."""
    (document,) = parsed("a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: a, annotations: {since: 2026-11-24}}\n")

    assert document.body["metadata"]["annotations"]["since"] == "2026-11-24"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2\n", "job.yaml:2:2: this is no YAML"),
        ("a: 1\n\tb: 2\n", "job.yaml:2:1: this is no YAML"),
        ("- a\n- b\n", "job.yaml:1: expected an object with apiVersion and kind"),
        ("\nkind: RayJob\nmetadata: {name: a}\n", "job.yaml:2: the object that begins here has no apiVersion"),
        ("apiVersion: v1\nkind: A\n", "job.yaml:1: the object that begins here has no metadata"),
        ("apiVersion: v1\nkind: A\nmetadata: text\n", "job.yaml:3:1: metadata is no object"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(text: str, words: str) -> None:
    """Before anything starts."""
    with pytest.raises(Unusable) as refused:
        list(parsed("job.yaml", text))

    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And so is one that holds nothing."""
    (tmp_path / "empty.yaml").write_text("# nothing\n")

    with pytest.raises(Unusable, match=r"cannot read .*gone.yaml: No such file or directory"):
        read_documents(str(tmp_path / "gone.yaml"))
    with pytest.raises(Unusable, match=r"empty.yaml holds no object"):
        read_documents(str(tmp_path / "empty.yaml"))


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """And complaints call it by that name."""
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("- a\n"))

    with pytest.raises(Unusable, match=r"^standard input:1: "):
        read_documents("-")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: &a {b: *a}\n", "job.yaml:4:7: this is no YAML: an alias"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: !!int x\n", "job.yaml: this is no YAML: invalid literal"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: !!bool perhaps\n",
            "job.yaml: this is no YAML: a value is",
        ),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: !Ref x\n", "job.yaml:4:7: this is no YAML: could not"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {{{a}: b}}\n",
            "job.yaml:4:8: this is no YAML: a key is no",
        ),
        ("apiVersion: v1\nkind: A\nmetadata: {name: \x1b}\n", "job.yaml: this is no YAML: "),
        (f"a: {'[' * 5000}", "job.yaml: this is no YAML: it is nested too deeply"),
    ],
)
def test_yaml_that_cannot_be_loaded_is_refused_like_any_other(text: str, words: str) -> None:
    """The loader has more ways to fail than its own errors."""
    with pytest.raises(Unusable) as refused:
        list(parsed("job.yaml", text))

    assert str(refused.value).startswith(words)


def test_a_path_through_keys_with_dots_leads_to_their_place() -> None:
    """The server writes such keys as they are, rules write them in brackets."""
    selector = "spec: {selector: {example.com/zone: a, example: {com: b}}}"
    (document,) = parsed("a.yaml", f"apiVersion: v1\nkind: A\nmetadata: {{name: a}}\n{selector}\n")
    key = ("spec", "selector", "example.com/zone")

    assert steps_in(document.body, "spec.selector.example.com/zone") == key
    assert steps_in(document.body, "spec.selector[example.com/zone]") == key
    assert steps_in(document.body, path_text(key)) == key
    assert steps_in(document.body, "spec.selector.example.com") == ("spec", "selector", "example", "com")
    assert steps_in(document.body, "spec.gone[0].too") == ("spec", "gone", 0, "too")
    assert document.where("spec.selector.example.com/zone") == "a.yaml:4:19"


def test_what_is_merged_and_then_said_otherwise_does_not_stand_there_twice() -> None:
    """`<<` brings what the mapping itself may say better; each field has its place, wherever it came from."""
    text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nfirst: &first {a: 1, b: 2}\nlast: {<<: *first, b: 3}\n"
    (document,) = parsed("a.yaml", text)

    assert document.body["last"] == {"a": 1, "b": 3}
    assert document.repeated == []
    assert (document.where("last.a"), document.where("last.b")) == ("a.yaml:4:16", "a.yaml:5:20")


def test_the_items_of_a_list_are_objects_with_places_of_their_own() -> None:
    """What `kubectl get -o yaml` writes."""
    item = "- {apiVersion: v1, kind: A, metadata: {name: a}, spec: {a: 1, a: 2}}\n"
    first, second = parsed("a.yaml", f"apiVersion: v1\nkind: List\nitems:\n{item}{item}")

    assert (first.where("spec.a"), second.where("metadata.name")) == ("a.yaml:4:63", "a.yaml:5:40")
    assert second.repeated == [("spec", "a")]


def test_a_list_is_read_in_a_time_that_grows_as_the_list_does() -> None:
    """A namespace may hold thousands: no item looks at the places of all others."""
    item = {
        "apiVersion": "v1",
        "kind": "A",
        "metadata": {"name": "a"},
        "spec": {str(number): number for number in range(20)},
    }
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [item] * 1000}, indent=1)

    looked = 0

    class Counted(dict[Steps, Place]):
        def items(self) -> Any:
            nonlocal looked
            looked += len(self)
            return super().items()

    (root,) = nodes(QuickLoader, text)
    places = Counted(places_in(root[0]))
    found = list(objects_in("a.json", tuple(text.split("\n")), json.loads(text), places, []))

    assert len(found) == 1000
    assert looked == len(places)


def test_json_is_read_as_json_is_whatever_yaml_would_make_of_it() -> None:
    """Tabs, numbers with exponents, and characters in two halves."""
    text = '{\n\t"apiVersion": "v1", "kind": "A",\n\t"metadata": {"name": "a"},\n\t"spec": [1e3, "\\ud83d\\ude00"]\n}'
    (document,) = parsed("a.json", text)

    assert document.body["spec"] == [1000.0, "\N{GRINNING FACE}"]
    assert document.where("spec[1]") == "a.json:4:16"


def test_aliases_that_stand_for_far_too_much_are_refused_before_anybody_follows_them() -> None:
    """A few hundred bytes that would fill the memory."""
    lines = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    text = "\n".join(["apiVersion: v1\nkind: A\nmetadata: {name: a}\na0: &a0 x", *lines])

    with pytest.raises(Unusable, match=r"a.yaml:1:1: this is no YAML: its aliases stand for 1\d+ values"):
        list(parsed("a.yaml", text))


def test_what_is_nested_deeper_than_any_object_is_refused_with_its_place() -> None:
    """Those who judge it would not come back."""
    text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: " + "[" * 150 + "]" * 150

    with pytest.raises(Unusable, match=r"a.yaml:4:\d+: this is no YAML: this is nested more than 100 deep"):
        list(parsed("a.yaml", text))


def test_broken_yaml_does_not_hide_what_stands_before_it_nor_a_wrong_value_what_comes_after() -> None:
    """A linter tells all it can; where the grammar is lost, nobody knows what follows."""
    good = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n"
    text = f"{good}spec: !Ref x\n---\nkind: A\n---\n{good}a: [1\nb: 2\n"

    assert [type(piece).__name__ for piece in pieces("a.yaml", text)] == [
        "Document",
        "Broken",
        "Broken",
        "Document",
        "Broken",
    ]


def test_the_end_of_a_long_line_is_shown_around_what_is_marked() -> None:
    """JSON may have everything in one line."""
    text = (
        '{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "long": "' + "x" * 500 + '", "bad": 1, "more": 2}'
    )
    (document,) = parsed("a.json", text)

    line, mark = document.excerpt("bad").splitlines()

    assert len(line) <= 164
    assert line[mark.index("^") : mark.rindex("^") + 1] == '"bad": 1'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_may_begin_with_the_mark_of_its_encoding(tmp_path: Path, encoding: str) -> None:
    """Editors of some systems write one."""
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: A\nmetadata: {name: ä}\n", encoding=encoding)

    (document,) = read_documents(str(tmp_path / "a.yaml"))

    assert document.name == "ä"


def test_lines_are_counted_as_yaml_counts_them() -> None:
    """A form feed ends no line; a separator of Unicode's does."""
    text = 'apiVersion: v1\r\nkind: A\rmetadata: {name: a}\nspec: "a\u2028 b"\nlast: 1\n'
    (document,) = parsed("a.yaml", text)

    assert document.excerpt("last").splitlines()[0] == "    last: 1"


@pytest.mark.parametrize(
    "text", [JOB, '{"a": [1, {"b": "c"}],\n "d": {}}', "a: |\n  b\n  c\nd: >-\n  e\nf: 'g\n  h'\n"]
)
def test_both_loaders_find_everything_at_the_same_place(text: str) -> None:
    """The quick one reads, the other one complains."""
    places = [[places_in(node) for node, _ in nodes(kind, text)] for kind in (Loader, QuickLoader)]

    assert places[0] == places[1]


@settings(max_examples=300)
@given(st.one_of(st.binary(), st.text().map(str.encode), st.text("{}[]:-,&*!|>'\"\\ \n\tab1<%@?#~").map(str.encode)))
def test_any_bytes_are_read_or_refused_with_a_sentence(data: bytes) -> None:
    """Nobody ever sees a traceback."""
    try:
        text = decoded(data)
    except UnicodeDecodeError:
        return
    for piece in pieces("a.yaml", text):
        assert str(piece)
