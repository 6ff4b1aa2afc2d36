"""From a kubeconfig to an API server, and what was written there."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from localcluster.node.remote import BadKubeconfig, connected, written


def a_kubeconfig(path: Path, server: str = "", user: dict[str, Any] | None = None) -> Path:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server} if server else {}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/nodes", "POST nodes"),
        ("/api/v1/nodes/n/status", "POST nodes/status"),
        ("/api/v1/namespaces", "POST namespaces"),
        ("/api/v1/namespaces/a", "POST namespaces"),
        ("/api/v1/namespaces/a/pods", "POST pods"),
        ("/api/v1/namespaces/a/pods/p/binding", "POST pods/binding"),
        ("/apis/batch/v1/namespaces/a/jobs/j", "POST jobs"),
    ],
)
def test_a_write_is_named_by_what_it_writes(path: str, said: str) -> None:
    """However many objects there are, the names stay few."""
    assert written("POST", tuple(path.strip("/").split("/"))) == said


@pytest.mark.parametrize("file", [False, True])
async def test_writes_are_counted_and_reads_are_not(tmp_path: Path, file: bool) -> None:
    """Also behind a server whose URL has a path; the token goes along, from the file that holds it too."""
    tokens: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        tokens.append(request.headers.get("Authorization"))
        if request.path.endswith("/v1"):
            pods = {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get"]}
            return web.json_response({"resources": [pods]})
        return web.json_response({"groups": []})

    app = web.Application()
    app.router.add_route("*", "/deep/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        (tmp_path / "token").write_text("t\n")
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/deep/"
        user = {"tokenFile": "token"} if file else {"token": "t"}
        async with connected(a_kubeconfig(tmp_path / "k", url, user)) as (api, writes):
            await api.get("pods", "ns", "p")
            await api.patch("pods", "ns", "p", {}, subresource="status")
            await api.patch("pods", "ns", "q", {}, subresource="status")
            await api.delete("pods", "ns", "q")
    finally:
        await runner.cleanup()

    assert writes == {"PATCH pods/status": 2, "DELETE pods": 1}
    assert set(tokens) == {"Bearer t"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is no kubeconfig"),
        ("{}", 'there is no "" among its contexts'),
        ('{"current-context": "x", "contexts": [{"name": "x"}]}', 'there is no "" among its clusters'),
    ],
)
async def test_a_file_that_leads_nowhere_is_refused_in_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "k").write_text(content)

    with pytest.raises(BadKubeconfig) as refused:
        async with connected(tmp_path / "k"):
            pass

    assert str(refused.value) == said


async def test_a_cluster_without_a_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadKubeconfig) as refused:
        async with connected(a_kubeconfig(tmp_path / "k")):
            pass

    assert str(refused.value) == 'cluster "c" names no server'


async def test_an_authority_that_is_none_is_not_ignored(tmp_path: Path) -> None:
    """Trusting whatever the system trusts instead would be worse than to fail."""
    path = a_kubeconfig(tmp_path / "k", "https://127.0.0.1:1")
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(b"nonsense").decode()
    path.write_text(json.dumps(config))

    with pytest.raises(OSError, match="certificate"):
        async with connected(path):
            pass
