"""What a decoder refuses here, it refuses on a real server, and the other way round: a sample, both asked the same."""

from __future__ import annotations

import json
import random

import aiohttp
import pytest

from localcluster.apiserver.decoding import too_deep
from localcluster.testing.oddities import VALID, collection, mutated
from localcluster.testing.wire import Endpoint, Wire

TRIES = 25
UNDECODED = 400


async def asked(session: aiohttp.ClientSession, endpoint: Endpoint, path: str, body: object) -> tuple[int, str]:
    """Code and message of a create that only tries."""
    headers = {"Authorization": f"Bearer {endpoint.token}", "Content-Type": "application/json"}
    url = f"{endpoint.url}{path}?dryRun=All"
    tls = endpoint.tls if endpoint.tls is not None else True
    async with session.post(url, data=json.dumps(body), headers=headers, ssl=tls) as answer:
        return answer.status, str((await answer.json()).get("message", ""))


@pytest.mark.judge
@pytest.mark.spec("kube-api:CRT-5")
@pytest.mark.parametrize("path", VALID)
async def test_both_servers_refuse_the_same_shapes(
    path: str, at_judge: Wire, judge_server: Endpoint, local_server: Endpoint
) -> None:
    """What is no object of its kind is 400 on both; what is one may be invalid, never an error of the server."""
    chance = random.Random(path)
    differing = []
    async with aiohttp.ClientSession() as session:
        for index in range(TRIES):
            body = mutated({**VALID[path], "metadata": {"name": f"x{index}", "labels": {"a": "b"}}}, chance)
            if too_deep(body):
                continue  # the one known difference: ours takes 200 levels, a real server 10,000
            where = collection(path, "default")
            ours, theirs = [await asked(session, one, where, body) for one in (local_server, judge_server)]
            if (ours[0] == UNDECODED) != (theirs[0] == UNDECODED) or ours[0] >= 500:
                differing.append(f"{json.dumps(body)[:1500]}\n  ours   {ours}\n  theirs {theirs}")

    assert not differing, "\n".join(differing)
