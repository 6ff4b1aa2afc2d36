"""The operator's webhooks on a real node: reached by their Service, trusted by the authority that the operator made.

Nothing here needs Ray: its clusters are suspended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hack.e2e.cluster import Answer, Cluster
from hack.e2e.operator import PODS, Installation
from hack.e2e.workloads import a_raycluster
from hack.image.making import RAY_VERSION

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
OVERLAY = "default-with-webhooks"
DEPLOYMENT = "deployment/kuberay-operator"
VALIDATING = "validatingwebhookconfiguration/kuberay-validating-webhook-configuration"
ASKED_SECONDS = 60.0  # from when the operator is ready until every node knows the way to it, with room
GROUP = "/spec/workerGroupSpecs/0"


@dataclass(frozen=True, slots=True)
class Site:
    """The cluster, the operator that judges there, and a namespace."""

    cluster: Cluster
    operator: Installation
    namespace: str

    def create(self, object_: Json, *flags: str) -> Answer:
        return self.cluster.asked("create", "--filename=-", *flags, said=json.dumps(object_))

    def patch(self, name: str, *operations: Json) -> Answer:
        """As JSON patch."""
        what = ("patch", f"raycluster/{name}", self.here, "--type=json")
        return self.cluster.asked(*what, f"--patch={json.dumps(operations)}")

    def get(self, name: str) -> Json:
        return self.cluster.get(f"raycluster/{name}", self.here)

    @property
    def here(self) -> str:
        return f"--namespace={self.namespace}"

    def until_asked(self) -> None:
        """Soon after the operator is ready: the API server hears of the authority, and the node of the way there."""
        began = time.monotonic()
        while time.monotonic() < began + ASKED_SECONDS:
            if not self.create(a_bad("probe", self.namespace), "--dry-run=server").good:
                return
        raise AssertionError(f"the API server does not ask our webhooks: {self.cluster.get(VALIDATING)}")


def suspended(name: str, namespace: str, **spec: Any) -> Json:
    """A RayCluster without pods."""
    return a_raycluster(name, namespace, suspend=True, **spec)


def a_bad(name: str, namespace: str) -> Json:
    """Wrong in three places, of which schema and CEL see none."""
    found = suspended(name, namespace, rayVersion="2.9.0")
    first = found["spec"]["workerGroupSpecs"][0]
    found["spec"]["workerGroupSpecs"] = [first, {**first, "minReplicas": 5}]
    return found


@pytest.fixture(scope="module")
def site(cluster: Cluster, installation: Installation, shared_namespace: str) -> Site:
    """The operator as `config/default-with-webhooks` has it; `old` and `older` were bad before anybody judged."""
    if installation.given:
        pytest.skip("the operator is somebody else's: it is neither installed nor removed")
    installation.remove()
    installation.apply("crd")
    found = Site(cluster, installation, shared_namespace)
    assert all(found.create(a_bad(name, shared_namespace)).good for name in ("old", "older"))
    installation.install(OVERLAY)
    found.until_asked()
    return found


def test_all_that_is_wrong_is_refused_at_once_in_the_server_s_words(site: Site) -> None:
    answer = site.create(a_bad("bad", site.namespace))
    whole = site.create(a_bad("bad", site.namespace), "--v=8").beside  # kubectl shows the causes alone otherwise

    assert not answer.good
    assert answer.beside.startswith('The RayCluster "bad" is invalid')
    assert 'admission webhook "vraycluster.kb.io" denied the request' in whole.replace("\\", "")
    assert [rule for rule in ("[M11]", "[C9]", "[RV02]") if rule not in answer.beside] == []


def test_the_server_calls_the_service_and_trusts_the_authority_that_the_operator_made(site: Site) -> None:
    webhooks = site.cluster.get(VALIDATING)["webhooks"]

    services = {
        (one["clientConfig"]["service"]["namespace"], one["clientConfig"]["service"]["name"]) for one in webhooks
    }
    assert services == {("ray-system", "kuberay-webhook-service")}
    assert all(one["clientConfig"]["caBundle"] for one in webhooks)


def test_what_is_absent_is_filled_in(site: Site) -> None:
    unsaid = suspended("unsaid", site.namespace)
    del unsaid["spec"]["rayVersion"]

    assert site.create(unsaid).good

    stored = site.get("unsaid")
    assert stored["spec"]["rayVersion"] == RAY_VERSION
    assert json.loads(stored["metadata"]["annotations"]["ray.io/defaulted"]) == {"spec.rayVersion": RAY_VERSION}


def test_what_is_doubtful_is_created_with_a_warning(site: Site) -> None:
    answer = site.create(suspended("doubtful", site.namespace, autoscalerOptions={"upscalingMode": "Default"}))

    assert answer.good
    (warning,) = answer.warnings
    assert warning.startswith("spec.autoscalerOptions")
    assert warning.partition("[")[2].startswith("RP12]")


def test_what_was_stored_before_anybody_judged_can_be_edited_and_not_made_worse(site: Site) -> None:
    edited = site.patch("old", {"op": "add", "path": f"{GROUP}/template/metadata", "value": {"labels": {"team": "a"}}})
    worse = site.patch("old", {"op": "replace", "path": f"{GROUP}/minReplicas", "value": 7})

    assert edited.good
    assert [rule for rule in ("[M11]", "[C9]", "[RV02]") if rule not in edited.beside] == []
    assert len(edited.warnings) == 3
    assert not worse.good
    assert "[C9]" in worse.beside


def test_scaling_and_deletion_do_not_wait_for_an_operator_that_is_away(site: Site) -> None:
    """Though what it does not answer is refused: the API server does not even ask."""
    kept = suspended("kept", site.namespace)
    kept["metadata"]["finalizers"] = ["example.com/held"]
    assert site.create(kept).good
    to_delete = {"workersToDelete": ["kept-small-worker-a"]}

    with away(site):
        edited = site.patch("kept", {"op": "add", "path": "/spec/headGroupSpec/labels", "value": {"team": "a"}})
        scaled = site.patch("kept", {"op": "replace", "path": f"{GROUP}/replicas", "value": 2})
        shrunk = site.patch("kept", {"op": "add", "path": f"{GROUP}/scaleStrategy", "value": to_delete})
        deleted = site.cluster.asked("delete", "raycluster/kept", "raycluster/older", site.here, "--wait=false")
        released = site.patch("kept", {"op": "remove", "path": "/metadata/finalizers"})
        left = site.cluster.get("rayclusters", site.here)["items"]

    assert not edited.good
    assert 'failed calling webhook "vraycluster.kb.io"' in edited.beside
    assert [one.good for one in (scaled, shrunk, deleted, released)] == [True] * 4
    assert {"kept", "older"}.isdisjoint(one["metadata"]["name"] for one in left)


@contextmanager
def away(site: Site) -> Iterator[None]:
    """No operator, and a policy that refuses what nobody judged; afterwards both are as before."""
    policies(site, "Fail")
    scale(site, 0)
    where = f"--namespace={site.operator.namespace}"
    site.cluster.wait("delete", "pod", f"--selector={PODS}", where)
    try:
        yield
    finally:
        scale(site, 1)
        site.operator.until_available()
        policies(site, "Ignore")
        site.until_asked()


def policies(site: Site, wanted: str) -> None:
    count = len(site.cluster.get(VALIDATING)["webhooks"])
    changes: Sequence[Json] = [
        {"op": "replace", "path": f"/webhooks/{index}/failurePolicy", "value": wanted} for index in range(count)
    ]
    site.cluster.kubectl("patch", VALIDATING, "--type=json", f"--patch={json.dumps(changes)}")


def scale(site: Site, replicas: int) -> None:
    site.cluster.kubectl("scale", DEPLOYMENT, f"--namespace={site.operator.namespace}", f"--replicas={replicas}")
