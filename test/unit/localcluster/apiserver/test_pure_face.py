"""The parts of the HTTP face that are functions: paths, queries, bodies, ages, JSONPath, what a pod's row says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver import pod_cells
from localcluster.apiserver.ages import age, short_duration
from localcluster.apiserver.decoding import decode_object, decode_patch
from localcluster.apiserver.jsonpath import BadPath, find
from localcluster.apiserver.negotiation import answer_form
from localcluster.apiserver.query import parse_query
from localcluster.apiserver.registry import Registry
from localcluster.apiserver.routes import NoSuchPath, route

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/api/v1/pods", ("pods", "", "", "")),
        ("/api/v1/namespaces/n/pods", ("pods", "n", "", "")),
        ("/api/v1/namespaces/n/pods/", ("pods", "n", "", "")),
        ("/api/v1/namespaces/n/pods/p/log", ("pods", "n", "p", "log")),
        ("/api/v1/namespaces", ("namespaces", "", "", "")),
        ("/api/v1/namespaces/n", ("namespaces", "", "n", "")),
        ("/api/v1/namespaces/n/status", ("namespaces", "", "n", "status")),
        ("/api/v1/namespaces/n/finalize", ("namespaces", "", "n", "finalize")),
        ("/api/v1/nodes/a%2Fb", ("nodes", "", "a/b", "")),
        ("/apis/batch/v1/namespaces/n/jobs/j/status", ("jobs.batch", "n", "j", "status")),
        ("/api/v1/watch/namespaces/n/pods", ("pods", "n", "", "")),
        ("/api/v1/namespaces/watch/pods", ("pods", "watch", "", "")),
    ],
)
def test_a_path_means_a_resource(path: str, meant: tuple[str, str, str, str]) -> None:
    """Name, namespace, object, subresource."""
    target = route(path, Registry())

    assert target is not None
    assert (target.resource.name, target.namespace, target.name, target.subresource) == meant


def test_a_proxied_path_goes_on_below() -> None:
    """What the pod is asked for."""
    target = route("/api/v1/namespaces/n/pods/p:80/proxy/a/b", Registry())

    assert target is not None
    assert (target.name, target.subresource, target.rest) == ("p:80", "proxy", "a/b")
    slash = route("/api/v1/namespaces/proxy/services/s/proxy/a%2Fb/", Registry())
    assert slash is not None
    assert (slash.namespace, slash.rest) == ("proxy", "a%2Fb/")


@pytest.mark.parametrize("path", ["/", "/version", "/api", "/api/v1", "/apis/batch", "/apis/batch/v1"])
def test_other_paths_are_documents(path: str) -> None:
    """Not of a resource."""
    assert route(path, Registry()) is None


def test_a_cluster_scoped_kind_has_no_namespace() -> None:
    """And a namespaced object has one; a built-in group refuses in JSON, others in text."""
    for path in ("/api/v1/namespaces/n/nodes/x", "/api/v1/pods/p"):
        with pytest.raises(Refusal, match="could not find"):
            route(path, Registry())
    with pytest.raises(NoSuchPath):
        route("/apis/nope.example.com/v1/things", Registry())


def test_of_a_repeated_parameter_the_first_counts() -> None:
    """But dryRun is a list."""
    options = parse_query("limit=1&limit=2&dryRun=All&dryRun=x&labelSelector=a%3Db%2Cc&sendInitialEvents=0").options

    assert (options.limit, options.dry_run, options.labels) == (1, ("All", "x"), "a=b,c")
    assert options.send_initial_events is False
    assert options.force is None


def test_negative_numbers_are_numbers() -> None:
    """What they mean is for others to say."""
    assert parse_query("limit=-1&gracePeriodSeconds=-5").options.grace_seconds == -5
    with pytest.raises(Refusal, match="invalid syntax"):
        parse_query("limit=1.5")


@pytest.mark.parametrize(
    ("raw", "duplicates"),
    [
        (b'{"a":1,"b":2}', ()),
        (b'{"a":1,"a":2}', ("a",)),
        (b'{"s":{"x":1,"x":2},"s":{"y":1,"y":2,"y":3}}', ("s.y", "s")),
        (b'{"l":[{"k" : 1},{"k" : 1, "k" : 2}]}', ("l[1].k",)),
        (rb'{"text":"\":\":\":","other":"\u0022:"}', ()),
        (rb'{"text":"\":","text":"a"}', ("text",)),
    ],
)
def test_keys_that_stand_twice_are_found(raw: bytes, duplicates: tuple[str, ...]) -> None:
    """Wherever they are, and whatever stands in texts."""
    assert decode_object(raw, "json", "Thing").duplicates == duplicates


def test_yaml_tells_the_line_of_a_duplicate_and_keeps_times_as_text() -> None:
    """As the API server reads it."""
    body = decode_object(b"a: 1\nwhen: 2026-01-01T00:00:00Z\na: 2\n", "yaml", "Thing")

    assert body.value == {"a": 2, "when": "2026-01-01T00:00:00Z"}
    assert body.duplicates == ('line 3: key "a" already set in map',)


def test_an_apply_patch_is_yaml() -> None:
    """JSON is a part of that."""
    assert decode_patch(b"spec:\n  a: 1\n", "apply").value == {"spec": {"a": 1}}
    assert decode_patch(b'{"spec": {"a": 1}}', "apply").value == {"spec": {"a": 1}}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"), (600, "10m"), (10_799, "179m"),
        (10_800, "3h"), (15_180, "4h13m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"), (190_800, "2d5h"),
        (691_200, "8d"), (63_072_000, "2y"), (63_158_400, "2y1d"), (-5, "<invalid>"),
    ],
)  # fmt: skip
def test_ages_have_two_units_at_most(seconds: int, shown: str) -> None:
    """The smaller one only while it tells something."""
    assert short_duration(timedelta(seconds=seconds)) == shown


def test_the_age_of_nothing_is_unknown() -> None:
    """As is that of an empty time."""
    assert [age(stamp, NOW) for stamp in (None, "", "2025-12-31T23:59:00Z", "x")] == [
        "<unknown>", "<unknown>", "60s", "<invalid>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        ("{.spec.a}", [1]),
        ("$.spec.a", [1]),
        (".spec.nope.deeper", []),
        (".spec.list[0].n", ["x"]),
        (".spec.list[-1].n", ["y"]),
        (".spec.list[*].n", ["x", "y"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Other')].status", []),
        (".spec.list[?(@.v>1)].n", ["y"]),
        (".metadata.labels.ray\\.io/cluster", ["c"]),
        (".metadata.labels['ray.io/cluster']", ["c"]),
    ],
)
def test_printer_columns_find_their_values(path: str, found: list[Any]) -> None:
    """What is absent is not found, which is no error."""
    item = {
        "metadata": {"labels": {"ray.io/cluster": "c"}},
        "spec": {"a": 1, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }

    assert find(path, item) == found


def test_a_path_that_cannot_be_read_is_refused() -> None:
    """An open bracket."""
    with pytest.raises(BadPath):
        find(".spec[", {})


def a_pod(*states: Json, init: tuple[Json, ...] = (), **status: object) -> Json:
    named = [{"name": f"c{number}", **state} for number, state in enumerate(states)]
    inits = [{"name": f"i{number}", **state} for number, state in enumerate(init)]
    return {
        "metadata": {},
        "spec": {
            "containers": [{"name": one["name"]} for one in named],
            "initContainers": [{"name": one["name"]} for one in inits],
        },
        "status": {"phase": "Running", "containerStatuses": named, "initContainerStatuses": inits, **status},
    }


RUNNING: Json = {"ready": True, "state": {"running": {}}}
DONE: Json = {"ready": False, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
BACK_OFF: Json = {"ready": False, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
KILLED: Json = {"ready": False, "state": {"terminated": {"exitCode": 137, "signal": 9}}}


@pytest.mark.parametrize(
    ("pod", "shown"),
    [
        (a_pod(RUNNING), "Running"),
        (a_pod(RUNNING, BACK_OFF), "CrashLoopBackOff"),
        (a_pod(DONE, phase="Succeeded"), "Completed"),
        (a_pod(KILLED), "Signal:9"),
        (a_pod(RUNNING, DONE, conditions=[{"type": "Ready", "status": "True"}]), "Running"),
        (a_pod(RUNNING, DONE), "NotReady"),
        (a_pod(reason="Evicted", phase="Failed"), "Evicted"),
        (a_pod({}, init=({"state": {"running": {}}}, {}), phase="Pending"), "Init:0/2"),
        (a_pod({}, init=(DONE, BACK_OFF), phase="Pending"), "Init:CrashLoopBackOff"),
        (a_pod({}, init=(KILLED,), phase="Pending"), "Init:Signal:9"),
        ({**a_pod(RUNNING), "metadata": {"deletionTimestamp": "x"}}, "Terminating"),
        ({**a_pod(DONE, phase="Succeeded"), "metadata": {"deletionTimestamp": "x"}}, "Completed"),
        ({**a_pod(RUNNING, reason="NodeLost"), "metadata": {"deletionTimestamp": "x"}}, "Unknown"),
    ],
)
def test_one_word_says_how_a_pod_is(pod: Json, shown: str) -> None:
    """The worst of what its containers say, or what is in the way."""
    assert pod_cells.status(pod) == shown


def test_restarts_say_when_the_last_one_was() -> None:
    """If that is known."""
    ended = {"lastState": {"terminated": {"finishedAt": "2025-12-31T23:55:00Z"}}}

    assert pod_cells.restarts(a_pod(BACK_OFF), NOW) == "3"
    assert pod_cells.restarts(a_pod({**BACK_OFF, **ended}), NOW) == "3 (5m ago)"
    assert pod_cells.ready(a_pod(RUNNING, BACK_OFF)) == "1/2"


def test_a_metadata_form_needs_its_group_and_version() -> None:
    """An `as` without them is as unknown as another word."""
    assert answer_form("application/json;as=Table;v=v1;g=meta.k8s.io").shape == "Table"
    for accept in ("application/json;as=Table", "application/json;as=Table;v=v2;g=meta.k8s.io"):
        with pytest.raises(Refusal, match="only the following media types"):
            answer_form(accept)
