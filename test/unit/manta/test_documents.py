"""YAML files as users write them: what is read, and where complaints point."""

from __future__ import annotations

from pathlib import Path

import pytest

from manta.documents import Steps, Unusable, parsed, path_text, read_documents, steps_in, steps_of

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
        (f"a: {'[' * 5000}", "job.yaml: this is no YAML: maximum recursion depth"),
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
