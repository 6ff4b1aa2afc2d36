"""What is wrong with documents, all of it and with its line, without a cluster.

The one door of `manta lint`, and of `manta run` and `manta up` before they start anything. Three judges, as an object
meets them: is the kind served, does the schema hold, do the rules of admission hold. They are the very ones of the
local API server and of the operator's webhook, so what passes here is refused there only for what only a cluster can
know (a name that is taken, say). Built-in kinds are read, and their metadata checked; the rest of their rules is left
to the server. Pure, but for the definitions that come with the package.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from api.v1.rules.judging import SKIP, SKIPPED, judge
from api.v1.rules.model import Context, Inside
from api.v1.rules.model import Finding as Found
from api.v1.wire import GROUP
from localcluster.apiserver.kinds.base import DecodeError, Kind
from localcluster.apiserver.metadata import decode_metadata, validate_metadata
from localcluster.apiserver.refusals import Cause
from manta.documents import Document, Place, Steps, path_text, steps_in
from manta.doubts import Doubt, begins, certain, put, value_at, without, worthy_of
from manta.gates import LOCAL_GATES
from manta.innertexts import place_inside
from manta.misplaced import fields_under, place_meant, schema_at
from manta.served import RAY, Nowhere, ServedKind, known_elsewhere, served_kind, way_out
from manta.wording import cause_text, decoding_trouble, described, former, wanted_type

__all__ = ["Finding", "Target", "Weight", "findings"]

Json: TypeAlias = dict[str, Any]

Weight: TypeAlias = Literal["deny", "warn", "note"]  # a note: as was asked for

THOROUGH: Final = frozenset({"ConfigMap", "Secret"})  # built-in kinds that are read with care: code and keys of a job
UNPLACED: Final = "<nil>"  # the field of causes that only say that others stood in the way, or repeat one
MISTYPED: Final = "FieldValueTypeInvalid"
MISSING: Final = "FieldValueRequired"
NOWHERE: Final[Steps] = ()
HALF: Final = re.compile("[\ud800-\udfff]")  # of a character beyond the first 65,536: YAML's escapes can write it alone
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
    weight: Weight = "deny"
    inside: Inside = ""  # where in the YAML that stands there as text

    @property
    def place(self) -> Place:
        """Where in the file: the line of that text, if one knows it."""
        return place_inside(self.document, self.path, self.inside)

    @property
    def denies(self) -> bool:
        """The object would not be taken."""
        return self.weight == "deny"

    def __str__(self) -> str:
        """The place, the sentence, and the line with a mark under it."""
        subject = self.path or str(self.document)
        rule = f" [{self.rule}]" if self.rule else ""
        place = self.place
        first = f"{self.document.where(place)}: {subject}: {self.message}{rule}"
        way = [f"    {self.hint}"] if self.hint else []
        return "\n".join([first, self.document.excerpt(place), *way])

    @property
    def members(self) -> Json:
        """The same for programs."""
        place = self.place
        at = {"file": self.document.file, "line": place.line, "column": place.column}
        said = {"path": self.path, "message": self.message, "hint": self.hint, "rule": self.rule}
        return at | {"object": str(self.document), "severity": self.weight, "denies": self.denies} | said


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster that documents are meant for: its operator, and whether it serves more kinds than the local one."""

    operator: Context = field(default_factory=lambda: Context(LOCAL_GATES))
    serves_more: bool = False


def findings(documents: Iterable[Document], target: Target | None = None) -> list[Finding]:
    """Everything that is wrong, in the order of the files; `target` is the local cluster where none is named."""
    target = target or Target()
    documents = list(documents)
    defined = known_elsewhere(documents)
    return [
        one
        for document in documents
        for one in sorted(about(document, defined, target), key=lambda found: found.place.line)
    ]


def about(document: Document, defined: set[tuple[str, str]], target: Target) -> Iterator[Finding]:
    """What is wrong with one document. What cannot be read does not keep the rest from being judged."""
    for steps in document.repeated:
        yield Finding(document, path_text(steps), "stands here twice")
    api_version, kind = str(document.body["apiVersion"]), document.kind
    served = served_kind(api_version, kind)
    if served is None:
        if target.serves_more:
            yield from unknown_to_ray(document)
        elif (api_version, kind) not in defined:
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
    renamed = [doubt_of_name(served, readable(document.body, places), one) for one in strange if one.meant]
    doubts = [
        *(Doubt(steps) for steps in places),
        *(doubt_of(document, cause) for cause in causes if cause.reason == MISTYPED),
        *(doubt for doubt, _ in renamed),
    ]
    told = [
        *places,
        *(steps_of_cause(document, cause) for cause in causes),
        *(doubt.at for doubt, fits in renamed if not fits),  # whatever was meant there, it is not what stands there
    ]
    found = certain(lambda one: broken_rules(document, one, target.operator), body, doubts)
    yield from (one for one in found if not begins(steps_in(document.body, one.path), told))


def unserved(document: Document, api_version: str, kind: str) -> Finding:
    """The group or version is wrong, or the kind."""
    hint = way_out(api_version, kind)
    path = "apiVersion" if hint.startswith(f"{kind} ") or not hint else "kind"
    return Finding(document, path, f"the local cluster does not serve {kind} of {api_version}", hint)


def unknown_to_ray(document: Document) -> Iterator[Finding]:
    """A version or kind that looks like one of Ray's, and is none; what else there is, others know."""
    api_version, kind = document.body["apiVersion"], document.body["kind"]
    for name, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str):
            yield Finding(document, name, f"found {described(value)}, expected a text")
            return
    group, versioned, _ = api_version.rpartition("/")
    of_ray = GROUP in (group, api_version) or group.endswith(f".{GROUP}")
    known = {ray.kind.lower() for ray in RAY}
    if of_ray or (kind.lower() in known and "." not in group):
        hint = way_out(api_version, kind)
        path = "apiVersion" if hint.startswith(f"{kind} ") or not versioned else "kind"
        yield Finding(document, path, f"there is no {kind} of {api_version}", hint)


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
                yield from no_json(one if HALF.search(str(key)) is None else key, (*at, key))
        case list():
            for index, one in enumerate(value):
                yield from no_json(one, (*at, index))
        case float() if not math.isfinite(value):
            yield at, f"the number {value}"
        case int() if not -(2**63) <= value < 2**64:
            yield at, "a number of more than 64 bits"
        case str() if not value.isascii() and HALF.search(value):
            yield at, "half a character"
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
        place, way = place_meant(served.schema, steps, value_at(document.body, steps))
        free = value_at(document.body, place) is None
        hint = former(document.kind, around, str(last), older=last in fields_of_v1alpha1(served, around))
        yield Strange(Finding(document, path, "there is no such field", hint or way), steps, place if free else ())


def fields_of_v1alpha1(served: ServedKind, around: Sequence[str | int]) -> list[str]:
    """The fields that stand at that place in the older version of the kind."""
    older = served_kind(f"{GROUP}/v1alpha1", served.resource.kind) if served.resource.custom else None
    return fields_under(older.schema, around) if older is not None else []


def doubt_of(document: Document, cause: Cause) -> Doubt:
    """A value of a wrong type."""
    steps = steps_of_cause(document, cause)
    return Doubt(steps, worthy_of(wanted_type(cause.message), value_at(document.body, steps)))


def doubt_of_name(served: ServedKind, body: Json, field: Strange) -> tuple[Doubt, bool]:
    """A value under a wrong name; and whether it would do as it is under the right one."""
    value = value_at(body, field.steps)
    schema = schema_at(served.schema, field.meant)
    type_ = "integer,string" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type", ""))
    moved = put(body, field.meant, value)
    try:
        renamed, _ = read(served, moved)
    except DecodeError:
        return Doubt(field.meant, worthy_of(type_, None)), False
    if value_at(moved, field.meant) is not value:  # nothing leads there yet
        return Doubt(field.meant, worthy_of(type_, None)), False
    fits = not any(begins(steps_in(body, one.field), [field.meant]) for one in causes_of(served, renamed))
    likely = (value_at(renamed, field.meant),) if fits else ()
    return Doubt(field.meant, (*likely, *worthy_of(type_, None))), fits


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


def broken_rules(document: Document, body: Json, operator: Context) -> Iterator[Finding]:
    """What the operator's webhook would refuse, or warn of."""
    if not str(body["apiVersion"]).startswith(f"{GROUP}/"):
        return
    verdict = judge(document.kind, as_named_by(document, body), None, operator)
    weighed: tuple[tuple[Weight, Sequence[Found]], ...] = (("deny", verdict.denials), ("warn", verdict.warnings))
    for weight, found in weighed:
        yield from (Finding(document, one.path, one.message, one.hint, one.rule, weight, one.inside) for one in found)
    if verdict.skipped:
        spared = f"not held to {', '.join(verdict.skipped)}"
        yield Finding(document, f"metadata.annotations[{SKIP}]", spared, rule=SKIPPED, weight="note")


def as_named_by(document: Document, body: Json) -> Json:
    """Without the name that we made of generateName: rules have words of their own for that."""
    if document.body["metadata"].get("name"):
        return body
    return {**body, "metadata": {name: value for name, value in body["metadata"].items() if name != "name"}}
