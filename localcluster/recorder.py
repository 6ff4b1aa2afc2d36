"""Events for users, as controllers and node write them: best effort, in the background, repeated ones counted."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from localcluster.api import Api, Json, Refusal

__all__ = ["Recorder"]

REMEMBERED = 4096  # events that are counted when they come again

_Key: TypeAlias = tuple[str, str, str, str, str]


class Recorder:
    """Writes core/v1 events (spec kube-api EVT-1) in the order in which they were said."""

    def __init__(
        self, api: Api, component: str, *, now: Callable[[], datetime], host: str = "", new_style: str = ""
    ) -> None:
        """`new_style` is the action of whoever writes through events.k8s.io, as the scheduler does (EVT-1)."""
        self._api, self._component, self._host, self._now = api, component, host, now
        self._action = new_style
        self._waiting: deque[tuple[_Key, Json]] = deque()
        self._written: OrderedDict[_Key, tuple[str, int]] = OrderedDict()
        self._said = asyncio.Event()
        self._serial = 0

    def say(
        self, about: Json, type_: Literal["Normal", "Warning"], reason: str, message: str, *, field: str = ""
    ) -> None:
        """Tell it soon. `about` is the object (with kind and apiVersion), `field` a path in it."""
        metadata = about["metadata"]
        regarding = {
            "kind": about["kind"],
            "apiVersion": about["apiVersion"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if field:
            regarding["fieldPath"] = field
        key = (regarding["uid"] or regarding["name"], type_, reason, message, field)
        moment = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._waiting.append((key, self._body(regarding, type_, reason, message, moment)))
        self._said.set()

    async def run(self) -> None:
        """Write what is said, until cancelled. What the API refuses is dropped: nothing may depend on an event."""
        while True:
            await self._said.wait()
            self._said.clear()
            while self._waiting:
                key, body = self._waiting.popleft()
                try:
                    await self._write(key, body)
                except (Refusal, OSError):
                    self._written.pop(key, None)

    async def _write(self, key: _Key, body: Json) -> None:
        namespace = body["metadata"]["namespace"]
        name, count = self._written.pop(key, ("", 0))
        if name:
            await self._api.patch("events", namespace, name, self._again(body, count + 1))
        else:
            name = body["metadata"]["name"]
            await self._api.create("events", namespace, body)
        self._written[key] = name, count + 1
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _again(self, body: Json, count: int) -> Json:
        """What changes in an event that comes again."""
        if self._action:
            return {"series": {"count": count, "lastObservedTime": body["eventTime"]}}
        return {"count": count, "lastTimestamp": body["lastTimestamp"]}

    def _body(self, regarding: Json, type_: str, reason: str, message: str, moment: str) -> Json:
        self._serial += 1
        serial = f"{int(self._now().timestamp() * 1000):x}{self._serial:04x}"
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        body: Json = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{regarding['name']}.{serial}",
                "namespace": regarding["namespace"] or "default",
            },
            "involvedObject": regarding,
            "type": type_,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        if self._action:
            precise = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            for key in ("source", "firstTimestamp", "lastTimestamp", "count"):
                del body[key]
            body |= {"eventTime": precise, "action": self._action, "reportingInstance": f"{self._component}-local"}
        return body
