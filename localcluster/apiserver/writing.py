"""Creates, updates and patches: from what came in to a commit (spec kube-api §7 to §9, §14).

Every change of a stored object is the same loop: read, make the new object from the old one, complete and check it,
commit. Only admission awaits; when the stored object changed meanwhile, the loop starts again, so that a write that
named no version does not conflict (PATCH-3) and one that did is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.admitting import Admitting, Asked
from localcluster.apiserver.core import Core
from localcluster.apiserver.definitions import Definitions
from localcluster.apiserver.incoming import (
    NotOfItsKind,
    check_options,
    check_place,
    conformed,
    decode,
    field_warnings,
    is_dry,
)
from localcluster.apiserver.kinds.base import Kind
from localcluster.apiserver.metadata import (
    carry_over,
    created,
    finalizer_warnings,
    generated_name,
    validate_metadata,
    validate_metadata_update,
)
from localcluster.apiserver.patch import PatchFailed, PatchMalformed, json_patch, merge_patch
from localcluster.apiserver.refusals import (
    already_exists,
    bad_request,
    conflict,
    forbidden_request,
    invalid,
    invalid_value,
    not_found,
    quoted,
    required,
    unsupported_media,
)
from localcluster.apiserver.registry import ScalePaths
from localcluster.apiserver.requests import Answer, Body, Patch, Request
from localcluster.apiserver.store import Entry
from localcluster.apiserver.strategic import ItemWithoutKey, NotAList, RetainKeysDisagree, go_text, strategic_merge
from localcluster.apiserver.subresources import BUILT_IN_SCALE, merge_part, scale_of, with_scale
from localcluster.resources import BUILT_IN, ResourceInfo

__all__ = ["Writer", "scale_paths"]

_NAMESPACES: Final = next(one for one in BUILT_IN if one.name == "namespaces")
_PATCH_REJECTED: Final = "the server rejected our request due to an error in our request"
_MEDIA: Final = "the body of the request was in an unknown format - accepted media types include:"

# The new object, made of the stored one; and what to warn of. Raises Refusal.
Make: TypeAlias = Callable[[Json, Entry], tuple[Json, list[str]]]


def scale_paths(core: Core, resource: ResourceInfo) -> ScalePaths:
    """Where the replicas of a scalable resource stand."""
    custom = core.registry.custom(resource)
    paths = BUILT_IN_SCALE if custom is None else custom.scale
    assert paths is not None, "only a resource with a scale subresource is scaled"
    return paths


class Writer:
    """The writing verbs over one core."""

    def __init__(self, core: Core, definitions: Definitions, admitting: Admitting) -> None:
        self._core = core
        self._definitions = definitions
        self._admitting = admitting

    # -- Create

    async def create(self, request: Request, body: Body, *, absent_update: bool = False) -> Answer:
        """A new object (CRT-1). Raises Refusal."""
        core, resource = self._core, request.resource
        check_options("CreateOptions", request.options)
        kind = core.kind(resource)
        obj, warnings = self._decoded(request, kind, body)
        metadata = obj["metadata"]
        check_place(request, metadata, named=absent_update)
        self._check_room(request, metadata)
        if metadata.get("resourceVersion", "0") != "0" and not absent_update:
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        review = self._admitting.create(request, core.view(resource, obj), warnings)
        with review.telling():
            obj = await self._admitted(request, kind, review, obj)
        if is_dry(request.options):
            return Answer(201, core.encoded(resource, obj), tuple(warnings))
        entry = core.put(resource, obj)
        answer = Answer(201, core.shown(resource, entry), tuple(warnings))
        self._definitions.changed(resource, entry)
        return answer

    async def _admitted(self, request: Request, kind: Kind, review: Asked, obj: Json) -> Json:
        """The new object, changed and checked by all who have a say. Raises Refusal."""
        core, resource = self._core, request.resource
        obj = await self._mutated(request, kind, review, obj)
        self._complete_new(resource, kind, obj)
        name = obj["metadata"].get("name", "")
        if causes := validate_metadata(obj["metadata"], kind.name_rule, custom=resource.custom) + kind.validate(
            obj, core
        ):
            raise invalid(core.storage(resource), name, causes)
        review.warnings += finalizer_warnings(obj["metadata"])
        await review.validated(core.view(resource, obj), name)
        if review.called:
            self._check_room(request, obj["metadata"])  # the namespace may be on its way out by now
        if core.get(resource, request.namespace, name) is not None:
            raise already_exists(resource, name)
        return obj

    def _decoded(self, request: Request, kind: Kind, body: Body) -> tuple[Json, list[str]]:
        resource = request.resource
        try:
            obj, problems = decode(resource, kind, body)
            return obj, field_warnings(resource, request.options, problems)
        except NotOfItsKind as error:
            raise error.refusal(resource.kind) from error

    def _check_room(self, request: Request, metadata: Json) -> None:
        """Whether the namespace, and the definition of a custom resource, take new objects (CRT-4, DEL-16, CRD-8)."""
        resource = request.resource
        if resource.namespaced:
            name = request.namespace
            namespace = self._core.find(_NAMESPACES.store, "", name)
            if namespace is None:
                raise not_found(_NAMESPACES, name)
            if "deletionTimestamp" in namespace["metadata"]:
                why = f"unable to create new content in namespace {name} because it is being terminated"
                cause = {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {name} is being terminated",
                    "field": "metadata.namespace",
                }
                raise forbidden_request(resource, metadata.get("name", ""), why, [cause])
        if resource.custom and self._definitions.terminating(resource):
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden_request(resource, metadata.get("name", ""), why)

    def _complete_new(self, resource: ResourceInfo, kind: Kind, obj: Json) -> None:
        """What the server adds to a new object once admission has seen it."""
        core, metadata = self._core, obj["metadata"]
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                causes = [required("metadata.name", "name or generateName is required")]
                raise invalid(resource, "", causes)
            metadata["name"] = generated_name(metadata["generateName"], core.chance.choice)
        if resource.has_status and not kind.keeps_status_on_create:
            obj.pop("status", None)
        generation = 1 if kind.generation(obj, None) else None
        created(metadata, uid=core.uid(), now=core.now(), generation=generation)
        kind.prepare_create(obj, core)

    async def _mutated(self, request: Request, kind: Kind, asked: Asked, obj: Json) -> Json:
        """The object as admission left it, decoded anew if it did something (ADM-13)."""
        result = await asked.mutated()
        if result is None:
            return obj
        if request.subresource == "scale":
            return conformed("autoscaling.v1.Scale", "Scale", result)
        again, _ = self._decoded(request, kind, Body(result))
        check_place(request, again["metadata"], named=False)
        return again

    # -- Update and patch

    async def update(self, request: Request, body: Body) -> Answer:
        """Another content for an object, or for the part that a subresource owns (UPD-1). Raises Refusal."""
        core, resource = self._core, request.resource
        check_options("UpdateOptions", request.options)
        if request.subresource == "scale":
            wanted = conformed("autoscaling.v1.Scale", "Scale", body.value)
            return await self._change(request, lambda old, _: self._scaled(request, old, wanted))
        kind = core.kind(resource)
        new, warnings = self._decoded(request, kind, body)
        check_place(request, new["metadata"], named=True)
        if core.get(resource, request.namespace, request.name) is None:
            if kind.create_on_update and not request.subresource:
                return await self.create(request, body, absent_update=True)
            raise not_found(resource, request.name)

        def make(old: Json, entry: Entry) -> tuple[Json, list[str]]:
            fresh: Json = orjson.loads(orjson.dumps(new))
            self._check_update(request, kind, fresh["metadata"], entry)
            return fresh, list(warnings)

        return await self._change(request, make)

    def _check_update(self, request: Request, kind: Kind, metadata: Json, entry: Entry) -> None:
        """Preconditions that a PUT carries in its metadata (UPD-1, UPD-2)."""
        resource, name = request.resource, request.name
        version = metadata.get("resourceVersion", "0")
        if not version.isdigit():
            raise Refusal(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
        if version == "0":
            if not kind.unconditional_update:
                text = "must be specified for an update"
                raise invalid(resource, name, [invalid_value("metadata.resourceVersion", 0, text)], plural=True)
        elif int(version) != entry.version:
            raise conflict(resource, name)
        uid = metadata.get("uid")
        if uid and uid != entry.uid:
            key = f"/registry/{resource.plural}/{entry.key}"
            why = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg:"
            text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {entry.uid}"
            raise conflict(resource, name, f"{why} {text}")

    async def patch(self, request: Request, patch: Patch) -> Answer:
        """A change relative to what is stored. Raises Refusal; 404 when there is nothing stored (PATCH-2)."""
        check_options("PatchOptions", request.options, patch=patch.kind != "apply")
        _check_media(request.resource, patch)
        return await self._change(request, lambda old, entry: self._patched(request, patch, old, entry))

    def _patched(self, request: Request, patch: Patch, old: Json, entry: Entry) -> tuple[Json, list[str]]:
        core, resource = self._core, request.resource
        scale = request.subresource == "scale"
        seen = scale_of(old, scale_paths(core, resource)) if scale else core.view(resource, old)
        patched = _applied(patch, seen)
        if scale:
            try:
                wanted = conformed("autoscaling.v1.Scale", "Scale", patched)
            except Refusal as refusal:
                raise _unpatchable(patched, refusal.message) from refusal
            return self._scaled(request, old, wanted)
        try:
            new, problems = decode(resource, core.kind(resource), Body(patched, patch.duplicates))
            warnings = field_warnings(resource, request.options, problems)
        except NotOfItsKind as error:
            raise _unpatchable(patched, str(error)) from error
        metadata = new["metadata"]
        check_place(request, metadata, named=True)
        if metadata.get("resourceVersion", str(entry.version)) != str(entry.version):
            raise conflict(resource, request.name)
        return new, warnings

    def _scaled(self, request: Request, old: Json, scale: Json) -> tuple[Json, list[str]]:
        version = (scale.get("metadata") or {}).get("resourceVersion") or old["metadata"]["resourceVersion"]
        if version != old["metadata"]["resourceVersion"]:
            raise conflict(request.resource, request.name)
        return with_scale(old, scale_paths(self._core, request.resource), scale), []

    async def _change(self, request: Request, make: Make) -> Answer:
        """Read, make, check, commit; again if the object changed while admission was asked."""
        while True:
            entry = self._core.get(request.resource, request.namespace, request.name)
            if entry is None:
                raise not_found(request.resource, request.name)
            old = self._core.decoded(request.resource, entry)
            new, warnings = make(self._core.decoded(request.resource, entry), entry)
            if (answer := await self._changed(request, entry, old, new, warnings)) is not None:
                return answer

    async def _changed(
        self, request: Request, entry: Entry, old: Json, new: Json, warnings: list[str]
    ) -> Answer | None:
        core, resource = self._core, request.resource
        kind = core.kind(resource)
        review = self._admitting.update(request, self._asked(request, new), self._asked(request, old), warnings)
        with review.telling():
            admitted = await self._mutated(request, kind, review, new)
            if admitted is not new and request.subresource == "scale":
                admitted, _ = self._scaled(request, old, admitted)
            new = self._merged(request, kind, admitted, old)
            self._check_changed(request, kind, new, old)
            review.warnings += finalizer_warnings(new["metadata"], old["metadata"])
            await review.validated(self._asked(request, new), request.name)
            if core.get(resource, request.namespace, request.name) is not entry:
                return None
            return Answer(200, self._commit(request, kind, entry, old, new), tuple(warnings))

    def _asked(self, request: Request, obj: Json) -> Json:
        """The object as admission sees it: a Scale, if that is what is written (ADM-3)."""
        if request.subresource == "scale":
            return scale_of(obj, scale_paths(self._core, request.resource))
        return self._core.view(request.resource, obj)

    def _merged(self, request: Request, kind: Kind, new: Json, old: Json) -> Json:
        """The new object with all that this path does not write as it was (STAT-1), and the server's own fields."""
        resource = request.resource
        carry_over(new["metadata"], old["metadata"])
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if request.subresource == "status":
            new = kind.merge_status(new, old)
        elif request.subresource and request.subresource != "scale":
            new = merge_part(request.subresource, new, old)
        elif resource.has_status:
            new = {key: value for key, value in new.items() if key != "status"}
            if "status" in old:
                new["status"] = old["status"]
        if request.subresource != "finalize":
            kind.prepare_update(new, old, self._core)
        if kind.generation(new, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        return new

    def _check_changed(self, request: Request, kind: Kind, new: Json, old: Json) -> None:
        causes = validate_metadata_update(new["metadata"], old["metadata"])
        causes += validate_metadata(new["metadata"], kind.name_rule, custom=request.resource.custom)
        if request.subresource:
            causes += kind.validate_part(request.subresource, new, old)
        else:
            causes += kind.validate_update(new, old)
        causes += kind.validate_changed(new, old, self._core, status=request.subresource == "status")
        if causes:
            raise invalid(self._core.storage(request.resource), request.name, causes)

    def _commit(self, request: Request, kind: Kind, entry: Entry, old: Json, new: Json) -> bytes:
        """Store what changed, or remove what has lost its last finalizer; the text to answer."""
        core, resource = self._core, request.resource
        if _vanishes(kind, new, old):
            shown = core.encoded(resource, new)
            if not is_dry(request.options):
                self._definitions.removed(resource, core.remove(resource, entry).entry)
            return shown
        if new == old:
            return self._shown(request, entry)
        if is_dry(request.options):
            return core.encoded(resource, new)
        stored = core.put(resource, new)
        shown = self._shown(request, stored)
        self._definitions.changed(resource, stored)
        return shown

    def _shown(self, request: Request, entry: Entry) -> bytes:
        core, resource = self._core, request.resource
        if request.subresource == "scale":
            return orjson.dumps(scale_of(core.decoded(resource, entry), scale_paths(core, resource)))
        return core.shown(resource, entry)


def _vanishes(kind: Kind, new: Json, old: Json) -> bool:
    """An object on its way out goes with its last finalizer (DEL-6)."""
    if "deletionTimestamp" not in old["metadata"] or new["metadata"].get("finalizers"):
        return False
    return kind.may_vanish(new)


def _check_media(resource: ResourceInfo, patch: Patch) -> None:
    """Which patches are understood. Raises Refusal 415 (PATCH-1)."""
    if patch.kind == "strategic" and resource.custom:
        accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        raise unsupported_media(f"{_MEDIA} {accepted}")
    if patch.kind == "apply":
        accepted = "application/json-patch+json, application/merge-patch+json"
        raise unsupported_media(f"{_MEDIA} {accepted} (server-side apply is not served by the local cluster yet)")


def _applied(patch: Patch, document: Json) -> object:
    try:
        if patch.kind == "merge":
            return merge_patch(document, patch.value)
        if patch.kind == "strategic":
            return strategic_merge(document, patch.value)
        return json_patch(document, patch.value)
    except PatchMalformed as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except PatchFailed as error:
        raise Refusal(422, "Invalid", _PATCH_REJECTED, {}) from error
    except ItemWithoutKey as error:
        raise Refusal(500, "", str(error)) from error
    except RetainKeysDisagree as error:
        raise bad_request(str(error)) from error
    except NotAList as error:
        raise _unpatchable(go_text(patch.value), str(error)) from error


def _unpatchable(patched: object, why: str) -> Refusal:
    """The patched object is none of its kind (PATCH-6); it is shown as JSON, or as the text it is handed over as."""
    shown = patched if isinstance(patched, str) else orjson.dumps(patched).decode()
    text = f"Invalid value: {quoted(shown)}: {why}"
    details = {"causes": [{"reason": "FieldValueInvalid", "message": text, "field": "patch"}]}
    return Refusal(422, "Invalid", f' "" is invalid: patch: {text}', details)
