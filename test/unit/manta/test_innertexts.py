"""Where in a file something stands that is wrong in a YAML text of an object."""

from __future__ import annotations

import textwrap

import pytest

from manta.documents import Document, parsed
from manta.findings import Finding, findings
from manta.innertexts import place_inside

CLUSTER = """\
  rayClusterConfig:
    headGroupSpec:
      rayStartParams: {}
      template: {spec: {containers: [{name: head, image: "rayproject/ray:2.52.0"}]}}
"""
TWO = """\
    applications:
      - name: shop
        import_path: shop:app

      - name: shop
        import_path: other:app
        route_prefix: /other
"""


def service(text: str, *, written: str = "|") -> str:
    return (
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: web}\nspec:\n"
        f"  serveConfigV2: {written}\n{text}{CLUSTER}"
    )


def document(text: str) -> Document:
    (one,) = parsed("web.yaml", text)
    return one


def found(text: str, rule: str) -> Finding:
    (one,) = [one for one in findings([document(text)]) if one.rule == rule]
    return one


def shown(text: str, rule: str) -> tuple[int, str]:
    """The line that is told, and what is marked of it."""
    one = found(text, rule)
    source, mark = one.document.excerpt(one.place).split("\n")
    return one.place.line, "".join(char for char, under in zip(source, mark, strict=False) if under == "^")


@pytest.mark.spec("admission:SV04")
@pytest.mark.parametrize("written", ["|", "|-", "|+  # kept", "|4", "&config |", "!!str |"])
def test_a_finding_in_a_text_is_shown_at_its_line(written: str) -> None:
    text = TWO if written != "|4" else textwrap.indent(TWO, "  ")

    assert shown(service(text, written=written), "SV04") == (10, "name: shop")


def test_lines_that_are_empty_count_where_the_text_begins_with_them() -> None:
    assert shown(service(f"\n\n{TWO}"), "SV04") == (12, "name: shop")


@pytest.mark.spec("admission:SV01")
def test_where_a_text_stops_being_yaml_is_shown() -> None:
    broken = "    applications:\n      - name: shop\n       import_path: shop:app\n"

    assert shown(service(broken), "SV01") == (8, "import_path: shop:app")


@pytest.mark.spec("admission:JC08")
def test_a_variable_with_dots_in_its_name_is_found() -> None:
    job = service("    env_vars:\n      A: b\n      C.D: 1\n").replace("RayService", "RayJob")
    job = job.replace("serveConfigV2", "runtimeEnvYAML").replace("rayClusterConfig", "entrypoint: a\n  rayClusterSpec")

    assert shown(job, "JC08") == (8, "C.D: 1")


def test_what_is_missing_is_shown_at_what_lacks_it() -> None:
    nameless = "    applications:\n      - name: a\n"

    assert shown(service(nameless), "SV03") == (7, "name: a")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (TWO, ">"),  # its lines are joined
        ("", '"applications: [{name: a, import_path: a:b}, {name: a, import_path: c:d, route_prefix: /c}]"'),
        ("", "*text"),
    ],
)
def test_of_a_text_that_does_not_stand_there_as_it_is_the_field_is_shown(text: str, written: str) -> None:
    """A folded text, a quoted one, and one that stands elsewhere are written in other lines than they have."""
    head = f"x-text: &text >\n{TWO}" if written == "*text" else ""
    whole = document(head + service(text, written=written))

    place = place_inside(whole, "spec.serveConfigV2", "applications[1].name")

    assert place == whole.place_of("spec.serveConfigV2")


@pytest.mark.parametrize("inside", ["", "nothing.like.it", (99, 1), (3, 1)])
def test_a_place_that_the_text_has_not_is_that_of_the_field(inside: str | tuple[int, int]) -> None:
    """Nor is a line that the file has otherwise, or an empty one."""
    whole = document(service("    applications:\n      - name: a\n\n"))

    assert place_inside(whole, "spec.serveConfigV2", inside) == whole.place_of("spec.serveConfigV2")
