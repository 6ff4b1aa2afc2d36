"""The operator on the cluster of a test run: put there from its manifests, asked, and taken away again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hack.e2e.cluster import Cluster, KubectlFailed, NoCluster
from hack.kube.configuration import RUNTIME_SOCKET

__all__ = ["LEASE", "NAMESPACE", "NAMESPACES", "PODS", "Installation", "an_installation"]

Json = dict[str, Any]
CONFIG = Path(__file__).parent.parent.parent / "config"
GIVEN = "E2E_OPERATOR"  # "installed": test the operator that the cluster has, and neither install nor remove any
NAMESPACE = "default"
PODS = "app.kubernetes.io/component=kuberay-operator"
LEASE = "ray-operator-leader"
METRICS_PORT, HEALTH_PORT = 8080, 8082
GATES = "--feature-gates="
# What is applied for an overlay, in order: a namespaced operator needs the CRDs from an administrator.
PARTS: Mapping[str, Sequence[str]] = {
    "default": ("default",),
    "namespaced": ("crd", "namespaced"),
    "default-with-webhooks": ("default-with-webhooks",),
}
NAMESPACES: Mapping[str, str] = {"default-with-webhooks": "ray-system"}  # of an overlay that is not in NAMESPACE


@dataclass(slots=True)
class Installation:
    """What of config/ is applied at the moment, and what may be asked of the operator that runs by it."""

    cluster: Cluster
    given: bool = False  # somebody else's: it stays as it is
    overlay: str = ""
    away: list[tuple[datetime, datetime]] = field(default_factory=list)  # while it was being taken away

    def ensure(self, overlay: str = "default") -> None:
        """It runs by that overlay, and by no other."""
        if self.given or self.overlay == overlay:
            return
        self.remove()
        self.install(overlay)

    @property
    def namespace(self) -> str:
        """Where its pods are."""
        return NAMESPACES.get(self.overlay, NAMESPACE)

    def install(self, overlay: str = "default") -> tuple[float, float]:
        """Apply the overlay; the seconds that took, and those until it was available. Raises KubectlFailed."""
        self.cluster.use_image("operator")
        began = time.monotonic()
        self.overlay = overlay
        for part in PARTS[overlay]:
            self.apply(part)
        applied = time.monotonic()
        self.until_available()
        return applied - began, time.monotonic() - applied

    def apply(self, part: str) -> None:
        """Apply a folder of config/. Raises KubectlFailed."""
        self.cluster.kubectl("apply", "--server-side", f"--kustomize={CONFIG / part}")

    def delete(self, part: str) -> None:
        """Delete what a folder of config/ has, and wait until the operator has ended. Raises KubectlFailed."""
        with self.going():
            self.cluster.kubectl("delete", f"--kustomize={CONFIG / part}", "--timeout=120s")

    @property
    def excused(self) -> list[tuple[datetime, datetime]]:
        """When requests may have been refused that it has a right to: its roles were going, or not read yet."""
        node = self.cluster.node
        return [*self.away, *(node.outages if node is not None else ())]

    @contextmanager
    def going(self) -> Iterator[None]:
        """It is taken away in this block, which ends when its pods have: its rights may go before they do."""
        began = datetime.now(UTC)
        yield
        self.cluster.wait("delete", "pod", f"--selector={PODS}", f"--namespace={self.namespace}", seconds=60)
        self.away.append((began, datetime.now(UTC)))

    def until_available(self, seconds: int = 90) -> None:
        """As many replicas are ready as are wanted, all of the newest kind. Raises KubectlFailed."""
        rollout = ("rollout", "status", "deployment/kuberay-operator", f"--namespace={self.namespace}")
        self.cluster.kubectl(*rollout, f"--timeout={seconds}s")

    def remove(self) -> None:
        """Delete what was applied, the last first. Raises KubectlFailed."""
        for part in reversed(PARTS.get(self.overlay, ())):
            self.delete(part)
        self.overlay = ""

    def kill(self) -> str:
        """SIGKILL to the process of its one pod, without a word before; how that was done. Raises KubectlFailed.

        The kubelet starts it again in its pod. Without a way to the node the pod goes as well, and another one comes.
        """
        (pod,) = self.pods()
        if self.cluster.node is None:
            where = (pod["metadata"]["name"], f"--namespace={self.namespace}")
            self.cluster.kubectl("delete", "pod", *where, "--grace-period=0", "--force")
            return "its pod by force"
        (container,) = pod["status"]["containerStatuses"]
        name = container["containerID"].removeprefix("containerd://")
        address = (f"--address={RUNTIME_SOCKET}", "--namespace=k8s.io")
        self.cluster.node.run("ctr", *address, "tasks", "kill", "--signal=SIGKILL", name)
        return "its process by SIGKILL"

    @contextmanager
    def gates(self, *opened: str) -> Iterator[None]:
        """It runs with these feature gates open while the block is. Raises KubectlFailed.

        One that is somebody else's stays as it is: its gates are taken to be open.
        """
        if self.given:
            yield
            return
        where = ("deployment/kuberay-operator", f"--namespace={self.namespace}")
        (container,) = self.cluster.get(*where)["spec"]["template"]["spec"]["containers"]
        flags = [flag for flag in container["args"] if not flag.startswith(GATES)]
        before = ",".join(flag.removeprefix(GATES) for flag in container["args"] if flag.startswith(GATES))
        together = ",".join([*filter(None, [before]), *(f"{gate}=true" for gate in opened)])
        self._arguments([*flags, f"{GATES}{together}"])
        try:
            yield
        finally:
            self._arguments(container["args"])

    def _arguments(self, flags: Sequence[str]) -> None:
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": list(flags)}]
        where = ("deployment/kuberay-operator", f"--namespace={self.namespace}")
        self.cluster.kubectl("patch", *where, "--type=json", f"--patch={json.dumps(patch)}")
        self.until_available()

    def pods(self) -> list[Json]:
        """Those that are not about to end."""
        found = self.cluster.get("pods", f"--selector={PODS}", f"--namespace={self.namespace}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ask(self, path: str, port: int = METRICS_PORT) -> str:
        """What one of its pods answers to a GET. Raises KubectlFailed."""
        pod = self.pods()[0]["metadata"]["name"]
        where = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{port}/proxy{path}"
        return self.cluster.kubectl("get", "--raw", where)

    def leader(self) -> str:
        """The name of the pod that holds the lease; "" for none."""
        lease = self.cluster.get(f"lease/{LEASE}", f"--namespace={self.namespace}")
        return str((lease.get("spec") or {}).get("holderIdentity") or "").partition("_")[0]

    def log(self) -> list[Json]:
        """What its pods said, a record a line."""
        said = self.cluster.kubectl("logs", f"--selector={PODS}", f"--namespace={self.namespace}", "--tail=-1")
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


@contextmanager
def an_installation(cluster: Cluster) -> Iterator[Installation]:
    """Nothing is installed yet, unless E2E_OPERATOR says that it is; a cluster that stays is left without it.

    Raises NoCluster where the CRDs are there already: taking them away would take somebody's objects with them.
    """
    given = os.environ.get(GIVEN) == "installed"
    if not given and _has_crds(cluster):
        raise NoCluster(
            "the cluster has Ray's CRDs: the tests would delete them, and all Ray clusters with them; "
            f"{GIVEN}=installed tests the operator that is there"
        )
    installation = Installation(cluster, given)
    try:
        yield installation
    finally:
        if cluster.provider == "current":
            installation.remove()


def _has_crds(cluster: Cluster) -> bool:
    try:
        cluster.get("crd", "rayclusters.ray.io")
    except KubectlFailed:
        return False
    return True
