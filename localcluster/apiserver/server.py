"""The API server below HTTP: every verb as a method, one version counter, nothing that knows a socket.

Each method answers a value or raises `Refusal`, which holds the Status object to send. What happens between reading
an object and committing the change is free of awaits unless admission calls out, so a commit is atomic; after a
call-out the object is compared again, and the write tried once more or refused as a conflict.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from localcluster.apiserver.registry import Registry
from localcluster.apiserver.requests import Admission, Answer, Body, ListAnswer, Patch, Request
from localcluster.apiserver.watching import Watch

__all__ = ["ApiServer"]


class ApiServer:
    """Objects, and the verbs on them. `now` and `chance` are the only sources of time and names."""

    def __init__(
        self, *, now: Callable[[], datetime], chance: random.Random, admission: Admission | None = None
    ) -> None:
        self.registry = Registry()
        self.admission = admission
        self._now = now
        self._chance = chance

    async def get(self, request: Request) -> Answer:
        """One object, or what its subresource shows: /status the whole object, /scale a Scale."""
        raise NotImplementedError

    async def list(self, request: Request) -> ListAnswer:
        """A page of objects, a consistent one (LIST-3). An absent namespace lists empty."""
        raise NotImplementedError

    async def watch(self, request: Request) -> Watch:
        """A stream of changes. Everything that can be refused is refused here, before the first event (WATCH-14)."""
        raise NotImplementedError

    async def create(self, request: Request, body: Body) -> Answer:
        """A new object; or, with name and subresource, a binding or an eviction."""
        raise NotImplementedError

    async def update(self, request: Request, body: Body) -> Answer:
        """Another content for an object, or for the part its subresource owns."""
        raise NotImplementedError

    async def patch(self, request: Request, patch: Patch) -> Answer:
        """A change relative to what is stored."""
        raise NotImplementedError

    async def delete(self, request: Request) -> Answer:
        """The object goes, or is marked as going: a Status in the first case, the object in the second (DEL-1)."""
        raise NotImplementedError

    async def delete_collection(self, request: Request) -> ListAnswer:
        """Every selected object goes; answers them as they were (DEL-10)."""
        raise NotImplementedError
