"""Keeps the webhooks' certificates in a Secret, and their authority in the configurations that name us (WH-13).

Every replica does so, with or without the lease: what it shows is what the Secret holds. All writes are made from what
was read, under its resourceVersion, so that replicas that see the same thing at once agree: one writes, the others read
again. A replica that does not lead leaves a change to the leader until it has seen it due twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from api.core import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS
from api.meta import Json, Resource
from controller.runtime.certificates import Pair
from controller.runtime.errors import AlreadyExists, Conflict, Forbidden, LostAnswer, NotFound, RuntimeProblem
from controller.runtime.interfaces import Client, Clock
from webhooks.certificates import Material, data_of, is_ours, next_material, read
from webhooks.registration import (
    INJECTED_BY_CERT_MANAGER,
    MUTATING,
    SECRET,
    VALIDATING,
    Registration,
    covers,
    mutating,
    validating,
    with_bundle,
)

__all__ = ["CannotKeep", "Keeper", "Kept"]

LOOK_SECONDS: Final = 30.0  # 3 GETs of one object each
JITTER: Final = 0.2
RETRY_SECONDS: Final = 2.0  # after a look that failed
MOST_TRIES: Final = 5  # of one look, when others write at the same time

_log = structlog.get_logger("webhooks")


class CannotKeep(RuntimeProblem):
    """The rights for certificates of our own are missing."""


class _Client(Client, Protocol):
    async def update(self, resource: Resource, body: Json) -> Json: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Where, and for which names. With a registration by URL the configurations are made, too; else they are only
    given the authority's certificate, since whoever installed them says what else stands there."""

    namespace: str
    names: Sequence[str]
    registration: Registration | None = None


class Keeper:
    """`use` is told of each pair that is to be shown; `leading` says whether we lead."""

    def __init__(
        self,
        client: _Client,
        kept: Kept,
        *,
        use: Callable[[Pair], None],
        leading: Callable[[], bool],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._kept = kept
        self._use = use
        self._leading = leading
        self._clock = clock
        self._rng = rng
        self._material: Material | None = None  # that we show
        self._carried = False  # every configuration was seen to carry our bundle
        self._due_before = False  # the last look found a change due, and left it to the leader
        self._missing: set[str] = set()  # configurations whose absence was told

    async def run(self) -> None:
        """Look for ever. Raises CannotKeep when the first look finds that we may not."""
        while True:
            try:
                await self.look()
                pause = LOOK_SECONDS
            except Forbidden as error:
                if self._material is None:
                    raise CannotKeep(_rights(error, self._kept.namespace)) from error
                _log.warning("cannot keep the webhooks' certificates", problem=str(error))
                pause = LOOK_SECONDS
            except RuntimeProblem as error:
                _log.warning("cannot look after the webhooks' certificates", problem=str(error))
                pause = RETRY_SECONDS
            await asyncio.sleep(pause * self._rng.uniform(1 - JITTER, 1 + JITTER))

    async def look(self) -> None:
        """Once: renew what is due, tell the configurations, show what is there. Raises RuntimeProblem."""
        material = await self._renewed()
        self._carried = await self._told(material.trusted)
        if self._material is None or material.serving != self._material.serving:
            self._use(material.serving)
        self._material = material

    async def _renewed(self) -> Material:
        for _ in range(MOST_TRIES):
            secret = await self._found(SECRETS, self._kept.namespace, SECRET)
            material = read(secret) if secret is not None else None
            if material is None and secret is not None and not is_ours(secret):
                raise RuntimeProblem(
                    f"the Secret {self._kept.namespace}/{SECRET} holds no certificate, and is not ours"
                )
            known = self._material.bundle if self._material is not None else ()
            due = next_material(material, self._kept.names, self._clock.now(), carried=self._carried, known=known)
            if material is not None and (due is None or not self._is_ours_to_do()):
                self._due_before = due is not None
                return material
            assert due is not None  # nothing there is always due
            try:
                await self._store(secret, due)
            except (AlreadyExists, Conflict, LostAnswer):
                continue
            self._due_before = False
            _log.info("the webhooks' certificates are new", secret=SECRET, namespace=self._kept.namespace)
            return due
        raise RuntimeProblem(f"others keep changing the Secret {self._kept.namespace}/{SECRET}")

    def _is_ours_to_do(self) -> bool:
        return self._leading() or self._due_before

    async def _store(self, secret: Json | None, material: Material) -> None:
        if secret is not None:
            await self._client.update(SECRETS, {**secret, "data": data_of(material)})
            return
        metadata = {"name": SECRET, "namespace": self._kept.namespace}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls"}
        await self._client.create(SECRETS, body | {"data": data_of(material)})

    async def _told(self, bundle: bytes) -> bool:
        """Whether all configurations carried the bundle when we looked."""
        carried = [await self._tell(*which, bundle) for which in _CONFIGURATIONS]
        return all(carried)

    async def _tell(self, resource: Resource, name: str, made: Callable[[Registration], Json], bundle: bytes) -> bool:
        found = await self._found(resource, "", name)
        wanted = self._wanted(made, found, bundle)
        if wanted is None:
            self._tell_missing(name, found)
            return True
        if found is not None and covers(found.get("webhooks"), wanted["webhooks"]):
            return True
        _log.info("telling the API server of the webhooks", kind=resource.kind, name=name)
        try:
            if found is None:
                await self._client.create(resource, wanted)
            else:
                await self._client.patch(resource, "", name, _change(found, wanted["webhooks"]))
        except (AlreadyExists, Conflict):
            _log.info("somebody else changed it at the same time: at the next look", name=name)
        return False

    def _wanted(self, made: Callable[[Registration], Json], found: Json | None, bundle: bytes) -> Json | None:
        """What the configuration should say; None: it is not for us to say."""
        how = self._kept.registration
        if how is not None:
            wanted = made(how)
            return wanted | {"webhooks": with_bundle(wanted["webhooks"], bundle)}
        annotations = ((found or {}).get("metadata") or {}).get("annotations") or {}
        if found is None or INJECTED_BY_CERT_MANAGER in annotations or not bundle:
            return None
        return {"webhooks": with_bundle(found.get("webhooks") or [], bundle)}

    def _tell_missing(self, name: str, found: Json | None) -> None:
        if found is None and name not in self._missing:
            _log.warning("nobody asks our webhooks: their configuration is not installed", name=name)
        self._missing = self._missing - {name} if found is not None else self._missing | {name}

    async def _found(self, resource: Resource, namespace: str, name: str) -> Json | None:
        try:
            return await self._client.get(resource, namespace, name)
        except NotFound:
            return None


_CONFIGURATIONS: Final[Sequence[tuple[Resource, str, Callable[[Registration], Json]]]] = (
    (VALIDATING_WEBHOOKS, VALIDATING, validating),
    (MUTATING_WEBHOOKS, MUTATING, mutating),
)


def _change(found: Json, webhooks: Sequence[Any]) -> Json:
    metadata = found["metadata"]
    return {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "webhooks": list(webhooks),
    }


def _rights(error: Forbidden, namespace: str) -> str:
    return (
        f"{error}. Certificates of our own need get, create and update of the Secret {SECRET} in {namespace}, and get "
        f"and patch of the webhook configurations {VALIDATING} and {MUTATING} (config/webhook/rights); or mount "
        "certificates and give -webhook-certificates=files; or switch webhooks off: ENABLE_WEBHOOKS=false"
    )
