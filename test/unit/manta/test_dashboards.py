"""Of a dashboard that asks for a token it is told where that is: in a file, since not everybody has kubectl."""

from __future__ import annotations

import io
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manta.api import Api, Refused
from manta.dashboards import dashboards
from manta.show import Plain

Json = dict[str, Any]
READ = "/api/v1/namespaces/ml/secrets/mine"
SECRET = {"secretKeyRef": {"name": "mine", "key": "auth_token"}}


class Secrets(Api):
    """An API that knows one Secret, or none."""

    def __init__(self, data: Json | None) -> None:
        self.data = data

    async def request(
        self, method: str, path: str, *, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """See Api."""
        if self.data is None or (method, path) != ("GET", READ):
            raise Refused(404, "not found")
        return {"data": self.data}


def a_head(*env: Json) -> Json:
    metadata = {"name": "h", "namespace": "ml", "labels": {"ray.io/cluster": "train"}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "ray-head", "env": list(env)}]}}


async def told_of(head: Json, api: Api, directory: Path) -> str:
    """What is said once its port is open."""
    out = io.StringIO()
    await dashboards(Plain(out), api, directory).opened(head, 41234)
    return out.getvalue()


async def test_the_token_is_in_a_file_of_the_runs_own_folder(tmp_path: Path) -> None:
    """Of the Secret that the pod names, by its own key, in its own namespace; for nobody else to read."""
    head = a_head({"name": "OTHER", "value": "1"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": SECRET})

    said = await told_of(head, Secrets({"auth_token": "czNjcjN0"}), tmp_path)

    file = tmp_path / "ml.train.token"
    assert said == f"dashboard of train on http://127.0.0.1:41234; it asks for a token, which is in {file}\n"
    assert file.read_text() == "s3cr3t"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_token_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Somebody took the Secret away; the dashboard is there all the same."""
    head = a_head({"name": "RAY_AUTH_TOKEN", "valueFrom": SECRET})

    for api in (Secrets(None), Secrets({"other": "eA=="})):
        said = await told_of(head, api, tmp_path)

        assert said.endswith(":41234; it asks for a token: the key auth_token of the Secret ml/mine\n")
        assert not (tmp_path / "ml.train.token").exists()


async def test_of_an_open_dashboard_nothing_more_is_said(tmp_path: Path) -> None:
    """No such variable, or one whose value is no secret."""
    for head in (a_head(), a_head({"name": "RAY_AUTH_TOKEN", "value": "x"})):
        assert await told_of(head, Secrets({}), tmp_path) == "dashboard of train on http://127.0.0.1:41234\n"
