"""What a real API server answered, asked of ours: every record of a topic, in order, compared whole.

Left out is what is another room's (HTTP, tables, watches, authentication), what is not built (server-side apply,
quotas), and single records with the reason beside them. Identities, versions, times and random
names are placeholders in the records; they stand for whatever we answer.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pytest

from localcluster.api import Refusal
from localcluster.apiserver.decoding import decode_delete_options, decode_object, decode_patch
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.query import parse_query, with_delete_options
from localcluster.apiserver.requests import PatchKind, Request
from localcluster.apiserver.routes import NoSuchPath, Target, route
from localcluster.apiserver.server import ApiServer

TRANSCRIPTS: Final = Path(__file__).parents[4] / "test" / "conformance" / "transcripts"
CRDS: Final = "customresourcedefinitions.apiextensions.k8s.io"
MARK: Final = re.compile(r"<(?:uid|rv):\d+>|<time(?:\.us)?>")
RANDOM: Final = re.compile(
    r"kube-api-access-\w{5}|(?<=gen-)\w{5}|(?<=yyyyyyyyyyyyy)\w{5}$|(?<=xxxxxxxxxxx)\w{5}(?=\"? |$)"
)
ADDRESS: Final = re.compile(r"10\.96\.\d+\.\d+")
PATCHES: Final[Mapping[str, PatchKind]] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}

# Records that are not asked, and why.
NOT_ASKED: Final[Mapping[str, Mapping[str, str]]] = {
    "crud": {
        "post-all-ns": "the path is refused before it comes here",
        "kind-mismatch": "we say that the kind is unknown, a real server tries to read a Secret first",
        "string-body": "the record holds the decoded body",
        "garbage": "Go's words for a bad literal",
        "yaml-malformed": "YAML",
        "yaml": "YAML",
        "big-data": "the record is trimmed",
        "too-large": "the record is trimmed",
        "etcd-too-large": "the record is trimmed",
        "fv-dup-Warn": "the record holds the decoded body, which has no duplicates",
        "fv-dup-Strict": "the record holds the decoded body, which has no duplicates",
        "put-create-limitranges": "an empty list is shown as such",
        "patch-kind": "the message holds managedFields",
        "accept-yaml": "YAML",
        "create-rv-0": "a dry run shows no version",
    },
    "crd": {
        "crd-create": "`nullable: false` is shown as such",
        "crd-get-served": "`nullable: false` is shown as such",
        "crd-status": "`nullable: false` is shown as such",
        "crd-bad-name": "the record is trimmed",
        "crd-nonstructural": "the record is trimmed",
        "crd-no-storage": "the record is trimmed",
        "crd-bad-cel": "the record is trimmed",
        "crd-names-conflict": "the record is trimmed",
        "crd-names-conflict-status": "the record before it is trimmed",
        "crd-names-conflict-delete": "the record before it is trimmed",
        "crd-protected-group": "the record is trimmed",
        "dupkeys-Warn": "the record holds the decoded body, which has no duplicates",
        "dupkeys-Strict": "the record holds the decoded body, which has no duplicates",
        "yaml-body": "YAML",
        "widget-noscope": "the path is refused before it comes here",
        "cel": "since 1.36 a rule's cause shows the value, or nothing for an object",
        "transition-immutable": "since 1.36 a rule's cause shows the value, or nothing for an object",
        "transition-root": "since 1.36 a rule's cause shows the value, or nothing for an object",
        "type-float": "since 1.36 one more cause tells the integer's format",
        "int32-range": "since 1.36 one more cause tells the integer's format",
        "bigint": "since 1.36 one more cause tells the integer's format",
        "cr-nokind": "the message quotes the body as it was spaced",
        "cr-v1beta1-wrongversion": "a refusal carries no warnings yet",
    },
    "deletion": {
        "wrong-kind-body": "the body is refused before it comes here",
        "malformed-body": "the body is refused before it comes here",
        "dc-all-ns-405": "the path is refused before it comes here",
        "dc-ns": "the path is refused before it comes here",
        "get-after-gc": "collected by a controller",
        "get-after-orphan": "collected by a controller",
        "get-after-orphan2": "collected by a controller",
        "gc-orphan-dep": "collected by a controller",
        "gc-orphan-owner": "collected by a controller",
        "ns2-conditions": "set by a controller",
        "finalizer-remove": "a controller removed a finalizer before",
        "get-after": "the record before is not asked",
        "get-after2": "the record before is not asked",
        "precond-rv": "the message holds a version",
        "pod-unscheduled": "the status is a scheduler's",
        "pod-unscheduled-get": "the record before is not asked",
    },
    "patch": {
        "patch-yaml-ct": "server-side apply",
        "smp-env": "the message ends in a difference as Go prints it",
        "smp-nodename": "the message ends in a difference as Go prints it",
        "jp-unknown-strict": "the message holds managedFields",
        "jp-type": "the message holds managedFields",
        "mp-strict": "the message holds managedFields",
    },
}
# Of these topics only the named records are asked; the rest is about what is not built, or another room's.
ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "auth": (
        *("svc", "svc-ip-range", "svc-headless", "svc-ip-immutable", "svc-noports", "svc-external", "svc-name"),
        *("svc-two-ports-unnamed", "pod-invalid", "pod-invalid2", "pod-invalid3", "pod-nosa", "pod-defaults"),
        *("job-defaults", "job-restart", "event", "event-new-api-view", "event-ns-mismatch", "event-newapi"),
        *("event-newapi-missing", "event-core-view"),
    ),
    "subresources": (
        *("eviction", "eviction-mismatch", "eviction-404", "binding", "binding-again", "get-bound"),
        *("ephemeral", "resize", "status-main-ignored", "status-spec-ignored"),
    ),
}
# What stood there when the recording began, or had been changed by hand before a record.
WIDGET: Final = {"apiVersion": "test.example.com/v1", "kind": "Widget"}


def widget(name: str, **metadata: Any) -> tuple[str, Any]:
    return "widgets.test.example.com", {**WIDGET, "metadata": {"name": name, **metadata}, "spec": {"size": 1}}


def config_map(name: str, **metadata: Any) -> tuple[str, Any]:
    return "configmaps", {"metadata": {"name": name, **metadata}}


def pod(name: str, **spec: Any) -> tuple[str, Any]:
    metadata = {"name": name, "finalizers": ["keep.me/x"]} if name == "pb" else {"name": name}
    containers = [{"name": "c", "image": "i"}]
    common = {"terminationGracePeriodSeconds": 20, "nodeSelector": {"x": "never"}, "containers": containers}
    return "pods", {"metadata": metadata, "spec": {**common, **spec}}


PRESENT: Final[Mapping[str, list[tuple[str, Any]]]] = {
    "crud": [widget("w2")],
    "crd": [],
    "deletion": [
        *(config_map(f"d{number}") for number in range(1, 6)),
        config_map("d6", finalizers=["a.b/c"]),
        widget("df", finalizers=["a.b/c"]),
        widget("dg"),
        *(config_map(f"dc{number}", labels={"dc": "1", "n": str(number)}) for number in range(3)),
        *(config_map(f"own{number}") for number in range(1, 4)),
        pod("pn"),
        *(pod(name, nodeName="nonode") for name in ("pb", "pd", "pe", "pf")),
    ],
    "subresources": [
        (
            "pods",
            {
                "metadata": {"name": "ev", "labels": {"app": "ev"}},
                "spec": {
                    "nodeSelector": {"x": "never"},
                    "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}],
                },
            },
        ),
    ],
    "patch": [
        (
            "pods",
            {
                "metadata": {"name": "ps", "finalizers": ["a.b/c"]},
                "spec": {
                    "nodeSelector": {"x": "never"},
                    "tolerations": [{"key": "k1", "operator": "Exists"}],
                    "containers": [
                        {
                            "name": "a",
                            "image": "i:1",
                            "ports": [{"containerPort": 80}],
                            "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}],
                        },
                        {"name": "b", "image": "i:2"},
                    ],
                },
            },
        ),
        (
            "services",
            {"metadata": {"name": "sv"}, "spec": {"selector": {"a": "b"}, "ports": [{"name": "h", "port": 80}]}},
        ),
        ("configmaps", {"metadata": {"name": "pc", "annotations": {"x": "1"}}, "data": {"a": "1", "b.c": "2"}}),
        (
            "widgets.test.example.com",
            {
                **WIDGET,
                "metadata": {"name": "w1", "labels": {"l": "1"}},
                "spec": {
                    "size": 4,
                    "max": 9,
                    "note": None,
                    "open": {"x": {"y": 1}},
                    "port": "http",
                    "replicas": 1,
                    "title": "abc",
                },
            },
        ),
    ],
}
# What the recorder did between two records.
BEFORE: Final[Mapping[tuple[str, str], tuple[str, str, Any]]] = {
    ("crd", "date-ok"): ("delete", "widgets.test.example.com", "bad"),
    ("crd", "crd-scope-immutable"): (
        "create",
        "things.upd.example.com",
        {"apiVersion": "upd.example.com/v1", "kind": "Thing", "metadata": {"name": "t1"}, "spec": {"a": "x", "b": 1}},
    ),
    ("patch", "smp-image"): ("schedule", "pods", "ps"),
    ("patch", "crd-merge"): ("status", "widgets.test.example.com", {"metadata": {"name": "w1"}, "status": {}}),
    ("deletion", "pod-finished"): ("status", "pods", {"metadata": {"name": "pf"}, "status": {"phase": "Succeeded"}}),
}


class Record(NamedTuple):
    case: str
    request: Mapping[str, Any]
    response: Mapping[str, Any]


def records(topic: str) -> Iterator[Record]:
    """Those of the topic that are about objects, and are asked."""
    for line in (TRANSCRIPTS / f"{topic}.jsonl").read_text().splitlines():
        raw = json.loads(line)
        record = Record(raw["case"], raw["request"], raw["response"])
        headers = record.request["headers"]
        media = headers.get("Content-Type", "")
        about_objects = re.match(r"/api/v1/\w|/apis/[^/]+/[^/]+/\w", record.request["path"]) is not None
        mine = about_objects and "as=" not in headers.get("Accept", "")
        readable = media.split(";")[0] in {"", "application/json", *PATCHES}
        chosen = record.case not in NOT_ASKED.get(topic, {}) and record.case in ONLY.get(topic, (record.case,))
        if mine and readable and record.response["status"] not in {406, 415} and chosen:
            if record.request["method"] == "PATCH" and media not in PATCHES:
                continue
            yield record


class Replay:
    """One topic on a server of its own."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self.server = ApiServer(now=self.now, chance=random.Random(7))
        self.api = LocalApi(self.server)
        self._meaning: dict[str, str] = {}
        self._run = 0
        self._own_for_unknown = False

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    async def prepare(self, topic: str) -> None:
        bodies = [
            json.loads(line)["request"]["body"]
            for line in (TRANSCRIPTS / "crd.jsonl").read_text().splitlines()
            if json.loads(line)["case"] in {"crd-create", "gadgets"}
        ]
        for body in bodies if topic != "crd" else bodies[:1]:
            await self.api.create(CRDS, "", body)
        self._own_for_unknown = topic == "crd"  # elsewhere an identity never shown is foreign on purpose
        for name in ("n1", "nd", "nd2") if topic == "deletion" else ():
            await self.api.create("namespaces", "", {"metadata": {"name": name}})
        for resource, body in PRESENT.get(topic, ()):
            await self.api.create(resource, "default", body)
        for replicas in (2, 3, 4, 6) if topic == "patch" else ():
            await self.api.patch("widgets.test.example.com", "default", "w1", {"spec": {"replicas": replicas}})

    async def between(self, topic: str, record: Record) -> None:
        """Do what the recorder did before this record; numbers of placeholders begin anew with each of its runs."""
        number = int(re.sub(r"\D", "", record.response["headers"].get("Audit-Id", "")) or self._run)
        if number < self._run:
            self._meaning = {}
        self._run = number
        act, resource, body = BEFORE.get((topic, record.case), ("", "", None))
        if act == "delete":
            await self.api.delete(resource, "default", body)
        elif act == "schedule":  # a scheduler said why it could not
            status = self.filled(record.response["body"]["status"])
            await self.api.patch(resource, "default", body, {"status": status}, subresource="status")
        elif act == "create":
            await self.api.create(resource, "default", body)
        elif act == "status":
            await self.api.patch(resource, "default", body["metadata"]["name"], body, subresource="status")

    def filled(self, value: Any, stored: Mapping[str, Any] | None = None) -> Any:
        """The request with our own identities for those recorded; of one never shown, the stored object's own."""
        if isinstance(value, dict):
            return {key: self.filled(one, stored) for key, one in value.items() if one != "<trimmed>"}
        if isinstance(value, list):
            return [self.filled(one, stored) for one in value]
        if not isinstance(value, str):
            return value
        value = value.replace("<time>", "2026-01-01T00:00:00Z").replace("<time.us>", "2026-01-01T00:00:00.000000Z")
        foreign = {"uid": "?", "resourceVersion": "999999"}
        metadata = stored["metadata"] if stored and self._own_for_unknown else foreign
        own = {"u": metadata["uid"], "r": metadata["resourceVersion"]}
        return MARK.sub(lambda mark: self._meaning.get(mark[0], own.get(mark[0][1], "?")), value)

    async def ask(self, record: Record) -> tuple[int, Any, tuple[str, ...]]:
        try:
            target = route(self.filled(record.request["path"]), self.server.registry)
            assert target is not None
            return await self._asked(record, target)
        except NoSuchPath:
            return 404, "404 page not found\n", ()
        except Refusal as refusal:
            return refusal.code, refusal.status, ()

    async def _asked(self, record: Record, target: Target) -> tuple[int, Any, tuple[str, ...]]:
        method, server = record.request["method"], self.server
        options = parse_query(self.filled(record.request.get("query") or "")).options
        asked = Request(target.resource, target.namespace, target.name, target.subresource, options)
        stored = server.stored(target.resource, target.namespace, target.name)
        foreign = record.case == "scale-conflict"
        body = self.filled(record.request.get("body"), None if foreign else stored)
        raw = b"" if body is None else body.encode() if isinstance(body, str) else orjson.dumps(body)
        if method == "GET":
            found = await (server.get(asked) if target.name else server.list(asked))
            return 200, orjson.loads(found.raw), found.warnings
        if method == "DELETE":
            merged = with_delete_options(options, decode_delete_options(raw, "json"))
            asked = Request(target.resource, target.namespace, target.name, target.subresource, merged)
            gone = await (server.delete(asked) if target.name else server.delete_collection(asked))
            return 200, orjson.loads(gone.raw), gone.warnings
        if method == "PATCH":
            kind = PATCHES[record.request["headers"]["Content-Type"]]
            answer = await server.patch(asked, decode_patch(raw, kind))
        elif method == "PUT":
            answer = await server.update(asked, decode_object(raw, "json", target.resource.kind))
        else:
            answer = await server.create(asked, decode_object(raw, "json", target.resource.kind))
        return answer.code, answer.object, answer.warnings

    def differences(self, expected: Any, actual: Any, at: str = "") -> list[str]:
        """Where the two differ; placeholders of the recorded answer take the meaning that ours gives them."""
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._in_maps(expected, actual, at)
        if isinstance(expected, list) and isinstance(actual, list):
            if at.endswith(".causes"):  # their order is that of a Go map; some are listed twice
                expected, actual = (_once(one) for one in (self.filled(expected), actual))
            if len(expected) != len(actual):
                return [f"{at}: {len(expected)} items, not {len(actual)}"]
            return [
                found
                for index, (one, other) in enumerate(zip(expected, actual, strict=True))
                for found in self.differences(one, other, f"{at}[{index}]")
            ]
        if isinstance(expected, str) and isinstance(actual, str):
            return [] if self._reads_as(expected, actual) else [f"{at}: {expected[:300]!r}, not {actual[:300]!r}"]
        same = type(expected) is type(actual) and expected == actual
        return [] if same else [f"{at}: {expected!r}, not {actual!r}"]

    def _in_maps(self, expected: dict[str, Any], actual: dict[str, Any], at: str) -> list[str]:
        found = [f"{at}.{key}: not expected" for key in actual if key not in expected]
        for key, value in expected.items():
            if key == "managedFields":
                continue
            if key in actual:
                found += self.differences(value, actual[key], f"{at}.{key}")
            else:
                found.append(f"{at}.{key}: missing")
        return found

    def _reads_as(self, expected: str, actual: str) -> bool:
        if "<trimmed" in expected:
            return True
        marks = MARK.findall(expected)
        pattern = "(.+?)".join(re.escape(part) for part in MARK.split(_plain(expected)))
        match = re.fullmatch(pattern, _plain(actual), re.DOTALL)
        if match is not None:
            self._meaning |= dict(zip(marks, match.groups(), strict=True))
            return True
        return _parts(self.filled(expected)) == _parts(actual)


def _plain(text: str) -> str:
    return ADDRESS.sub("10.96.x.x", RANDOM.sub("#####", text))


def _parts(message: str) -> list[str]:
    """The causes within a message, which come in any order."""
    return sorted(
        re.sub(r"(is invalid: )\[(.*)\]$", r"\1\2", message, flags=re.DOTALL)
        .replace("is invalid: ", "is invalid, ")
        .split(", ")
    )


def _once(causes: list[Any]) -> list[Any]:
    return [json.loads(one) for one in sorted({json.dumps(cause, sort_keys=True) for cause in causes})]


def warnings_of(record: Record) -> list[str]:
    lines = (record.response["headers"].get("Warning") or "").split("\n")
    return sorted(line.split(' - "', 1)[1][:-1].replace('\\"', '"') for line in lines if line)


@pytest.mark.parametrize("topic", ["crud", "crd", "deletion", "patch", "auth", "subresources"])
async def test_a_recorded_request_is_answered_as_the_real_server_did(topic: str) -> None:
    """Status, body and warnings, for every record of the topic."""
    replay = Replay()
    await replay.prepare(topic)
    wrong: list[str] = []

    for record in records(topic):
        await replay.between(topic, record)
        code, body, warnings = await replay.ask(record)

        expected = record.response["body"]
        if code != record.response["status"]:
            wrong.append(f"{record.case}: {record.response['status']}, not {code}: {json.dumps(body)[:300]}")
            continue
        if isinstance(expected, str) and expected.startswith("{"):
            expected = json.loads(expected) if expected.endswith("}") else "<trimmed>"
        if not (isinstance(expected, str) and "<trimmed" in expected):
            wrong += [f"{record.case}: {one}" for one in replay.differences(expected, body)]
        if warnings_of(record) != sorted(warnings):
            wrong.append(f"{record.case}: warnings {warnings_of(record)}, not {warnings}")

    assert not wrong, "\n".join(wrong)
