"""Watches: spec kube-api §11."""

from __future__ import annotations

import asyncio

import pytest

from localcluster.testing.wire import Json, Wire

MATCH = "resourceVersionMatch"
NEEDED = f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"
END_OF_INITIAL_EVENTS = {"k8s.io/initial-events-end": "true"}


def config_map(name: str, **data: str) -> Json:
    return {"metadata": {"name": name, "labels": {"made": "here"}}, "data": data}


async def make(cluster: Wire, *names: str) -> None:
    for name in names:
        (await cluster.post(cluster.path("configmaps"), config_map(name))).ok(201)


async def version(cluster: Wire) -> str:
    found: str = (await cluster.get(cluster.path("configmaps"))).ok()["metadata"]["resourceVersion"]
    return found


OURS = {"labelSelector": "made=here"}


def told(events: list[tuple[str, Json]]) -> list[tuple[str, str]]:
    return [(kind, item["metadata"]["name"]) for kind, item in events]


@pytest.mark.spec("kube-api:WATCH-1", "kube-api:WATCH-2")
async def test_a_watch_is_a_line_of_json_per_event(cluster: Wire) -> None:
    """Headers come at once, before any event; objects name their kind."""
    now = await version(cluster)

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=now, **OURS) as events:
        assert events.code == 200
        assert events.headers["Content-Type"] == "application/json"
        assert events.headers["Transfer-Encoding"] == "chunked"
        await make(cluster, "c1")
        line = await events.line()

    assert line.startswith(b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c1"')
    assert line.endswith(b"}\n")


@pytest.mark.spec("kube-api:WATCH-1")
async def test_the_old_path_of_watches_still_works(cluster: Wire) -> None:
    """/api/v1/watch/..., and a limit means nothing."""
    await make(cluster, "c1", "c2")
    path = cluster.path("configmaps").replace("/api/v1/", "/api/v1/watch/")

    async with cluster.watch(path, limit=1, **OURS) as events:
        assert told(await events.take(2)) == [("ADDED", "c1"), ("ADDED", "c2")]


@pytest.mark.spec("kube-api:WATCH-3")
@pytest.mark.parametrize("start", [{}, {"resourceVersion": "0"}])
async def test_a_watch_without_a_version_begins_with_what_is_there(cluster: Wire, start: dict[str, str]) -> None:
    """In order of names, as ADDED; then changes. From "0" a cache that lags tells the newest as they come to it."""
    await make(cluster, "b", "a")

    async with cluster.watch(cluster.path("configmaps"), **start, **OURS) as events:
        first = await events.take(2)
        (await cluster.patch(cluster.path("configmaps", "a"), {"data": {"x": "1"}})).ok()
        then = await events.next()

    in_order = told(first) if not start else sorted(told(first))
    assert in_order == [("ADDED", "a"), ("ADDED", "b")]
    assert told([then]) == [("MODIFIED", "a")]


@pytest.mark.spec("kube-api:WATCH-3")
async def test_a_watch_from_a_version_tells_every_change_after_it(cluster: Wire) -> None:
    """Nothing twice, nothing left out, in order; the version of each event is its own."""
    await make(cluster, "before")
    start = await version(cluster)
    await make(cluster, "c1")
    (await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"x": "1"}})).ok()
    (await cluster.delete(cluster.path("configmaps", "before"))).ok()

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start, **OURS) as events:
        seen = await events.take(3)
        await make(cluster, "c2")
        seen.append(await events.next())

    assert told(seen) == [("ADDED", "c1"), ("MODIFIED", "c1"), ("DELETED", "before"), ("ADDED", "c2")]
    versions = [int(item["metadata"]["resourceVersion"]) for _, item in seen]
    assert versions == sorted(set(versions))
    assert versions[0] > int(start)


@pytest.mark.spec("kube-api:WATCH-3")
async def test_a_watch_can_go_on_from_any_event(cluster: Wire) -> None:
    """What an informer does after its connection broke."""
    start = await version(cluster)
    await make(cluster, "c1", "c2", "c3")

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start, **OURS) as events:
        seen = await events.take(2)
    last = seen[-1][1]["metadata"]["resourceVersion"]
    async with cluster.watch(cluster.path("configmaps"), resourceVersion=last, **OURS) as events:
        seen.append(await events.next())

    assert told(seen) == [("ADDED", "c1"), ("ADDED", "c2"), ("ADDED", "c3")]


@pytest.mark.spec("kube-api:WATCH-4")
async def test_a_deletion_carries_the_last_state_and_its_own_version(cluster: Wire) -> None:
    """Greater than that of the last change."""
    await make(cluster, "c1")
    changed = (await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"x": "1"}})).ok()
    start = changed["metadata"]["resourceVersion"]

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start, **OURS) as events:
        (await cluster.delete(cluster.path("configmaps", "c1"))).ok()
        kind, item = await events.next()

    assert (kind, item["data"], item["metadata"]["uid"]) == ("DELETED", {"x": "1"}, changed["metadata"]["uid"])
    assert int(item["metadata"]["resourceVersion"]) > int(start)


@pytest.mark.spec("kube-api:WATCH-4")
async def test_taking_the_last_finalizer_away_is_a_deletion(cluster: Wire) -> None:
    """MODIFIED when it was asked for, DELETED when it is done."""
    body = config_map("c1")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    made = (await cluster.post(cluster.path("configmaps"), body)).ok(201)
    start = made["metadata"]["resourceVersion"]

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start, **OURS) as events:
        (await cluster.delete(cluster.path("configmaps", "c1"))).ok()
        (await cluster.patch(cluster.path("configmaps", "c1"), {"metadata": {"finalizers": None}})).ok()
        first, second = await events.take(2)

    assert told([first, second]) == [("MODIFIED", "c1"), ("DELETED", "c1")]
    assert first[1]["metadata"]["deletionTimestamp"]


@pytest.mark.spec("kube-api:WATCH-5")
@pytest.mark.parametrize("by", ["labels", "fields"])
async def test_an_object_that_leaves_a_selector_is_told_as_deleted(cluster: Wire, widgets: str, by: str) -> None:
    """Enters: ADDED. Leaves: DELETED with the content that still matched and the new version. Outside: silence."""
    body = {"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "w1"}, "spec": {"size": 2}}
    path = f"{widgets}/w1"

    def mode(value: str, size: int) -> Json:
        return {"metadata": {"labels": {"mode": value}}, "spec": {"mode": value, "size": size}}

    made = (await cluster.post(widgets, body)).ok(201)
    query = {"labelSelector": "mode=Manual"} if by == "labels" else {"fieldSelector": "spec.mode=Manual"}
    async with cluster.watch(widgets, resourceVersion=made["metadata"]["resourceVersion"], **query) as events:
        changes = [("Auto", 3), ("Manual", 4), ("Manual", 5), ("Auto", 6), ("Auto", 7), ("Manual", 8)]
        results = [(await cluster.patch(path, mode(*change))).ok() for change in changes]
        seen = await events.take(4)

    assert [(kind, item["spec"]["size"]) for kind, item in seen] == [
        ("ADDED", 4),
        ("MODIFIED", 5),
        ("DELETED", 5),
        ("ADDED", 8),
    ]
    assert seen[2][1]["metadata"]["resourceVersion"] == results[3]["metadata"]["resourceVersion"]


@pytest.mark.spec("kube-api:WATCH-6")
async def test_one_object_is_watched_by_its_name(cluster: Wire) -> None:
    """On the collection, by a field selector."""
    await make(cluster, "c1", "c2")

    async with cluster.watch(cluster.path("configmaps"), fieldSelector="metadata.name=c2") as events:
        first = await events.next()
        (await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"x": "1"}})).ok()
        (await cluster.patch(cluster.path("configmaps", "c2"), {"data": {"x": "1"}})).ok()
        second = await events.next()

    assert told([first, second]) == [("ADDED", "c2"), ("MODIFIED", "c2")]


@pytest.mark.spec("kube-api:WATCH-7", "kube-api:WATCH-8")
async def test_a_watch_ends_in_time_with_a_bookmark_shortly_before(cluster: Wire) -> None:
    """A clean end without an event of its own; the bookmark holds a version to go on from, and nothing else."""
    await make(cluster, "c1")
    start = await version(cluster)
    query = {"resourceVersion": start, "allowWatchBookmarks": "true", "timeoutSeconds": "5", **OURS}

    async with cluster.watch(cluster.path("configmaps"), **query) as events:
        await make(cluster, "c2")
        seen = await events.rest()

    assert told(seen[:1]) == [("ADDED", "c2")]
    assert len(seen) > 1, "no bookmark came"
    for kind, item in seen[1:]:
        assert (kind, item["kind"], item["apiVersion"]) == ("BOOKMARK", "ConfigMap", "v1")
        assert set(item["metadata"]) == {"resourceVersion"}
        assert int(item["metadata"]["resourceVersion"]) >= int(seen[0][1]["metadata"]["resourceVersion"])


@pytest.mark.spec("kube-api:WATCH-7")
async def test_nobody_gets_bookmarks_who_did_not_ask(cluster: Wire) -> None:
    """A watch as long as that of the one before, which got one."""
    start = await version(cluster)

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start, timeoutSeconds=5, **OURS) as events:
        assert await events.rest() == []


@pytest.mark.spec("kube-api:WATCH-9", "kube-api:TOP-8")
async def test_a_watch_from_a_forgotten_version_ends_with_an_error_event(cluster: Wire, widgets: str) -> None:
    """HTTP 200, then one event with a Status of code 410, then the end."""
    async with cluster.watch(widgets, resourceVersion=await forgotten(cluster, widgets)) as events:
        [(kind, status)] = await events.rest()

    assert events.code == 200
    assert (kind, status["kind"], status["reason"], status["code"]) == ("ERROR", "Status", "Expired", 410)
    assert status["message"].startswith("too old resource version: ")


async def forgotten(cluster: Wire, widgets: str) -> str:
    """A version that the server can tell nothing after: older than all it remembers of that kind."""
    body = {"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "w1"}, "spec": {"size": 2}}
    (await cluster.post(widgets, body)).ok(201)
    cluster.endpoint.forget_history()
    return "1"


@pytest.mark.spec("kube-api:WATCH-9")
async def test_initial_events_make_an_old_version_good(cluster: Wire, widgets: str) -> None:
    """Not older than that, and all that is there is told."""
    old = await forgotten(cluster, widgets)
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": old}

    async with cluster.watch(widgets, **query) as events:
        assert told([await events.next()]) == [("ADDED", "w1")]


@pytest.mark.spec("kube-api:WATCH-10", "kube-api:TOP-9")
async def test_a_watch_from_the_future_waits_for_it(cluster: Wire) -> None:
    """It opens, and says nothing before that version is reached."""
    start = int(await version(cluster))

    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start + 2, **OURS) as events:
        await make(cluster, "c1", "c2", "c3", "c4")
        first = await events.next()

    assert int(first[1]["metadata"]["resourceVersion"]) > start + 2


@pytest.mark.spec("kube-api:WATCH-10")
async def test_a_watch_from_a_malformed_version_is_refused(cluster: Wire) -> None:
    """500, before any stream."""
    async with cluster.watch(cluster.path("configmaps"), resourceVersion="abc") as events:
        assert events.code == 500


@pytest.mark.spec("kube-api:WATCH-11", "kube-api:TOP-12")
async def test_a_watch_list_marks_the_end_of_what_was_there(cluster: Wire) -> None:
    """Synthetic ADDED events, then a bookmark with an annotation; then what changes."""
    await make(cluster, "b", "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}

    async with cluster.watch(cluster.path("configmaps"), **query, **OURS) as events:
        first = await events.take(2)
        kind, mark = await events.next()
        await make(cluster, "c")
        then = await events.next()

    assert sorted(told(first)) == [("ADDED", "a"), ("ADDED", "b")]
    assert kind == "BOOKMARK"
    assert mark["metadata"]["annotations"] == END_OF_INITIAL_EVENTS
    assert int(mark["metadata"]["resourceVersion"]) >= max(
        int(item["metadata"]["resourceVersion"]) for _, item in first
    )
    assert told([then]) == [("ADDED", "c")]


@pytest.mark.spec("kube-api:WATCH-11")
async def test_an_empty_watch_list_is_the_mark_alone(cluster: Wire) -> None:
    """At once."""
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}

    async with cluster.watch(cluster.path("configmaps"), **query, labelSelector="nobody=here") as events:
        kind, mark = await events.next()

    assert (kind, mark["metadata"]["annotations"]) == ("BOOKMARK", END_OF_INITIAL_EVENTS)


@pytest.mark.spec("kube-api:WATCH-12", "kube-api:ERR-8")
@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"sendInitialEvents": "true"},
            NEEDED,
        ),
        (
            {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"},
            f"{MATCH}: Forbidden: {MATCH} is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
            f'[{NEEDED}, {MATCH}: Unsupported value: "Exact": supported values: "NotOlderThan"]',
        ),
    ],
)
async def test_contradicting_watch_options_are_invalid(cluster: Wire, query: dict[str, str], message: str) -> None:
    """Before the stream, as an ordinary Status."""
    answer = await cluster.get(cluster.path("configmaps"), watch="true", **query)

    assert answer.ok(422)["message"] == f'ListOptions.meta.k8s.io "" is invalid: {message}'


@pytest.mark.spec("kube-api:WATCH-12")
async def test_a_watch_may_ask_for_no_initial_events(cluster: Wire) -> None:
    """Even without a version."""
    await make(cluster, "c1")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}

    async with cluster.watch(cluster.path("configmaps"), **query, **OURS) as events:
        await make(cluster, "c2")
        assert told([await events.next()]) == [("ADDED", "c2")]


@pytest.mark.spec("kube-api:WATCH-13")
async def test_a_watch_is_not_written_in_yaml(cluster: Wire) -> None:
    """406, with what there is."""
    answer = await cluster.get(cluster.path("configmaps"), accept="application/yaml", watch="true")

    assert answer.code == 406  # the refusal itself may be YAML
    assert "only the following media types are accepted: application/json;stream=watch" in answer.text


@pytest.mark.spec("kube-api:WATCH-14")
async def test_a_watch_of_an_unknown_kind_is_refused_before_it_starts(cluster: Wire) -> None:
    """404, not a stream."""
    refused = await cluster.get(cluster.path("zorks"), watch="true")

    assert (refused.code, refused.json["reason"]) == (404, "NotFound")


@pytest.mark.spec("kube-api:WATCH-15")
async def test_events_are_watched_without_a_version_and_with_a_limit(cluster: Wire) -> None:
    """As `kubectl events -w` does."""
    about = {"kind": "Pod", "namespace": cluster.namespace, "name": "x"}

    async with cluster.watch(cluster.path("events"), limit=500) as events:
        event = {"metadata": {"name": "x.1"}, "involvedObject": about, "reason": "Seen", "type": "Normal"}
        (await cluster.post(cluster.path("events"), event)).ok(201)
        assert told([await events.next()]) == [("ADDED", "x.1")]


async def test_a_hundred_writers_and_a_watch_agree(cluster: Wire) -> None:
    """Concurrent writes are told once each, in the order of their versions."""
    start = await version(cluster)
    async with cluster.watch(cluster.path("configmaps"), resourceVersion=start, **OURS) as events:
        names = [f"c{number:03}" for number in range(100)]
        async with asyncio.TaskGroup() as writers:
            for name in names:
                writers.create_task(make(cluster, name))
        seen = await events.take(100)

    versions = [int(item["metadata"]["resourceVersion"]) for _, item in seen]
    assert versions == sorted(set(versions))
    assert sorted(item["metadata"]["name"] for _, item in seen) == names
