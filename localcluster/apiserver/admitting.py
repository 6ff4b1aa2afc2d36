"""Between a write and admission: what is shown to it, and what its answers mean (spec kube-api §16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from localcluster.api import Json
from localcluster.apiserver.incoming import is_dry
from localcluster.apiserver.requests import Admission, Request, Review

__all__ = ["Admitting", "Asked"]

Operation = Literal["CREATE", "UPDATE", "DELETE"]


class Asked:
    """The two questions of one write. Without admission neither awaits anything."""

    def __init__(self, admission: Admission | None, review: Review) -> None:
        self._admission = admission
        self._review = review

    @property
    def warnings(self) -> list[str]:
        """What admission wants the client to read."""
        return self._review.warnings

    async def mutated(self) -> Json | None:
        """The object as admission wants it; None when it is content. Raises Refusal."""
        if self._admission is None:
            return None
        return await self._admission.mutate(self._review)

    async def validated(self, obj: Json | None, name: str) -> None:
        """Show the object as it would be stored. Raises Refusal."""
        if self._admission is not None:
            self._review.object, self._review.name = obj, name
            await self._admission.validate(self._review)


class Admitting:
    """Makes the reviews. The admission is looked up with each write: it may be set later."""

    def __init__(self, admission: Callable[[], Admission | None]) -> None:
        self._admission = admission

    def create(self, request: Request, obj: Json) -> Asked:
        """Ask about a new object."""
        return self._ask("CREATE", request, obj, None)

    def update(self, request: Request, obj: Json, old: Json) -> Asked:
        """Ask about a changed object."""
        return self._ask("UPDATE", request, obj, old)

    def delete(self, request: Request, old: Json, name: str) -> Asked:
        """Ask about an object that shall go; name is "" for one of a collection (DEL-10)."""
        asked = self._ask("DELETE", request, None, old)
        asked._review.name = name
        return asked

    def _ask(self, operation: Operation, request: Request, obj: Json | None, old: Json | None) -> Asked:
        name = request.name or (obj or {}).get("metadata", {}).get("name", "")
        review = Review(
            operation=operation,
            request=request,
            name=name,
            object=obj,
            old_object=old,
            options=_options(operation, request),
            dry_run=is_dry(request.options),
            warnings=[],
        )
        return Asked(self._admission(), review)


def _options(operation: Operation, request: Request) -> Json:
    """The options object of a review (ADM-2)."""
    kinds = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
    options: Json = {"kind": kinds[operation], "apiVersion": "meta.k8s.io/v1"}
    given = request.options
    for key, value in (
        ("dryRun", list(given.dry_run)),
        ("fieldManager", given.field_manager),
        ("fieldValidation", given.field_validation),
        ("propagationPolicy", given.propagation),
        ("gracePeriodSeconds", given.grace_seconds),
    ):
        if value not in ("", [], None) and (operation == "DELETE") >= (
            key in {"propagationPolicy", "gracePeriodSeconds"}
        ):
            options[key] = value
    return options
