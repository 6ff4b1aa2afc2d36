"""Which files are read, which are skipped with a word, and which are unusable."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from manta.gathering import Gathered, gathered

OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
NO_PATH = "stat: embedded null character in path" if sys.version_info >= (3, 13) else "embedded null byte"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the one in which everything runs: names are short then."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file: str, text: str = OBJECT) -> str:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return file


def read(found: Gathered) -> list[str]:
    return [document.file for document in found.documents]


def skipped(found: Gathered) -> list[tuple[str, str]]:
    return [(one.file, one.reason) for one in found.skipped]


def broken(found: Gathered) -> list[str]:
    return [str(one) for one in found.broken]


@pytest.mark.usefixtures("folder")
def test_a_folder_is_read_whole_and_in_order_but_for_what_is_hidden() -> None:
    """YAML and JSON at any depth; not what version control and environments keep for themselves."""
    for name in ("b.yaml", "a.yml", "deep/er/c.json", ".git/d.yaml", ".hidden.yaml", "e.txt"):
        write(name, OBJECT if not name.endswith("json") else '{"apiVersion": "v1", "kind": "A", "metadata": {}}')

    found = gathered(["."])

    assert read(found) == [".hidden.yaml", "a.yml", "b.yaml", "deep/er/c.json"]
    assert (found.files, broken(found), skipped(found)) == (4, [], [])


@pytest.mark.usefixtures("folder")
def test_a_pipe_in_a_folder_is_not_waited_for() -> None:
    """Nor a link that leads nowhere, nor one to the folder itself."""
    write("a.yaml")
    os.mkfifo("b.yaml")
    Path("c.yaml").symlink_to("nowhere")
    Path("loop").symlink_to(".")

    found = gathered(["."])

    assert (read(found), broken(found)) == (["a.yaml"], [])


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_named_twice_is_read_once() -> None:
    """Hooks do so, and by its folder, too; what is asked for must hold objects wherever it is named."""
    write("deploy/b.yaml")

    assert read(gathered([write("a.yaml"), "./a.yaml"])) == ["a.yaml"]
    assert sorted(read(gathered(["a.yaml", "."]))) == ["a.yaml", "deploy/b.yaml"]
    assert sorted(read(gathered([".", "deploy", "deploy/b.yaml"]))) == ["a.yaml", "deploy/b.yaml"]
    assert len(broken(gathered([".", write("values.yaml", "a: 1\n")]))) == 1
    assert broken(gathered(["deploy", "deploy/b.yaml"])) == []


@pytest.mark.usefixtures("folder")
def test_in_a_folder_what_is_no_object_is_somebody_elses() -> None:
    """Values, workflows, templates of other clouds: nobody said that they were objects."""
    write("compose.yaml", "services: {}\n")
    write("list.yaml", "- a\n")
    write("package.json", '{"name": "a"}')
    write("stack.yaml", "Resources: !Ref a\n")

    found = gathered(["."])

    assert skipped(found) == [
        (name, "no Kubernetes object") for name in ("compose.yaml", "list.yaml", "package.json", "stack.yaml")
    ]
    assert broken(found) == []


@pytest.mark.usefixtures("folder")
def test_a_file_that_was_asked_for_must_hold_objects() -> None:
    """Else a slip in a name would pass for a clean file."""
    names = [write("compose.yaml", "services: {}\n"), write("empty.yaml", "# nothing\n"), "gone.yaml"]
    Path("data.yaml").write_bytes(b"\xff\x00")
    Path("none").mkdir()

    assert broken(gathered([*names, "data.yaml", "none", "\0"])) == [
        "compose.yaml:1: the object that begins here has no apiVersion",
        "empty.yaml: it holds no object",
        "gone.yaml: cannot be read: No such file or directory",
        "data.yaml: is no text file: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        "none: there is no file in it whose name ends with .yaml, .yml, .json",
        f"\0: is no text file: {NO_PATH}",
    ]


@pytest.mark.usefixtures("folder")
def test_an_object_that_lacks_its_kind_is_broken_wherever_it_stands() -> None:
    """It claims to be one."""
    write("a.yaml", f"apiVersion: ray.io/v1\nmetadata: {{name: a}}\n---\n{OBJECT}")

    found = gathered(["."])

    assert broken(found) == ["a.yaml:1: the object that begins here has no kind"]
    assert read(found) == ["a.yaml"]


@pytest.mark.usefixtures("folder")
def test_of_a_chart_only_what_is_no_template_is_read() -> None:
    """What is made of it can be linted, and the hint says how."""
    write("charts/ray/Chart.yaml", "apiVersion: v2\nname: ray\n")
    write("charts/ray/values.yaml", "image: {}\n")
    write("charts/ray/templates/cluster.yaml", "kind: {{ .Values.kind }}\n")
    write("charts/ray/crds/a.yaml")

    found = gathered(["charts", "charts/ray/templates/cluster.yaml"])

    assert read(found) == ["charts/ray/crds/a.yaml"]
    assert {one.hint for one in found.skipped} == {"helm template charts/ray | manta lint -"}
    assert sorted({one.file for one in found.skipped}) == [
        "charts/ray/Chart.yaml",
        "charts/ray/templates/cluster.yaml",
        "charts/ray/values.yaml",
    ]
    assert broken(found) == []


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.on }}\n" + OBJECT + "{{- end }}\n",
        OBJECT + "data: {{ .Values.data }}\n",
        "- {{ item }}\n- a: [\n",
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_template_outside_of_a_chart_is_known_by_what_keeps_it_from_being_yaml(text: str) -> None:
    """Other tools write such files as well."""
    found = gathered([write("a.yaml", text)])

    assert (skipped(found), broken(found), read(found)) == ([("a.yaml", "a template")], [], [])


@pytest.mark.usefixtures("folder")
def test_braces_within_a_text_make_no_template() -> None:
    """Prompts and programs are full of them."""
    found = gathered([write("a.yaml", OBJECT + "data: {a: '{{ b }}'\nc: 1\n")])
    whole = gathered([write("b.yaml", OBJECT + "data:\n  a: '{{ b }}'\n  c: |\n    {{ d }}\n")])

    assert broken(found)[0].startswith("a.yaml:5:1: this is no YAML")
    assert read(whole) == ["b.yaml"]


@pytest.mark.usefixtures("folder")
def test_what_kustomize_lays_over_objects_is_no_object() -> None:
    """A patch has the fields that change, and no others."""
    patches = "patches: [{path: patches/big.yaml}, {patch: x}]\npatchesStrategicMerge: [small.yaml]\n"
    write("over/kustomization.yaml", f"resources: [../base]\n{patches}patchesJson6902: [{{path: ops.yaml}}]\n")
    for name in ("over/patches/big.yaml", "over/small.yaml", "over/ops.yaml", "over/more.yaml", "base/a.yaml"):
        write(name)
    write("over/part.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nmetadata: {}\n")

    found = gathered(["base", "over"])

    assert read(found) == ["base/a.yaml", "over/more.yaml"]
    assert [one.file for one in found.skipped] == [
        "over/kustomization.yaml",
        "over/ops.yaml",
        "over/part.yaml",
        "over/small.yaml",
        "over/patches/big.yaml",
    ]
    assert {one.hint for one in found.skipped} == {"kubectl kustomize over | manta lint -"}


@pytest.mark.parametrize("text", ["", "- a\n", "patches: 3\n", "patches: [3, {path: 4}]\n", "a: [\n", "a: !!bool b\n"])
@pytest.mark.usefixtures("folder")
def test_a_kustomization_that_makes_no_sense_hides_nothing(text: str) -> None:
    """The files around it are read as if it were not there."""
    write("kustomization.yaml", text)

    assert read(gathered([write("a.yaml")])) == ["a.yaml"]


@pytest.mark.usefixtures("folder")
def test_a_file_without_end_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server takes far less."""
    monkeypatch.setattr("manta.gathering.LARGEST", 10)

    assert broken(gathered([write("a.yaml")])) == ["a.yaml: it is larger than 0 MiB"]
