"""Metadata: what every object has, whatever its kind (spec kube-api §7, §8). Pure.

In a request metadata is typed, even for custom resources: a field of a wrong type is refused, an unknown one is
dropped and named. What the server owns (uid, versions, times) is set over whatever was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from localcluster.api import Json
from localcluster.apiserver.refusals import Cause, forbidden_field, immutable, invalid_value, required

__all__ = [
    "NameRule",
    "carry_over",
    "created",
    "decode_metadata",
    "finalizer_warnings",
    "generated_name",
    "is_label_value",
    "is_qualified_name",
    "label_name",
    "parse_time",
    "path_segment",
    "service_name",
    "subdomain",
    "tidy",
    "validate_metadata",
    "validate_metadata_update",
    "wire_time",
]

NameRule: TypeAlias = Callable[[str, bool], list[str]]  # (name, is a prefix) -> what is wrong with it

SUFFIX_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH: Final = 5
_LONGEST_BASE: Final = 63 - _SUFFIX_LENGTH

# As a Go client writes them, which is also how answers show them for built-in kinds.
_FIELDS: Final = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_TEXTS: Final = ("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion")
_TIMES: Final = ("creationTimestamp", "deletionTimestamp")
_NUMBERS: Final = ("generation", "deletionGracePeriodSeconds")
_KNOWN: Final = frozenset(_FIELDS)
_OWNER_FIELDS: Final = frozenset({"apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"})

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_PART_RULE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_MOST_ANNOTATION_BYTES: Final = 256 * 1024


# -- What names may be ---------------------------------------------------------------------------------------------


def _checked(name: str, prefix: bool, pattern: re.Pattern[str], longest: int, rule: str) -> list[str]:
    """A prefix may end in what only a name's middle may hold: the suffix makes it whole."""
    text = re.sub(r"-$", "a", name) if prefix else name
    wrong = [] if len(name) <= longest else [f"must be no more than {longest} characters"]
    return wrong if pattern.fullmatch(text) else [*wrong, rule]


def subdomain(name: str, prefix: bool) -> list[str]:
    """The rule of most names: an RFC 1123 subdomain."""
    return _checked(name, prefix, _SUBDOMAIN, 253, SUBDOMAIN_RULE)


def label_name(name: str, prefix: bool) -> list[str]:
    """Namespaces: an RFC 1123 label."""
    return _checked(name, prefix, _LABEL, 63, LABEL_RULE)


def service_name(name: str, prefix: bool) -> list[str]:
    """Services: a DNS-1035 label, which begins with a letter (SVC-2)."""
    return _checked(name, prefix, _LABEL_1035, 63, _LABEL_1035_RULE)


def path_segment(name: str, prefix: bool) -> list[str]:
    """Roles and bindings: whatever can stand in a URL path."""
    if not prefix and name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{one}'" for one in "/%" if one in name]


def is_qualified_name(key: str) -> list[str]:
    """What is wrong with a label's or annotation's key; nothing if the list is empty."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        whole = f"a qualified name {_NAME_PART_RULE} with an optional DNS subdomain prefix and '/'"
        return [f"{whole} (e.g. 'example.com/MyName')"]
    wrong = []
    if slash:
        if not prefix:
            wrong.append("prefix part must be non-empty")
        wrong += [f"prefix part {one}" for one in (subdomain(prefix, False) if prefix else ())]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > 63:
        wrong.append("name part must be no more than 63 characters")
    if not _QUALIFIED.fullmatch(name):
        wrong.append(f"name part {_NAME_PART_RULE}")
    return wrong


def is_label_value(value: str) -> list[str]:
    """What is wrong with a label's value; nothing if the list is empty."""
    wrong = ["must be no more than 63 characters"] if len(value) > 63 else []
    return wrong if not value or _QUALIFIED.fullmatch(value) else [*wrong, _VALUE_RULE]


# -- Decoding ------------------------------------------------------------------------------------------------------


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _mistyped(value: Any, where: str, wanted: str) -> str:
    return f"json: cannot unmarshal {_go_kind(value)} into Go struct field {where} of type {wanted}"


def decode_metadata(metadata: Any) -> tuple[Json, list[str], str]:
    """(typed metadata, names of unknown fields, why it cannot be decoded or "").

    Nulls and empty values go, as a decoder into a struct drops them. The result is a copy.
    """
    if metadata is None:
        return {}, [], ""
    if not isinstance(metadata, Mapping):
        return {}, [], _mistyped(metadata, "ObjectMeta.metadata", "v1.ObjectMeta")
    wrong = next(_type_errors(metadata), "")
    unknown = sorted(f"metadata.{key}" for key in metadata if key not in _KNOWN)
    decoded = {key: metadata[key] for key in _FIELDS if metadata.get(key) not in (None, "", {}, [])}
    for key in ("labels", "annotations"):
        if key in decoded and not wrong:
            decoded[key] = {name: "" if value is None else value for name, value in decoded[key].items()}
    owners = decoded.get("ownerReferences")
    if owners and not wrong:
        for index, owner in enumerate(owners):
            unknown += [f"metadata.ownerReferences[{index}].{key}" for key in owner if key not in _OWNER_FIELDS]
        decoded["ownerReferences"] = [
            {"apiVersion": "", "kind": "", "name": "", "uid": ""}
            | {key: value for key, value in owner.items() if key in _OWNER_FIELDS and value is not None}
            for owner in owners
        ]
    for key in ("selfLink", "managedFields"):
        decoded.pop(key, None)
    return decoded, unknown, wrong


def _type_errors(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key in _TEXTS:
        if not isinstance(metadata.get(key, ""), str | None):
            yield _mistyped(metadata[key], f"ObjectMeta.{key}", "string")
    for key in _NUMBERS:
        value = metadata.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            yield _mistyped(value, f"ObjectMeta.{key}", "int64")
    for key in _TIMES:
        yield from _time_errors(metadata.get(key))
    for key in ("labels", "annotations"):
        yield from _map_errors(metadata.get(key), key)
    yield from _list_errors(metadata)


def _time_errors(value: Any) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, str):
        yield f"json: cannot unmarshal {_go_kind(value)} into Go value of type string"
        return
    try:
        datetime.fromisoformat(value)
    except ValueError:
        layout = "2006-01-02T15:04:05Z07:00"
        yield f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"'


def _map_errors(value: Any, key: str) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield _mistyped(value, f"ObjectMeta.{key}", "map[string]string")
        return
    for member in value.values():
        if not isinstance(member, str | None):
            yield _mistyped(member, f"ObjectMeta.{key}", "string")


def _list_errors(metadata: Mapping[str, Any]) -> Iterator[str]:
    finalizers = metadata.get("finalizers")
    if finalizers is not None and not isinstance(finalizers, list):
        yield _mistyped(finalizers, "ObjectMeta.finalizers", "[]string")
    for one in finalizers if isinstance(finalizers, list) else ():
        if not isinstance(one, str):
            yield _mistyped(one, "ObjectMeta.finalizers", "string")
    owners = metadata.get("ownerReferences")
    if owners is not None and not isinstance(owners, list):
        yield _mistyped(owners, "ObjectMeta.ownerReferences", "[]v1.OwnerReference")
    for owner in owners if isinstance(owners, list) else ():
        if not isinstance(owner, Mapping):
            yield _mistyped(owner, "ObjectMeta.ownerReferences", "v1.OwnerReference")
            continue
        for key in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(owner.get(key), str | None):
                yield _mistyped(owner[key], f"OwnerReference.ownerReferences.{key}", "string")
        for key in ("controller", "blockOwnerDeletion"):
            if not isinstance(owner.get(key), bool | None):
                yield _mistyped(owner[key], f"OwnerReference.ownerReferences.{key}", "bool")


def tidy(metadata: Mapping[str, Any]) -> Json:
    """The metadata in the order in which the server writes it, without what is empty."""
    tidied = {key: metadata[key] for key in _FIELDS if metadata.get(key) not in (None, "", {}, [])}
    if tidied.get("generation") == 0:
        del tidied["generation"]
    return tidied


# -- What the server sets --------------------------------------------------------------------------------------------


def wire_time(moment: datetime) -> str:
    """A metadata time: whole seconds, UTC, "Z"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """A metadata time as an aware datetime. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)


def generated_name(base: str, letters: Callable[[str], str]) -> str:
    """base, cut so that the name has at most 63 characters, and five random ones (CRT-3)."""
    return base[:_LONGEST_BASE] + "".join(letters(SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))


def created(metadata: Json, *, uid: str, now: datetime, generation: int | None) -> None:
    """What the server sets in a new object over whatever was sent (CRT-1). None keeps the sent generation (TOP-7)."""
    metadata["uid"] = uid
    metadata["creationTimestamp"] = wire_time(now)
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
        metadata.pop(key, None)
    if generation is not None:
        metadata["generation"] = generation


def carry_over(metadata: Json, old: Mapping[str, Any]) -> None:
    """What an update leaves to the server comes from the stored object (UPD-2, UPD-6)."""
    metadata.setdefault("uid", old["uid"])
    metadata["creationTimestamp"] = old["creationTimestamp"]
    if "generation" in old:
        metadata["generation"] = old["generation"]
    else:
        metadata.pop("generation", None)
    if "generateName" in old:
        metadata.setdefault("generateName", old["generateName"])
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if key in old:
            metadata.setdefault(key, old[key])


_STANDARD_FINALIZERS: Final = ("kubernetes", "orphan", "foregroundDeletion")

# -- Checks ----------------------------------------------------------------------------------------------------------


def validate_metadata(metadata: Mapping[str, Any], name_rule: NameRule, *, custom: bool = False) -> list[Cause]:
    """What is wrong with the metadata of an object on its way to the store (UPD-7)."""
    causes = []
    if "generateName" in metadata:
        base = metadata["generateName"]
        causes += [invalid_value("metadata.generateName", base, text) for text in name_rule(base, True)]
    name = metadata.get("name", "")
    if name:
        causes += [invalid_value("metadata.name", name, text) for text in name_rule(name, False)]
    else:
        causes.append(required("metadata.name", "name or generateName is required"))
    if metadata.get("generation", 0) < 0:
        causes.append(
            invalid_value("metadata.generation", metadata["generation"], "must be greater than or equal to 0")
        )
    causes += label_causes(metadata.get("labels") or {}, "metadata.labels")
    causes += _annotation_causes(metadata.get("annotations") or {})
    causes += _owner_causes(metadata.get("ownerReferences") or ())
    for finalizer in metadata.get("finalizers") or ():
        causes += [invalid_value("metadata.finalizers", finalizer, text) for text in is_qualified_name(finalizer)]
    return causes if custom else causes + _bare_finalizers(metadata.get("finalizers") or ())


def _bare_finalizers(finalizers: Iterable[str]) -> list[Cause]:
    """Finalizers without a domain, which built-in kinds refuse, but for the server's own (UPD-7)."""
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        invalid_value(f"metadata.finalizers[{index}]", one, text)
        for index, one in enumerate(finalizers)
        if "/" not in one and one not in _STANDARD_FINALIZERS
    ]


def label_causes(labels: Mapping[str, Any], field: str) -> list[Cause]:
    """What is wrong with a map of labels."""
    causes = []
    for key, value in labels.items():
        causes += [invalid_value(field, key, text) for text in is_qualified_name(key)]
        causes += [invalid_value(field, value, text) for text in is_label_value(value)]
    return causes


def _annotation_causes(annotations: Mapping[str, str]) -> list[Cause]:
    field = "metadata.annotations"
    causes = [invalid_value(field, key, text) for key in annotations for text in is_qualified_name(key.lower())]
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in annotations.items())
    if size > _MOST_ANNOTATION_BYTES:
        causes.append(
            Cause("FieldValueTooLong", field, f"Too long: may not be more than {_MOST_ANNOTATION_BYTES} bytes")
        )
    return causes


def _owner_causes(owners: Sequence[Mapping[str, Any]]) -> list[Cause]:
    field = "metadata.ownerReferences"
    causes = []
    for owner in owners:
        if not owner["apiVersion"]:
            causes.append(invalid_value(f"{field}.apiVersion", "", "version must not be empty"))
        causes += [
            invalid_value(f"{field}.{key}", "", "must not be empty")
            for key in ("kind", "name", "uid")
            if not owner[key]
        ]
    controllers = [f"{owner['kind']}/{owner['name']}" for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        text = (
            'Only one reference can have Controller set to true. Found "true" in references for'
            f" {controllers[0]} and {controllers[1]}"
        )
        causes.append(invalid_value(field, owners, text))
    return causes


def validate_metadata_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    """What may not change in an update: identity, deletion, and finalizers of an object on its way out (DEL-6)."""
    causes = [
        immutable(f"metadata.{key}", new.get(key))
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "uid")
        if new.get(key) != old.get(key)
    ]
    if "deletionTimestamp" in old:
        added = [one for one in new.get("finalizers") or () if one not in (old.get("finalizers") or ())]
        if added:
            names = ", ".join(f'"{one}"' for one in sorted(added))
            text = "no new finalizers can be added if the object is being deleted, found new finalizers"
            causes.append(forbidden_field("metadata.finalizers", f"{text} []string{{{names}}}"))
    return causes


def finalizer_warnings(metadata: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[str]:
    """A finalizer without a domain is allowed, and frowned upon (UPD-7)."""
    known = (old or {}).get("finalizers") or ()
    return [
        f'metadata.finalizers: "{one}": prefer a domain-qualified finalizer name'
        " to avoid accidental conflicts with other finalizer writers"
        for one in metadata.get("finalizers") or ()
        if "/" not in one and one not in {"foregroundDeletion", "orphan", "kubernetes"} and one not in known
    ]
