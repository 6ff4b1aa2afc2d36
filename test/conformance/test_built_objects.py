"""What the operator builds for a RayCluster is taken by an API server as it is, and comes back as it went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.v1.raycluster import RayCluster
from controller.ray.desired import auth, rbac, services
from controller.ray.desired.facts import Facts, facts_of
from controller.ray.options import Options
from localcluster.testing.factories import a_raycluster
from localcluster.testing.wire import Wire

GOLDEN = Path(__file__).parents[1] / "golden"
PODS = sorted(path.stem for path in GOLDEN.glob("raycluster-*.json"))


def facts(namespace: str, **spec: Any) -> Facts:
    body = a_raycluster("demo", namespace=namespace, enable_in_tree_autoscaling=True, **spec)
    body["metadata"]["uid"] = "3f1c8a52-5a0e-4a3e-9a43-0f8f5e5c2d11"
    return facts_of(RayCluster.from_json(body), Options())


def keeps(answer: Any, sent: Any) -> bool:
    """Is all that was sent in the answer, whatever the server added?"""
    if isinstance(sent, dict):
        return isinstance(answer, dict) and all(name in answer and keeps(answer[name], sent[name]) for name in sent)
    if isinstance(sent, list):
        return isinstance(answer, list) and len(answer) >= len(sent) and all(map(keeps, answer, sent))
    return bool(answer == sent)


async def tried(cluster: Wire, collection: str, body: Any) -> Any:
    """The answer to a creation that is not stored."""
    return (await cluster.post(cluster.path(collection), body, dryRun="All", fieldValidation="Strict")).ok(201)


@pytest.mark.parametrize("name", PODS)
async def test_pods_are_taken_as_they_are(cluster: Wire, name: str) -> None:
    body = json.loads((GOLDEN / f"{name}.json").read_text())
    body["metadata"]["namespace"] = cluster.namespace
    body["spec"].pop("serviceAccountName", None)  # admission looks it up

    answer = await tried(cluster, "pods", body)

    assert keeps(answer["metadata"], body["metadata"])
    assert keeps(answer["spec"]["containers"], body["spec"]["containers"])
    assert keeps(answer["spec"].get("initContainers", []), body["spec"].get("initContainers", []))


@pytest.mark.parametrize("service_type", ["", "ClusterIP", "NodePort"])
async def test_services_are_taken_as_they_are(cluster: Wire, service_type: str) -> None:
    body = a_raycluster("demo")["spec"]["headGroupSpec"] | {"serviceType": service_type}
    found = facts(cluster.namespace, head_group_spec=body)
    serve = services.serve(found)
    assert serve is not None

    for service in (services.head(found, Options()), services.headless(found), serve):
        answer = await tried(cluster, "services", service)

        assert keeps(answer["spec"], service["spec"])


async def test_rights_and_token_are_taken_as_they_are(cluster: Wire) -> None:
    found = facts(cluster.namespace, auth_options={"mode": "token"})

    for collection, body in (
        ("serviceaccounts", rbac.service_account(found)),
        ("roles.rbac.authorization.k8s.io", rbac.role(found)),
        ("rolebindings.rbac.authorization.k8s.io", rbac.role_binding(found)),
        ("secrets", auth.secret(found, "dG9rZW4=")),
    ):
        answer = await tried(cluster, collection, body)

        assert answer["metadata"]["name"] == "demo"
