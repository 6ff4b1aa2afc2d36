"""docs/install.md, typed as a new user would: its commands are taken from the page."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hack.e2e.cluster import Cluster
from hack.e2e.operator import Installation
from hack.e2e.watching import until
from hack.e2e.workloads import a_raycluster

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "install.md"


@pytest.fixture(autouse=True)
def ours(cluster: Cluster, installation: Installation) -> None:
    """Images are there; the first step of the page, which loads them, depends on the cluster."""
    if installation.given:
        pytest.skip("the operator is somebody else's: it is neither installed nor removed")
    cluster.use_image("operator")
    cluster.use_image("ray")


def test_a_new_user_gets_an_operator_a_cluster_a_job_and_figures(cluster: Cluster, installation: Installation) -> None:
    installation.remove()
    installation.overlay = "default"

    (apply,) = blocks("2. The operator")
    typed(cluster, apply)
    a_cluster, a_job = blocks("3. A first cluster")
    assert "Active:" in typed(cluster, a_cluster)
    assert "sum of squares below a million: 333332833333500000" in typed(cluster, a_job)
    (figures,) = blocks("4. Figures")
    assert 'controller_runtime_reconcile_total{controller="' in typed(cluster, figures)

    cluster.kubectl("delete", "rayjob/hello", "--namespace=default")


def test_an_upgrade_and_a_swap_of_the_operator_restart_no_pod(
    cluster: Cluster, operator: Installation, namespace: str
) -> None:
    """The other operator of the swap is ours as well: KubeRay's is not at hand."""
    cluster.apply(a_raycluster("stays", namespace))
    cluster.wait("jsonpath={.status.state}=ready", "raycluster/stays", f"--namespace={namespace}", seconds=180)
    before = told(until(cluster, "pods", namespace, bool))

    (upgrade,) = blocks("6. Upgrade")
    typed(cluster, upgrade)
    (swap,) = blocks("7. In place of KubeRay")
    typed(cluster, swap)
    operator.until_available()

    grow = '[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 1}]'
    cluster.kubectl("patch", "raycluster/stays", f"--namespace={namespace}", "--type=json", f"--patch={grow}")
    assert before.items() <= told(until(cluster, "pods", namespace, lambda pods: len(pods) == 2)).items()


def test_an_installation_for_one_namespace_becomes_available(cluster: Cluster, installation: Installation) -> None:
    installation.remove()
    installation.overlay = "namespaced"

    (apply,) = blocks("5. For one namespace alone")
    typed(cluster, apply)

    installation.until_available()


def test_it_is_uninstalled_with_and_without_what_users_made(
    cluster: Cluster, operator: Installation, namespace: str
) -> None:
    cluster.apply(a_raycluster("theirs", namespace))
    pods = until(cluster, "pods", namespace, bool)
    alone, everything = blocks("8. Uninstall")

    with operator.going():
        typed(cluster, alone)
    assert told(until(cluster, "pods", namespace, bool)).keys() == told(pods).keys()

    operator.apply("default/operator")
    operator.until_available()
    with operator.going():
        typed(cluster, everything)
    operator.overlay = ""
    cluster.wait("delete", "pods", f"--namespace={namespace}", "--all")


def blocks(section: str) -> list[str]:
    """The commands of a section, a text for each indented block."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert text, f"the page has no section {section!r}"
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # files to write
    found: list[str] = []
    indented = False
    for line in text.splitlines():
        if line.startswith("    "):
            found = [*found[:-1], f"{found[-1]}\n{line.strip()}"] if indented else [*found, line.strip()]
        indented = line.startswith("    ")
    return found


def typed(cluster: Cluster, commands: str) -> str:
    """Run them in a shell, with kubectl at hand; what they printed."""
    environment = {
        **os.environ,
        "PATH": f"{cluster.program.parent}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def told(pods: Mapping[str, Json]) -> dict[str, list[int]]:
    """UID -> how often each of its containers was started again."""
    return {
        pod["metadata"]["uid"]: [one["restartCount"] for one in (pod.get("status") or {}).get("containerStatuses", ())]
        for pod in pods.values()
    }
