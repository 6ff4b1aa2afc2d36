"""Admission webhooks: who is asked about a write, in which order, and what follows (spec kube-api §16).

Mutating ones are asked one after the other, by name of configuration and then as listed, each seeing what those before
it did; where one changed the object, those before it that wish so are asked once more. Validating ones are asked all
at once. Which are meant, what is sent and what an answer means is decided in pure modules beside this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.admission_calls import Call, destination
from localcluster.apiserver.admission_conditions import ConditionError, facts_of, hold
from localcluster.apiserver.admission_hooks import GROUP, MUTATING, VALIDATING, Hook, hooks_of, matched
from localcluster.apiserver.admission_policies import BINDINGS, POLICIES, Bound, bound_policies, verdict
from localcluster.apiserver.admission_review import (
    Admitted,
    CallFailed,
    asked_about,
    denied,
    failed,
    internal,
    judged,
    namespace_of,
    review,
)
from localcluster.apiserver.core import Core
from localcluster.apiserver.incoming import NotOfItsKind, conformed, decode
from localcluster.apiserver.patch import PatchFailed, PatchMalformed, json_patch
from localcluster.apiserver.refusals import forbidden_request, not_found
from localcluster.apiserver.requests import Body, Review
from localcluster.resources import BUILT_IN, ResourceInfo

__all__ = ["Webhooks"]

_NAMESPACES: Final = next(one for one in BUILT_IN if one.name == "namespaces")


class Webhooks:
    """The `Admission` that calls webhooks, as the stored configurations say at the moment of each write."""

    def __init__(self, core: Core, call: Call) -> None:
        self._core = core
        self._call = call
        self._bound: tuple[tuple[int, int], tuple[Bound, ...]] = ((-1, -1), ())
        self._read: dict[str, tuple[int, tuple[Hook, ...]]] = {}

    async def mutate(self, review: Review) -> Json | None:
        """The object as the mutating webhooks leave it; None if they leave it alone. Raises Refusal."""
        hooks = self._hooks(MUTATING, review)
        return await _Mutation(self, review).by(hooks) if hooks else None

    async def validate(self, review: Review) -> None:
        """Ask the policies, then the validating webhooks. Raises the Refusal of the one that refuses first."""
        self._by_policies(review)
        asking = [
            (hook, seen) for hook in self._hooks(VALIDATING, review) if (seen := self.meets(hook, review)) is not None
        ]
        if not asking:
            return
        refusals: list[Refusal] = []

        async def ask(hook: Hook, seen: ResourceInfo) -> None:
            try:
                await self.answer(hook, review, seen)
            except Refusal as refusal:
                refusals.append(refusal)

        async with asyncio.TaskGroup() as group:
            for hook, seen in asking:
                group.create_task(ask(hook, seen))
        if refusals:
            raise refusals[0]

    def _by_policies(self, review: Review) -> None:
        own = review.request.resource
        refusals = []
        for bound in self._policies(review):
            seen = bound.meets(review, self._served_as(own), lambda: self._namespace_labels(review))
            if seen is None:
                continue

            def facts(seen: ResourceInfo = seen) -> Json:
                objects = [self.converted(one, own, seen, review) for one in (review.object, review.old_object)]
                namespace = self._core.find("namespaces", "", namespace_of(review))
                return {**facts_of(asked_about(review, seen), *objects), "namespaceObject": namespace}

            refusals.append(verdict(bound, facts, review))
        for refusal in refusals:
            if refusal is not None:
                raise refusal

    def _policies(self, review: Review) -> Sequence[Bound]:
        """The policies in effect, read again when one of them or of their bindings has changed."""
        policies, bindings = (self._core.store.collection(one) for one in (POLICIES, BINDINGS))
        if not len(policies) or not len(bindings) or review.request.resource.group == GROUP:
            return ()
        numbers = (policies.next_number, bindings.next_number)
        if self._bound[0] != numbers:
            read = [
                [orjson.loads(one.raw) for one in self._core.store.snapshot(which).range()]
                for which in (POLICIES, BINDINGS)
            ]
            self._bound = (numbers, bound_policies(*read))
        return self._bound[1]

    def meets(self, hook: Hook, review: Review) -> ResourceInfo | None:
        """As which resource the webhook is asked; None if it is not. Raises Refusal when its conditions fail."""
        seen = matched(
            hook.rules,
            review,
            self._served_as(review.request.resource),
            equivalent=hook.equivalent,
            objects=hook.objects,
            namespaces=hook.namespaces,
            labels=lambda: self._namespace_labels(review),
        )
        if seen is None or not hook.conditions:
            return seen
        own = review.request.resource

        def facts() -> Json:
            objects = [self.converted(one, own, seen, review) for one in (review.object, review.old_object)]
            return dict(facts_of(asked_about(review, seen), *objects))

        try:
            return seen if hold(hook.conditions, facts) else None
        except ConditionError as error:
            if not hook.fails:
                return None
            raise forbidden_request(own, review.name, str(error)) from error

    async def answer(self, hook: Hook, asked: Review, seen: ResourceInfo) -> Admitted | None:
        """The webhook's yes, its warnings noted; None if it could not be asked and need not be. Raises Refusal."""
        own, uid = asked.request.resource, self._core.uid()
        objects = [self.converted(one, own, seen, asked) for one in (asked.object, asked.old_object)]
        body = review(asked_about(asked, seen), uid, *objects)
        try:
            where = destination(hook.client, hook.seconds, self._core.find)
            admitted = judged(await self._call(where, body, hook.seconds), uid, mutating=hook.mutating)
        except CallFailed as error:
            if hook.fails:
                raise failed(hook.name, error) from error
            return None
        asked.warnings.extend(admitted.warnings)
        if not admitted.allowed:
            raise denied(hook.name, admitted.status)
        return admitted

    def converted(self, obj: Json | None, own: ResourceInfo, other: ResourceInfo, asked: Review) -> Json | None:
        """An object of one version as one of the other, of the same custom resource (ADM-10)."""
        if obj is None or own is other or asked.request.subresource == "scale":
            return obj
        return decode(other, self._core.kind(other), Body({**obj, "apiVersion": other.api_version}))[0]

    def decoded(self, obj: Json, resource: ResourceInfo, asked: Review) -> Json:
        """What a webhook made of an object, pruned and completed. Raises Refusal 500."""
        try:
            if asked.request.subresource == "scale":
                return conformed("autoscaling.v1.Scale", "Scale", obj)
            return decode(resource, self._core.kind(resource), Body(obj))[0]
        except NotOfItsKind as error:
            raise internal(str(error)) from error
        except Refusal as refusal:
            raise internal(refusal.message) from refusal

    def _hooks(self, store: str, review: Review) -> Sequence[Hook]:
        """All webhooks of a kind; none for configurations themselves, which must stay mendable."""
        collection = self._core.store.collection(store)
        if not len(collection) or review.request.resource.group == GROUP:
            return ()
        number = collection.next_number
        known = self._read.get(store)
        if known is None or known[0] != number:
            entries = self._core.store.snapshot(store).range()
            hooks = [hooks_of(orjson.loads(one.raw), mutating=store == MUTATING) for one in entries]
            known = self._read[store] = (number, tuple(hook for some in hooks for hook in some))
        return known[1]

    def _served_as(self, resource: ResourceInfo) -> Sequence[ResourceInfo]:
        if not resource.custom:
            return (resource,)
        others = (one for one in self._core.registry.resources() if one.store == resource.store and one is not resource)
        return (resource, *others)

    def _namespace_labels(self, review: Review) -> Json:
        """Of the namespace as it is; of one that is being written, as it will be."""
        if review.request.resource.name == "namespaces" and review.object is not None:
            return review.object["metadata"].get("labels") or {}
        name = namespace_of(review)
        found = self._core.find("namespaces", "", name)
        if found is None:
            raise not_found(_NAMESPACES, name)
        return found["metadata"].get("labels") or {}


class _Mutation:
    """One write among the mutating webhooks."""

    def __init__(self, webhooks: Webhooks, review: Review) -> None:
        self._webhooks = webhooks
        self._review = review
        self._changed = False

    async def by(self, hooks: Sequence[Hook]) -> Json | None:
        """Ask them all, and once more those that want it when a later one changed the object."""
        before: list[Hook] = []
        again: dict[str, Hook] = {}
        for hook in hooks:
            asked, changed = await self._by(hook)
            if changed:
                again |= {one.key: one for one in before}
                before.clear()
            if asked and hook.reinvocable:
                before.append(hook)
        for hook in again.values():
            await self._by(hook)
        return self._review.object if self._changed else None

    async def _by(self, hook: Hook) -> tuple[bool, bool]:
        """Whether it was asked, and whether it changed the object."""
        seen = self._webhooks.meets(hook, self._review)
        if seen is None:
            return False, False
        admitted = await self._webhooks.answer(hook, self._review, seen)
        if admitted is None or not admitted.patch:
            return True, False
        return True, self._patched(hook, admitted.patch, seen)

    def _patched(self, hook: Hook, patch: bytes, seen: ResourceInfo) -> bool:
        review, webhooks = self._review, self._webhooks
        own = review.request.resource
        if (current := webhooks.converted(review.object, own, seen, review)) is None:
            text = f'admission webhook "{hook.name}" attempted to modify the object'
            raise internal(f"{text}, which is not supported for this operation")
        try:
            operations = orjson.loads(patch)
            if operations == []:
                return False
            made = json_patch(current, operations)
        except (PatchFailed, PatchMalformed, orjson.JSONDecodeError) as error:
            raise internal(str(error)) from error
        new = webhooks.decoded(made, seen, review)
        if new == current:
            return False
        review.object = webhooks.converted(new, seen, own, review)
        self._changed = True
        return True
