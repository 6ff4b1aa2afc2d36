"""The job's own output where no submitter has it: asked of the dashboard, with the token that this wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.cell import Cell
from manta.api import Api, Refused
from manta.documents import Document, parsed
from manta.follow import News, dashboard_log
from manta.local import Local
from manta.progress import Progress

Json = dict[str, Any]
ENV = {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "of-train", "key": "auth_token"}}}


class Known(Api):
    """An API with the head of a cluster and, unless somebody took it away, the Secret of its token."""

    def __init__(self, *env: Json, secret: bool = True) -> None:
        self.pods = {"items": [{"spec": {"containers": [{"name": "ray-head", "env": list(env)}]}}]}
        self.secret = {"data": {"auth_token": "czNjcjN0"}} if secret else None

    async def request(
        self, method: str, path: str, *, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """See Api."""
        if path == "/api/v1/namespaces/ml/secrets/of-train" and self.secret is not None:
            return self.secret
        head_of_train = {"labelSelector": "ray.io/cluster=train-abcde,ray.io/node-type=head"}
        if path == "/api/v1/namespaces/ml/pods" and query == head_of_train:
            return self.pods
        raise Refused(404, "not found")


@asynccontextmanager
async def a_dashboard(folder: Path, token: str) -> AsyncIterator[None]:
    """Behind the dialer's socket; it says "hello" to those who have the token, if it wants one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"127.64.0.2:8265\n"
        writer.write(b"ok\n")
        asked = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        welcome = not token or f"authorization: bearer {token}\r\n" in asked
        said = {"logs": "hello\n"} if welcome else {"error": "Unauthorized"}
        status = "200 OK" if welcome else "401 Unauthorized"
        writer.write(f"HTTP/1.0 {status}\r\n\r\n{json.dumps(said)}".encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, folder / "dial.sock"):
        yield


async def first_said(folder: Path, api: Api) -> str:
    """What is shown first of a job that runs, within its poll's time."""
    text = "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: train, namespace: ml}\n"
    document: Document = next(parsed("job.yaml", text))
    progress = Progress("RayJob", "train", "ml", cluster="train-abcde", head_ip="127.64.0.2", job_id="train-1")
    local = Local(api, folder, object.__new__(Cell), "")
    async with aclosing(dashboard_log(local, document, progress, News())) as said:  # type: ignore[type-var]
        async for some in said:
            return some
    return ""


@pytest.mark.parametrize(("token", "env"), [("", ()), ("s3cr3t", (ENV,))], ids=["open", "locked"])
async def test_the_output_of_a_job_that_the_operator_submitted_is_shown(
    token: str, env: tuple[Json, ...], tmp_path: Path
) -> None:
    """On a shared host every dashboard asks for a token: the one that the head's own pod has."""
    async with asyncio.timeout(5), a_dashboard(tmp_path, token):
        assert await first_said(tmp_path, Known(*env)) == "hello\n"
