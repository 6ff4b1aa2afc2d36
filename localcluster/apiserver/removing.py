"""Deletion: at once, after a grace period, or when the last finalizer has gone (spec kube-api §12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import orjson

from localcluster.api import Json
from localcluster.apiserver.admitting import Admitting
from localcluster.apiserver.core import Core
from localcluster.apiserver.definitions import Definitions
from localcluster.apiserver.incoming import check_options, is_dry
from localcluster.apiserver.kinds.base import Kind
from localcluster.apiserver.metadata import parse_time, wire_time
from localcluster.apiserver.reading import list_page
from localcluster.apiserver.refusals import Cause, conflict, invalid_options, invalid_value, not_found, not_supported
from localcluster.apiserver.requests import Answer, ListAnswer, Options, Request
from localcluster.apiserver.store import Entry
from localcluster.resources import ResourceInfo

__all__ = ["Remover"]

_POLICIES: Final = ("Foreground", "Background", "Orphan")
FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"


class Remover:
    """The deleting verbs over one core."""

    def __init__(self, core: Core, definitions: Definitions, admitting: Admitting) -> None:
        self._core = core
        self._definitions = definitions
        self._admitting = admitting

    async def delete(self, request: Request, *, asking: bool = True) -> Answer:
        """One object goes, or is marked as going (DEL-1); admission is asked unless told otherwise. Raises Refusal."""
        _check_delete_options(request.options)
        return await self._delete(request, request.name, asking=asking)

    async def delete_collection(self, request: Request) -> ListAnswer:
        """Every selected object goes; the answer holds them as they were (DEL-10)."""
        _check_delete_options(request.options)
        listing = Options(labels=request.options.labels, fields=request.options.fields)
        page = await list_page(self._core, replace(request, options=listing))
        for obj in page.objects:
            metadata = obj["metadata"]
            one = replace(request, name=metadata["name"], namespace=metadata.get("namespace", ""))
            if self._core.get(one.resource, one.namespace, one.name) is not None:
                await self._delete(one, "")
        return page

    async def _delete(self, request: Request, shown_name: str, *, asking: bool = True) -> Answer:
        core, resource = self._core, request.resource
        while True:
            entry = core.get(resource, request.namespace, request.name)
            if entry is None:
                raise not_found(resource, request.name)
            _check_preconditions(request, entry)
            obj = core.decoded(resource, entry)
            review = self._admitting.delete(request, core.view(resource, obj), shown_name)
            if asking:
                with review.telling():
                    await review.mutated()  # asked, too, though there is nothing to change
                    await review.validated(None, shown_name)
            kind = core.kind(resource)
            kind.check_delete(resource, obj)
            if core.get(resource, request.namespace, request.name) is entry:
                return self._removed(request, kind, entry, obj, tuple(review.warnings))

    def _removed(self, request: Request, kind: Kind, entry: Entry, obj: Json, warnings: tuple[str, ...]) -> Answer:
        """Mark it, or let it go."""
        core, resource = self._core, request.resource
        before: Json = orjson.loads(orjson.dumps(obj))
        _set_finalizers(obj, request.options)
        self._mark(request, kind, obj, before)
        metadata = obj["metadata"]
        if metadata.get("finalizers") or not kind.may_vanish(obj):
            if obj == before:
                return Answer(200, core.shown(resource, entry), warnings)
            if is_dry(request.options):
                return Answer(200, core.encoded(resource, obj), warnings)
            stored = core.put(resource, obj)
            answer = Answer(200, core.shown(resource, stored), warnings)
            self._definitions.changed(resource, stored)
            return answer
        if not is_dry(request.options):
            last = core.remove(resource, entry).entry
            metadata["resourceVersion"] = str(last.version)
            self._definitions.removed(resource, last)
        if kind.answers_object_on_delete:
            return Answer(200, core.encoded(resource, obj), warnings)
        return Answer(200, _gone(resource, entry), warnings)

    def _mark(self, request: Request, kind: Kind, obj: Json, before: Json) -> None:
        """Set or shorten the time that is left (DEL-3, DEL-9)."""
        metadata = obj["metadata"]
        grace = kind.grace_seconds(obj, request.options.grace_seconds)
        if "deletionTimestamp" not in metadata:
            now = self._core.now()
            metadata["deletionTimestamp"] = wire_time(now + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            if kind.deletion_counts and "generation" in metadata:
                metadata["generation"] += 1
            kind.mark_deleted(obj)
        elif grace < metadata.get("deletionGracePeriodSeconds", 0):
            asked = parse_time(metadata["deletionTimestamp"]) - timedelta(
                seconds=before["metadata"]["deletionGracePeriodSeconds"]
            )
            metadata["deletionTimestamp"] = wire_time(asked + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace


def _set_finalizers(obj: Json, options: Options) -> None:
    """What the propagation policy asks the garbage collector to do first (DEL-7)."""
    policy = options.propagation or ("Orphan" if options.orphan_dependents else "")
    if not policy and options.orphan_dependents is None:
        return
    metadata = obj["metadata"]
    kept = [one for one in metadata.get("finalizers") or () if one not in {FOREGROUND, ORPHAN}]
    wanted = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(policy, [])
    if kept or wanted:
        metadata["finalizers"] = kept + wanted
    else:
        metadata.pop("finalizers", None)


def _check_delete_options(options: Options) -> None:
    check_options("DeleteOptions", options)
    causes: list[Cause] = []
    field = "propagationPolicy"
    if options.propagation and options.orphan_dependents is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid_value(field, options.propagation, text))
    elif options.propagation and options.propagation not in _POLICIES:
        causes.append(not_supported(field, options.propagation, (*_POLICIES, "nil")))
    if causes:
        raise invalid_options("DeleteOptions", causes)


def _check_preconditions(request: Request, entry: Entry) -> None:
    """DEL-4. Raises Refusal 409."""
    options = request.options
    if options.precondition_uid and options.precondition_uid != entry.uid:
        why = (
            f"the UID in the precondition ({options.precondition_uid}) does not match the UID in record ({entry.uid})."
            " The object might have been deleted and then recreated"
        )
        raise conflict(request.resource, request.name, why, by_kind=True)
    version = options.precondition_version
    if version and version != str(entry.version):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record"
            f" ({entry.version}). The object might have been modified"
        )
        raise conflict(request.resource, request.name, why, by_kind=True)


def _gone(resource: ResourceInfo, entry: Entry) -> bytes:
    """The Status that says so (DEL-1)."""
    details: Json = {"name": entry.name}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.plural, "uid": entry.uid}
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return orjson.dumps(head | {"details": details})
