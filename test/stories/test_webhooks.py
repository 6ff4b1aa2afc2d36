"""A webhook of a user's that is asked about everything and cannot be reached: the control plane lives with that."""

from __future__ import annotations

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver.admission_calls import Destination
from localcluster.apiserver.admission_review import CallFailed
from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_job, a_pod, a_service

WEBHOOKS = "ValidatingWebhookConfiguration"
EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
WEBHOOK: Json = {
    "name": "all.example.com",
    "clientConfig": {"url": "https://127.0.0.1:1/x"},
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
    "rules": [EVERYTHING],
}


async def unreachable(where: Destination, body: bytes, seconds: int) -> bytes:
    raise CallFailed(f"failed to call webhook: nobody is at {where.url}")


async def test_a_webhook_that_refuses_everything_stops_the_cluster_only_as_long_as_it_is_there() -> None:
    """Kubelet, scheduler and controllers are refused as users are, try again, and go on when it is gone."""
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": WEBHOOKS,
        "metadata": {"name": "all"},
        "webhooks": [WEBHOOK],
    }
    async with a_cluster(operator=False) as cluster:
        cluster.node.script("train-*", runs_seconds=30)
        cluster.server.call_webhooks(unreachable)
        await cluster.create(a_pod("early"))
        await cluster.create(a_service("early", selector={"a": "b"}))
        await cluster.create(a_job("train"))
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}})
        await cluster.delete("Namespace", "going", namespace="")
        await cluster.create(configuration)

        await cluster.after(1800)
        with pytest.raises(Refusal, match=r'failed calling webhook "all\.example\.com"'):
            await cluster.create(a_pod("late"))
        cluster.lose_node()
        await cluster.after(600)
        cluster.find_node()
        early = await cluster.get("Pod", "early")
        await cluster.delete(WEBHOOKS, "all", namespace="")

        await cluster.until("Pod", "early", ready=True)
        await cluster.until("Job", "train", condition="Complete")

    assert early.status.phase == "Pending"
