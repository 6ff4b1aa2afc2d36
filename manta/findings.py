"""What is wrong with documents, all of it and with its line, without a cluster: `manta run` and `manta up` ask first.

Three judges, as an object meets them: is the kind served, does the schema hold, do the rules hold. They are the very
ones of the local API server and of the operator, so what passes here is refused there only for what only a cluster
can know (a name that is taken, say). Built-in kinds are read, and their metadata checked; the rest of their rules is
left to the server. Pure, but for the definitions that come with the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, TypeAlias

from api.v1.gates import DEFAULT_GATES
from api.v1.rules import raycluster, rayjob, rayservice
from api.v1.rules.model import Context, Rule, Severity, all_findings
from api.v1.wire import GROUP
from localcluster.apiserver.kinds.base import DecodeError, Kind
from localcluster.apiserver.metadata import decode_metadata, validate_metadata
from localcluster.apiserver.refusals import Cause
from manta.documents import Document, Steps, path_text, steps_of
from manta.served import Nowhere, ServedKind, known_elsewhere, served_kind, way_out
from manta.wording import cause_text, decoding_trouble

__all__ = ["Finding", "findings"]

Json: TypeAlias = dict[str, Any]

RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "RayCluster": raycluster.RULES,
    "RayJob": rayjob.RULES,
    "RayService": rayservice.RULES,
}
THOROUGH: Final = frozenset({"ConfigMap", "Secret"})  # built-in kinds that are read with care: code and keys of a job
UNPLACED: Final = "<nil>"  # the field of causes that only say that others stood in the way, or repeat one
MISTYPED: Final = "FieldValueTypeInvalid"
GENERATED: Final = 5  # letters that the server appends to generateName, of which it keeps at most 58
LONGEST_PREFIX: Final = 58


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what, the way out if one is known, and which rule says so ("" for the schema).

    What does not deny is worth telling, and no reason to stop.
    """

    document: Document
    path: str
    message: str
    hint: str = ""
    rule: str = ""
    denies: bool = True

    def __str__(self) -> str:
        """The place, the sentence, and the line with a mark under it."""
        subject = self.path or str(self.document)
        rule = f" [{self.rule}]" if self.rule else ""
        first = f"{self.document.where(self.path)}: {subject}: {self.message}{rule}"
        way = [f"    {self.hint}"] if self.hint else []
        return "\n".join([first, self.document.excerpt(self.path), *way])

    @property
    def members(self) -> Json:
        """The same for programs."""
        place = self.document.place_of(self.path)
        at = {"file": self.document.file, "line": place.line, "column": place.column}
        said = {"path": self.path, "message": self.message, "hint": self.hint, "rule": self.rule}
        return at | {"object": str(self.document), "denies": self.denies} | said


def findings(documents: Iterable[Document], gates: Mapping[str, bool] = DEFAULT_GATES) -> list[Finding]:
    """Everything that is wrong, in the order of the files."""
    documents = list(documents)
    defined = known_elsewhere(documents)
    context = Context(gates)
    return [
        one
        for document in documents
        for one in sorted(about(document, defined, context), key=lambda found: document.place_of(found.path).line)
    ]


def about(document: Document, defined: set[tuple[str, str]], context: Context) -> Iterator[Finding]:
    """What is wrong with one document. What is repeated or unknown does not keep the rest from being looked at."""
    for steps in document.repeated:
        yield Finding(document, path_text(steps), "stands here twice")
    api_version, kind = str(document.body["apiVersion"]), document.kind
    served = served_kind(api_version, kind)
    if served is None:
        if (api_version, kind) not in defined:
            yield unserved(document, api_version, kind)
        return
    try:
        body, unknown = read(served, named(document.body))
    except DecodeError as error:
        path, text = decoding_trouble(str(error), kind)
        yield Finding(document, path, text)
        return
    yield from unknown_fields(document, served, unknown)
    causes = causes_of(served, body)
    yield from (from_cause(document, cause) for cause in causes)
    if not any(cause.reason == MISTYPED for cause in causes):  # rules take the types of the schema for granted
        told = tuple(cause.field for cause in causes)
        yield from (found for found in broken_rules(document, body, context) if not found.path.startswith(told))


def unserved(document: Document, api_version: str, kind: str) -> Finding:
    """The group or version is wrong, or the kind."""
    hint = way_out(api_version, kind)
    path = "apiVersion" if hint.startswith(f"{kind} ") or not hint else "kind"
    return Finding(document, path, f"the local cluster does not serve {kind} of {api_version}", hint)


def read(served: ServedKind, body: Json) -> tuple[Json, list[str]]:
    """The object as the server would read it, and the paths of the fields that it does not know. Raises DecodeError.

    Most built-in kinds are only asked for fields at the top: their decoders take the shape below for granted.
    """
    metadata, unknown, wrong = decode_metadata(body["metadata"])
    if wrong:
        raise DecodeError(wrong)
    thorough = served.resource.custom or served.resource.kind in THOROUGH
    decode = served.rules.decode if thorough else partial(Kind.decode, served.rules)
    obj, pruned = decode({**body, "metadata": metadata})
    return obj, [*unknown, *sorted(pruned)]


def named(body: Json) -> Json:
    """The object with the longest name that the server might make of its generateName."""
    metadata = body["metadata"]
    prefix = metadata.get("generateName")
    if metadata.get("name") or not isinstance(prefix, str):
        return body
    return {**body, "metadata": {**metadata, "name": prefix[:LONGEST_PREFIX] + "x" * GENERATED}}


def unknown_fields(document: Document, served: ServedKind, unknown: Sequence[str]) -> Iterator[Finding]:
    """Fields that nobody reads: what a strict server refuses."""
    for path in unknown:
        *around, name = steps_of(path) or ("",)
        near = get_close_matches(str(name), fields_under(served.schema, around), n=1)
        yield Finding(document, path, "there is no such field", f"did you mean {near[0]}?" if near else "")


def fields_under(schema: Mapping[str, Any], steps: Sequence[str | int]) -> list[str]:
    """The fields that an object at that place may have, as far as the schema names them."""
    for step in steps:
        below = schema.get("items") if isinstance(step, int) else (schema.get("properties") or {}).get(step)
        schema = below or {}
    return list(schema.get("properties") or ())


def causes_of(served: ServedKind, body: Json) -> list[Cause]:
    """Of the metadata, and of the schema where there is one. The built-in kinds' own rules want a world around them."""
    custom = served.resource.custom
    causes = validate_metadata(body["metadata"], served.rules.name_rule, custom=custom)
    if custom:
        causes += served.rules.validate(body, Nowhere())
    return [cause for cause in causes if cause.field != UNPLACED]


def from_cause(document: Document, cause: Cause) -> Finding:
    """A cause of the server, worded for people."""
    path = cause.field.removeprefix(".")
    message, hint = cause_text(cause.reason, cause.message, value_at(document.body, steps_of(path)))
    return Finding(document, path, message, hint)


def value_at(value: Any, steps: Steps) -> Any:
    """What stands there in the document; None if nothing does."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def broken_rules(document: Document, body: Json, context: Context) -> Iterator[Finding]:
    """What the operator would not work on, or would warn of."""
    if not str(body["apiVersion"]).startswith(f"{GROUP}/"):
        return
    for found in all_findings(RULES.get(document.kind, ()), body, None, context):
        denies = found.severity is Severity.DENY
        yield Finding(document, found.path, found.message, found.hint, found.rule, denies)
