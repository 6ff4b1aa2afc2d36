"""What is wrong with documents, all of it and with its line, without a cluster: `manta run` and `manta up` ask first.

Three judges, as an object meets them: is the kind served, does the schema hold, do the rules hold. They are the very
ones of the local API server and of the operator, so what passes here is refused there only for what only a cluster
can know (a name that is taken, say). Built-in kinds are read, and their metadata checked; the rest of their rules is
left to the server. Pure, but for the definitions that come with the package.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, TypeAlias

from api.v1.rules import raycluster, raycronjob, rayjob, rayservice
from api.v1.rules.model import Context, Rule, Severity, all_findings
from api.v1.wire import GROUP
from localcluster.apiserver.kinds.base import DecodeError, Kind
from localcluster.apiserver.metadata import decode_metadata, validate_metadata
from localcluster.apiserver.refusals import Cause
from manta.documents import Document, Steps, path_text, steps_in
from manta.doubts import Doubt, begins, certain, put, value_at, without, worthy_of
from manta.gates import LOCAL_GATES
from manta.served import Nowhere, ServedKind, known_elsewhere, served_kind, way_out
from manta.wording import cause_text, decoding_trouble, former, wanted_type

__all__ = ["Finding", "findings"]

Json: TypeAlias = dict[str, Any]

RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "RayCluster": raycluster.RULES,
    "RayJob": rayjob.RULES,
    "RayService": rayservice.RULES,
    "RayCronJob": raycronjob.RULES,
}
THOROUGH: Final = frozenset({"ConfigMap", "Secret"})  # built-in kinds that are read with care: code and keys of a job
UNPLACED: Final = "<nil>"  # the field of causes that only say that others stood in the way, or repeat one
MISTYPED: Final = "FieldValueTypeInvalid"
MISSING: Final = "FieldValueRequired"
NOWHERE: Final[Steps] = ()
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


def findings(documents: Iterable[Document], gates: Mapping[str, bool] = LOCAL_GATES) -> list[Finding]:
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
    """What is wrong with one document. What cannot be read does not keep the rest from being judged."""
    for steps in document.repeated:
        yield Finding(document, path_text(steps), "stands here twice")
    api_version, kind = str(document.body["apiVersion"]), document.kind
    served = served_kind(api_version, kind)
    if served is None:
        if (api_version, kind) not in defined:
            yield unserved(document, api_version, kind)
        return
    lost = dict(unreadable(document, served))
    yield from lost.values()
    if NOWHERE in lost:
        return
    places = list(lost)
    body, unknown = read(served, readable(document.body, places))
    strange = list(unknown_fields(document, served, unknown))
    yield from (one.finding for one in strange)
    meant = [one.meant for one in strange if one.meant]
    causes = [cause for cause in causes_of(served, body) if not begins(steps_of_cause(document, cause), places)]
    causes = [one for one in causes if one.reason != MISSING or steps_of_cause(document, one) not in meant]
    yield from (from_cause(document, cause) for cause in causes)
    told = [*places, *(steps_of_cause(document, cause) for cause in causes)]
    doubts = [
        *(Doubt(steps) for steps in places),
        *(doubt_of(document, cause) for cause in causes if cause.reason == MISTYPED),
        *(doubt_of_name(served, document.body, one) for one in strange if one.meant),
    ]
    found = certain(lambda one: broken_rules(document, one, context), body, doubts)
    yield from (one for one in found if not begins(steps_in(document.body, one.path), told))


def unserved(document: Document, api_version: str, kind: str) -> Finding:
    """The group or version is wrong, or the kind."""
    hint = way_out(api_version, kind)
    path = "apiVersion" if hint.startswith(f"{kind} ") or not hint else "kind"
    return Finding(document, path, f"the local cluster does not serve {kind} of {api_version}", hint)


def unreadable(document: Document, served: ServedKind) -> Iterator[tuple[Steps, Finding]]:
    """The places that keep the object from being read, with everything that is no JSON; NOWHERE if it is no place."""
    places = []
    for steps, what in no_json(document.body):
        places.append(steps)
        yield steps, Finding(document, path_text(steps), f"found {what}, which JSON cannot hold")
    while True:
        body = readable(document.body, places)
        try:
            read(served, body)
        except DecodeError as error:
            path, text = decoding_trouble(str(error), document.kind)
            steps = steps_in(document.body, path)
            yield steps if steps not in places else NOWHERE, Finding(document, path, text)
            if steps == NOWHERE or steps in places:
                return
            places.append(steps)
        else:
            return


def no_json(value: Any, at: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """The places and names of what YAML can say and JSON cannot, or not so that it comes back."""
    match value:
        case dict():
            for key, one in value.items():
                yield from no_json(one, (*at, key))
        case list():
            for index, one in enumerate(value):
                yield from no_json(one, (*at, index))
        case float() if not math.isfinite(value):
            yield at, f"the number {value}"
        case int() if not -(2**63) <= value < 2**64:
            yield at, "a number of more than 64 bits"
        case None | bool() | int() | float() | str():
            return
        case _:
            yield at, "binary data" if isinstance(value, bytes) else f"a {type(value).__name__}"


def readable(body: Json, places: Iterable[Steps]) -> Json:
    """The object under the name that it might get, without what stands at those places."""
    for steps in places:
        body = without(body, steps)
    return named(body)


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


@dataclass(frozen=True, slots=True)
class Strange:
    """A field that nobody reads, and the place of the one that may be meant (() if none comes near)."""

    finding: Finding
    steps: Steps
    meant: Steps = ()


def unknown_fields(document: Document, served: ServedKind, unknown: Sequence[str]) -> Iterator[Strange]:
    """Fields that nobody reads: what a strict server refuses."""
    for path in unknown:
        steps = steps_in(document.body, path) or ("",)
        *around, last = steps
        near = get_close_matches(str(last), fields_under(served.schema, around), n=1)
        free = bool(near) and value_at(document.body, (*around, near[0])) is None
        hint = former(document.kind, around, str(last), older=last in fields_of_v1alpha1(served, around))
        finding = Finding(
            document, path, "there is no such field", hint or (f"did you mean {near[0]}?" if near else "")
        )
        yield Strange(finding, steps, (*around, near[0]) if free else ())


def fields_of_v1alpha1(served: ServedKind, around: Sequence[str | int]) -> list[str]:
    """The fields that stand at that place in the older version of the kind."""
    older = served_kind(f"{GROUP}/v1alpha1", served.resource.kind) if served.resource.custom else None
    return fields_under(older.schema, around) if older is not None else []


def doubt_of(document: Document, cause: Cause) -> Doubt:
    """A value of a wrong type."""
    steps = steps_of_cause(document, cause)
    return Doubt(steps, worthy_of(wanted_type(cause.message), value_at(document.body, steps)))


def doubt_of_name(served: ServedKind, body: Json, field: Strange) -> Doubt:
    """A value under a wrong name: under the right one it may be just as it should be."""
    value = value_at(body, field.steps)
    schema = schema_at(served.schema, field.meant)
    type_ = "integer,string" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type", ""))
    try:
        renamed, _ = read(served, put(readable(body, [at for at, _ in no_json(body)]), field.meant, value))
        fits = not any(begins(steps_in(body, one.field), [field.meant]) for one in causes_of(served, renamed))
    except DecodeError:
        fits = False
    return Doubt(field.meant, (*((value_at(renamed, field.meant),) if fits else ()), *worthy_of(type_, None)))


def fields_under(schema: Mapping[str, Any], steps: Sequence[str | int]) -> list[str]:
    """The fields that an object at that place may have, as far as the schema names them."""
    return list(schema_at(schema, steps).get("properties") or ())


def schema_at(schema: Mapping[str, Any], steps: Sequence[str | int]) -> Mapping[str, Any]:
    """The schema of what stands at that place; {} where it does not go so far."""
    for step in steps:
        if isinstance(step, int):
            inside = schema.get("items")
        else:
            inside = (schema.get("properties") or {}).get(step) or schema.get("additionalProperties")
        schema = inside if isinstance(inside, Mapping) else {}
    return schema


def causes_of(served: ServedKind, body: Json) -> list[Cause]:
    """Of the metadata, and of the schema where there is one. The built-in kinds' own rules want a world around them."""
    custom = served.resource.custom
    causes = validate_metadata(body["metadata"], served.rules.name_rule, custom=custom)
    if custom:
        causes += served.rules.validate(body, Nowhere())
    return [cause for cause in causes if cause.field != UNPLACED]


def steps_of_cause(document: Document, cause: Cause) -> Steps:
    """Where it stands."""
    return steps_in(document.body, cause.field)


def from_cause(document: Document, cause: Cause) -> Finding:
    """A cause of the server, worded for people."""
    steps = steps_of_cause(document, cause)
    message, hint = cause_text(cause.reason, cause.message, value_at(document.body, steps))
    return Finding(document, cause.field.removeprefix("."), message, hint)


def broken_rules(document: Document, body: Json, context: Context) -> Iterator[Finding]:
    """What the operator would not work on, or would warn of."""
    if not str(body["apiVersion"]).startswith(f"{GROUP}/"):
        return
    for found in all_findings(RULES.get(document.kind, ()), body, None, context):
        denies = found.severity is Severity.DENY
        yield Finding(document, found.path, found.message, found.hint, found.rule, denies)
