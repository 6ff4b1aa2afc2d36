"""In which form a client wants its answer, and in which it sent its body (spec kube-api §6).

Answers are JSON or YAML; protobuf is never written, since every client that prefers it accepts JSON as well (INF-4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from localcluster.api import Refusal

__all__ = ["BodySyntax", "Form", "Shape", "answer_form", "body_syntax", "patch_kind"]

Shape = Literal["object", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
Syntax = Literal["json", "yaml"]
BodySyntax = Literal["json", "yaml", "protobuf"]

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
SHAPES: tuple[Shape, ...] = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
BUILT_IN_TYPES = f"{JSON}, {YAML}, {PROTOBUF}"
CUSTOM_TYPES = f"{JSON}, {YAML}"
WATCH_TYPES = f"{JSON};stream=watch, {PROTOBUF};stream=watch"

PATCH_KINDS: dict[str, Literal["json", "merge", "strategic", "apply"]] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is written, and whether it is the object itself, its metadata alone or a table of it."""

    syntax: Syntax = "json"
    shape: Shape = "object"
    version: str = "v1"  # of meta.k8s.io, for all shapes but the object


@lru_cache(maxsize=512)
def answer_form(accept: str, *, watch: bool = False, custom: bool = False) -> Form:
    """The first acceptable entry of an Accept header, by weight, then by order. Raises Refusal 406."""
    if not accept.strip():
        return Form()
    plain = True
    for media, parameters in _entries(accept):
        form = _form(media, parameters)
        if form is not None and not (watch and form.syntax == "yaml"):
            return form
        plain = plain and not parameters
    types = CUSTOM_TYPES if custom else BUILT_IN_TYPES
    if watch:
        types = WATCH_TYPES
    elif plain and not custom:
        raise Refusal(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {types}", {})
    raise Refusal(406, "NotAcceptable", f"only the following media types are accepted: {types}")


def body_syntax(content_type: str, *, custom: bool = False) -> BodySyntax:
    """How a request body is written; nothing said means JSON. Raises Refusal 415, for custom protobuf too (NEG-3)."""
    media = content_type.partition(";")[0].strip().lower()
    if media in ("", JSON):
        return "json"
    if media == YAML:
        return "yaml"
    if media == PROTOBUF and not custom:
        return "protobuf"
    raise _unsupported(CUSTOM_TYPES if custom else BUILT_IN_TYPES)


def patch_kind(content_type: str, *, custom: bool) -> Literal["json", "merge", "strategic", "apply"]:
    """Which of the four patches it is (PATCH-1). Raises Refusal 415."""
    media = content_type.partition(";")[0].strip().lower()
    kind = PATCH_KINDS.get(media)
    known = [one for one in PATCH_KINDS if not (custom and PATCH_KINDS[one] == "strategic")]
    if kind == "strategic" and custom:
        raise _unsupported(", ".join(known))
    if kind is None:
        raise Refusal(
            415, "UnsupportedMediaType", f"415: Unsupported Media Type\n\nAccepted media types: {', '.join(known)}", {}
        )
    return kind


def _unsupported(types: str) -> Refusal:
    message = f"the body of the request was in an unknown format - accepted media types include: {types}"
    return Refusal(415, "UnsupportedMediaType", message)


def _entries(accept: str) -> list[tuple[str, dict[str, str]]]:
    weighed = []
    for entry in accept.split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest if part)
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        weighed.append((weight, media.lower(), parameters))
    return [(media, parameters) for _, media, parameters in sorted(weighed, key=lambda one: -one[0])]


def _form(media: str, parameters: dict[str, str]) -> Form | None:
    syntax: Syntax | None = "json" if media in (JSON, "*/*") else "yaml" if media == YAML else None
    if syntax is None:
        return None
    wanted = parameters.get("as")
    if wanted is None:
        return Form(syntax)
    version = parameters.get("v", "")
    for shape in SHAPES:
        if wanted == shape and parameters.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Form(syntax, shape, version)
    return None
