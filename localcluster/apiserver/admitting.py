"""Between a write and admission: what is shown to it, and what its answers mean (spec kube-api §16)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from localcluster.api import Json, Refusal
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
    def called(self) -> bool:
        """Whether anybody may have been asked, so that time may have passed."""
        return self._admission is not None

    @property
    def warnings(self) -> list[str]:
        """What the client shall read; admission adds to it."""
        return self._review.warnings

    @warnings.setter
    def warnings(self, warnings: list[str]) -> None:
        self._review.warnings = warnings

    @contextmanager
    def telling(self) -> Iterator[None]:
        """A refusal inside carries the warnings that there are by then."""
        try:
            yield
        except Refusal as refusal:
            refusal.warnings = (*refusal.warnings, *self.warnings)
            raise

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
    """Makes the reviews. The admission is looked up with each write: it may be set later.

    What is warned of is added to the list that is handed in.
    """

    def __init__(self, admission: Callable[[], Admission | None]) -> None:
        self._admission = admission

    def create(self, request: Request, obj: Json, warnings: list[str]) -> Asked:
        """Ask about a new object."""
        return self._ask("CREATE", request, obj, None, warnings)

    def update(self, request: Request, obj: Json, old: Json, warnings: list[str]) -> Asked:
        """Ask about a changed object."""
        return self._ask("UPDATE", request, obj, old, warnings)

    def delete(self, request: Request, old: Json, name: str) -> Asked:
        """Ask about an object that shall go; name is "" for one of a collection (DEL-10)."""
        asked = self._ask("DELETE", request, None, old, [])
        asked._review.name = name
        return asked

    def _ask(
        self, operation: Operation, request: Request, obj: Json | None, old: Json | None, warnings: list[str]
    ) -> Asked:
        name = request.name or (obj or {}).get("metadata", {}).get("name", "")
        review = Review(
            operation=operation,
            request=request,
            name=name,
            object=obj,
            old_object=old,
            options=_options(operation, request),
            dry_run=is_dry(request.options),
            warnings=warnings,
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
