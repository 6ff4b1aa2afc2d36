"""Whatever shape an object has, the server answers as one: it says what is wrong, and never falls over it."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import yaml

from localcluster.api import Json
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.server import ApiServer
from localcluster.testing.oddities import VALID, collection, mutated

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[4]
TRIES = 50
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
KNOWN = "does not contain declared merge key"  # real servers answer 500 for that (PATCH-8)
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def samples() -> dict[str, Json]:
    """A cluster and a job of ours, by collection."""
    found: dict[str, Json] = {}
    for name in ("raycluster", "rayjob"):
        body = yaml.safe_load((ROOT / "config" / "samples" / f"{name}.yaml").read_text())
        found[f"/apis/{body['apiVersion']}/{name}s"] = body
    return found


def steps(obj: Json, chance: random.Random) -> list[Json]:
    """A JSON patch: some of it nonsense, some spoils the object."""
    return [
        {
            "op": chance.choice(("add", "replace", "remove", "test", "copy", "move", 3, None)),
            "path": chance.choice(("", "/", "/spec", "/spec/a/0", "/metadata/labels/a", "/data/k", "/-", 3, "spec")),
            "from": chance.choice(("", "/spec", "/metadata", 3)),
            "value": mutated({"v": obj.get("spec", [])}, chance).get("v"),
        }
        for _ in range(chance.choice((1, 2)))
    ]


@asynccontextmanager
async def a_client(*, ours: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
    """A server, with our definitions if they are wanted."""
    server = ApiServer(now=lambda: NOW, chance=random.Random(1))
    async with serving(HttpFace(server, now=lambda: NOW, token=None)) as url, aiohttp.ClientSession(url) as session:
        for file in sorted((ROOT / "api" / "crds").glob("*.json")) if ours else ():
            definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            async with session.post(definitions, json=json.loads(file.read_text())) as answer:
                assert answer.status == 201, await answer.text()
        yield session


class Client:
    """Sends, and fails the test where the server fell over."""

    def __init__(self, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
        self.session, self.caplog = session, caplog

    async def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Json | None:
        """The answer of a success; None for what was refused."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, path, data=data, headers=sent) as answer:
            text = await answer.text()
            if answer.status >= 500 and KNOWN not in text:
                traces = [record.exc_text or record.getMessage() for record in self.caplog.records]
                pytest.fail(
                    f"{method} {path} {str(body)[:1500]}: {answer.status} {text[:300]}\n{''.join(traces)[-3000:]}"
                )
            return json.loads(text) if answer.status < 300 else None


@pytest.mark.spec("kube-api:CRT-5", "kube-api:CRT-7")
@pytest.mark.parametrize("path", [*VALID, *samples()])
async def test_no_shape_of_an_object_makes_the_server_fall_over(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Created, replaced, patched, shown and deleted, each time a little wrong: 4xx, or it is stored."""
    caplog.set_level(logging.ERROR)
    chance = random.Random(path)
    valid = {**VALID, **samples()}[path]
    where = collection(path, "default")
    async with a_client(ours=path not in VALID) as session:
        client = Client(session, caplog)
        for index in range(TRIES):
            name = "odds.odd.example.com" if path.endswith("definitions") else f"x{index}"
            right = {**valid, "metadata": {"name": name, "labels": {"a": "b"}, "annotations": {"n": "o"}}}
            made = await client.ask("POST", where, right if index % 2 == 0 else mutated(right, chance))
            if made is None:
                continue
            one = f"{where}/{name}"
            await client.ask("PUT", one, mutated(made, chance))
            await client.ask("PATCH", one, mutated(right, chance), MERGE)
            await client.ask("PATCH", one, mutated(right, chance), STRATEGIC)
            await client.ask("PATCH", one, steps(made, chance), JSON_PATCH)
            await client.ask("PUT", f"{one}/status", mutated(made, chance))
            conditions = [{"type": "T", "status": "True"}]
            await client.ask("PATCH", f"{one}/status", mutated({"status": {"conditions": conditions}}, chance), MERGE)
            await client.ask("GET", where, headers=TABLE)
            options = {"preconditions": {"uid": "u"}, "gracePeriodSeconds": 0, "dryRun": ["All"]}
            await client.ask("DELETE", one, mutated(options, chance))
            await client.ask("DELETE", f"{one}?gracePeriodSeconds=0")


POSTED: dict[str, Json] = {
    "pods/p/binding": {"target": {"kind": "Node", "name": "n"}, "metadata": {"name": "p", "labels": {"a": "b"}}},
    "pods/p/eviction": {"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"], "preconditions": {"uid": "u"}}},
    "serviceaccounts/default/token": {"spec": {"audiences": ["a"], "boundObjectRef": {"kind": "Pod", "name": "p"}}},
}


@pytest.mark.parametrize("where", POSTED)
async def test_no_shape_of_a_posted_wish_makes_the_server_fall_over(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bindings, evictions and token requests are objects as well."""
    caplog.set_level(logging.ERROR)
    chance = random.Random(where)
    async with a_client() as session:
        client = Client(session, caplog)
        await client.ask("POST", collection("/api/v1/serviceaccounts", "default"), {"metadata": {"name": "default"}})
        for _ in range(TRIES):
            await client.ask(
                "POST", collection("/api/v1/pods", "default"), {**VALID["/api/v1/pods"], "metadata": {"name": "p"}}
            )
            await client.ask("POST", f"/api/v1/namespaces/default/{where}", mutated(POSTED[where], chance))
