"""Watches: where they begin, what they tell, when they end. In virtual time."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest

from localcluster.api import Json, Refusal, WatchExpired
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.requests import Options, Request, WatchEvent
from localcluster.apiserver.server import ApiServer
from localcluster.apiserver.store import Store

MAPS = "configmaps"
MATCH = "resourceVersionMatch: Forbidden:"
WATCH_LIST: dict[str, Any] = {
    "send_initial_events": True,
    "resource_version_match": "NotOlderThan",
    "allow_bookmarks": True,
}


def asked(server: ApiServer, namespace: str = "default", **options: Any) -> Request:
    resource = server.registry.named(MAPS)
    assert resource is not None
    return Request(resource, namespace, options=Options(**options))


async def told(server: ApiServer, *, namespace: str = "default", **options: Any) -> list[WatchEvent]:
    """All events until the watch ends by itself, which a timeout makes it do."""
    options.setdefault("timeout_seconds", 1)
    with closing(await server.watch(asked(server, namespace, **options))) as watch:
        return [event async for event in watch]


def short(events: list[WatchEvent]) -> list[tuple[str, str, str]]:
    """(type, name, version) of each."""
    return [(one.type, one.object["metadata"].get("name", ""), one.resource_version) for one in events]


async def make(api: LocalApi, name: str, **labels: str) -> str:
    """A new config map; its version."""
    made = await api.create(MAPS, "default", {"metadata": {"name": name, "labels": labels}})
    version: str = made["metadata"]["resourceVersion"]
    return version


async def change(api: LocalApi, name: str, **labels: str | None) -> str:
    """Other labels; the new version."""
    changed = await api.patch(MAPS, "default", name, {"metadata": {"labels": labels}})
    version: str = changed["metadata"]["resourceVersion"]
    return version


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-3", "kube-api:WATCH-8")
async def test_a_watch_without_a_version_begins_with_all_that_is_there(server: ApiServer, api: LocalApi) -> None:
    """In order of names, then what changes, until the time is over."""
    b, a = await make(api, "b"), await make(api, "a")

    assert short(await told(server)) == [("ADDED", "a", a), ("ADDED", "b", b)]
    assert short(await told(server, resource_version="0")) == [("ADDED", "a", a), ("ADDED", "b", b)]


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-3", "kube-api:WATCH-4")
async def test_a_watch_from_a_version_tells_what_changed_since(server: ApiServer, api: LocalApi) -> None:
    """A deletion has a version of its own, and the last state."""
    first = await make(api, "a")
    changed = await change(api, "a", x="1")
    await api.delete(MAPS, "default", "a")

    events = await told(server, resource_version=first)

    assert short(events) == [("MODIFIED", "a", changed), ("DELETED", "a", str(server.version))]
    assert events[1].object["metadata"]["labels"] == {"x": "1"}
    assert events[1].object["metadata"]["resourceVersion"] == str(server.version)


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-2")
async def test_watched_objects_say_what_they_are_on_a_line_of_their_own(server: ApiServer, api: LocalApi) -> None:
    """Unlike items of a list."""
    await make(api, "a")

    (event,) = await told(server)

    assert event.line.startswith(b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1",')
    assert event.line.endswith(b"}}\n")


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-5")
async def test_objects_enter_and_leave_a_selection(server: ApiServer, api: LocalApi) -> None:
    """What leaves is deleted, with its last matching content and the version of the change."""
    start = await make(api, "a")
    entered = await change(api, "a", sel="y")
    stayed = await change(api, "a", other="1")
    left = await change(api, "a", sel="n")
    await change(api, "a", other="2")

    events = await told(server, resource_version=start, labels="sel=y")

    assert short(events) == [("ADDED", "a", entered), ("MODIFIED", "a", stayed), ("DELETED", "a", left)]
    assert events[2].object["metadata"]["labels"] == {"sel": "y", "other": "1"}


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-6")
async def test_one_object_is_watched_by_its_name(server: ApiServer, api: LocalApi) -> None:
    """A field selector, as kubectl sends it."""
    await make(api, "a")
    b = await make(api, "b")

    assert short(await told(server, fields="metadata.name=b")) == [("ADDED", "b", b)]


@pytest.mark.looptime
async def test_a_watch_of_a_namespace_does_not_tell_of_others(server: ApiServer, api: LocalApi) -> None:
    """A watch of all namespaces does."""
    await make(api, "a")

    assert await told(server, namespace="kube-system") == []
    assert len(await told(server, namespace="")) == 1


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-11")
async def test_a_watch_list_marks_the_end_of_what_was_there(server: ApiServer, api: LocalApi) -> None:
    """With a bookmark of the snapshot's version, also when there was nothing."""
    a = await make(api, "a")

    events = await told(server, **WATCH_LIST)
    empty = await told(server, namespace="kube-system", **WATCH_LIST)

    assert short(events) == [("ADDED", "a", a), ("BOOKMARK", "", str(server.version))]
    assert [one.type for one in empty] == ["BOOKMARK"]
    assert empty[0].object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-12")
async def test_a_watch_list_may_do_without_the_list(server: ApiServer, api: LocalApi) -> None:
    """sendInitialEvents=false: from now on, even without a version."""
    await make(api, "a")

    assert await told(server, send_initial_events=False, resource_version_match="NotOlderThan") == []


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-7")
@pytest.mark.parametrize(("seconds", "moments"), [(3, []), (4, []), (10, [8]), (70, [60, 68]), (130, [60, 120, 128])])
async def test_bookmarks_come_each_minute_and_before_the_end(
    server: ApiServer, seconds: int, moments: list[int]
) -> None:
    """None in a short watch."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    heard: list[int] = []
    options: dict[str, Any] = {
        "resource_version": str(server.version),
        "allow_bookmarks": True,
        "timeout_seconds": seconds,
    }

    with closing(await server.watch(asked(server, **options))) as watch:
        async for event in watch:
            assert event.type == "BOOKMARK"
            heard.append(round(loop.time() - begun))

    assert heard == moments
    assert round(loop.time() - begun) == seconds


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-9", "kube-api:TOP-8")
async def test_a_version_that_is_forgotten_ends_the_watch_with_an_error(server: ApiServer, api: LocalApi) -> None:
    """An event, not a refusal."""
    old = await make(api, "a")
    await change(api, "a", x="1")
    server.compact()

    (event,) = await told(server, resource_version=old)

    assert (event.type, event.object["code"], event.object["reason"]) == ("ERROR", 410, "Expired")
    assert event.object["message"] == f"too old resource version: {old} ({server.version})"


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-9")
async def test_with_initial_events_an_old_version_is_fine(server: ApiServer, api: LocalApi) -> None:
    """The present is newer."""
    old = await make(api, "a")
    now = await change(api, "a", x="1")
    server.compact()

    events = await told(server, resource_version=old, **WATCH_LIST)

    assert short(events)[0] == ("ADDED", "a", now)


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-10", "kube-api:TOP-9")
async def test_a_version_of_the_future_is_silently_waited_for(server: ApiServer, api: LocalApi) -> None:
    """What happens before it is not told."""
    future = server.version + 1

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(told(server, resource_version=str(future)))
        await asyncio.sleep(0.1)
        await make(api, "a")
        after = await make(api, "b")

    assert short(watching.result()) == [("ADDED", "b", after)]


@pytest.mark.looptime
@pytest.mark.spec("kube-api:WATCH-10")
async def test_initial_events_of_the_future_are_waited_for_three_seconds(server: ApiServer) -> None:
    """Then an error event ends the watch."""
    begun = asyncio.get_running_loop().time()

    (event,) = await told(server, resource_version="999", timeout_seconds=60, **WATCH_LIST)

    assert (event.type, event.object["code"]) == ("ERROR", 504)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(3)


@pytest.mark.spec("kube-api:WATCH-12")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"send_initial_events": True},
            f"{MATCH} sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            {"resource_version_match": "NotOlderThan"},
            f"{MATCH} resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
    ],
)
async def test_options_that_contradict_each_other_are_refused_before_the_stream(
    server: ApiServer, options: Json, message: str
) -> None:
    """As an ordinary answer."""
    with pytest.raises(Refusal) as refused:
        await server.watch(asked(server, **options))

    assert refused.value.message == f'ListOptions.meta.k8s.io "" is invalid: {message}'


@pytest.mark.looptime
async def test_a_watcher_that_waits_is_woken_by_a_commit(server: ApiServer, api: LocalApi) -> None:
    """At once, without any time going by."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with closing(await server.watch(asked(server, resource_version=str(server.version)))) as watch:
        async with asyncio.TaskGroup() as group:
            batch = group.create_task(watch.batch())
            await asyncio.sleep(0)
            version = await make(api, "a")

    assert short(batch.result()) == [("ADDED", "a", version)]
    assert loop.time() == begun


@pytest.mark.looptime
async def test_all_that_happened_comes_in_one_batch(server: ApiServer, api: LocalApi) -> None:
    """So that it can be one write to a socket."""
    with closing(await server.watch(asked(server, resource_version=str(server.version)))) as watch:
        for name in "abc":
            await make(api, name)

        assert len(await watch.batch()) == 3


@pytest.mark.looptime
async def test_watchers_of_the_same_kind_share_the_text_of_an_event(server: ApiServer, api: LocalApi) -> None:
    """An object is encoded once, however many look on."""
    start = str(server.version)
    await make(api, "a")

    (one,) = await told(server, namespace="", resource_version=start)
    (other,) = await told(server, namespace="", resource_version=start)

    assert one.line is other.line


@pytest.mark.looptime
async def test_a_closed_watch_ends_and_is_forgotten(server: ApiServer, store: Store) -> None:
    """A waiting consumer is let go."""
    watch = await server.watch(asked(server, resource_version=str(server.version)))
    async with asyncio.TaskGroup() as group:
        batch = group.create_task(watch.batch())
        await asyncio.sleep(0)
        watch.close()

    assert batch.result() == []
    assert store.collection(MAPS).listeners == {}


@pytest.mark.looptime
async def test_controllers_are_told_of_an_expired_watch_by_an_exception(server: ApiServer, api: LocalApi) -> None:
    """They list again."""
    await make(api, "a")
    server.compact()

    with pytest.raises(WatchExpired):
        async for _ in api.watch(MAPS, resource_version="1"):
            pass
