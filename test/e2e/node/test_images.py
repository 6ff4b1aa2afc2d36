"""The operator's image: what is in it, and that it starts as the strictest namespace wants it to."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from hack.e2e.cluster import Cluster
from hack.image.making import RAY_VERSION, make

pytestmark = pytest.mark.e2e
UNWANTED = {"sh", "bash", "dash", "gcc", "cc", "ld", "apt", "apt-get", "dpkg", "pip", "pip3", "perl"}
MOST_MEGABYTES = 110  # 87 when this was written


@pytest.fixture(scope="module")
def archive() -> Path:
    return make("operator").path


def contents(archive: Path) -> set[str]:
    """The paths of all layers."""
    found: set[str] = set()
    with tarfile.open(archive) as outer:
        for member in outer:
            blob = outer.extractfile(member)
            assert blob is not None
            if blob.read(1) not in (b"{", b""):
                blob.seek(0)
                with tarfile.open(fileobj=blob) as layer:
                    found.update(layer.getnames())
    return found


def test_the_image_has_neither_shell_nor_compiler_nor_package_manager(archive: Path) -> None:
    programs = {Path(path).name for path in contents(archive) if Path(path).parent.name in ("bin", "sbin")}

    assert "python3.11" in programs
    assert programs & UNWANTED == set()
    assert archive.stat().st_size / 1e6 < MOST_MEGABYTES


def test_all_python_in_the_image_is_compiled_already(archive: Path) -> None:
    """Its root is read-only: what is not compiled now would be compiled at every start."""
    found = {path for path in contents(archive) if path.startswith("opt/manta/controller/")}
    sources = {Path(path) for path in found if path.endswith(".py")}

    assert len(sources) > 50
    for source in sources:
        assert str(source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc") in found


def test_the_operator_starts_where_pods_are_restricted(cluster: Cluster, namespace: str) -> None:
    """Read-only root, no capability, another user than root, no privileges: Pod Security `restricted` admits it."""
    image = cluster.use_image("operator")
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    security = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "operator", "image": image, "command": ["/manager"], "args": ["--version"]}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "version", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [{**container, "securityContext": security}]},
    }
    cluster.apply(pod)

    cluster.wait("jsonpath={.status.phase}=Succeeded", "pod/version", f"--namespace={namespace}")

    assert cluster.kubectl("logs", "version", f"--namespace={namespace}").startswith("manta-operator ")


def test_a_ray_cluster_of_one_runs_in_the_ray_image(cluster: Cluster, namespace: str) -> None:
    """As Ray's own image does: by user `ray`, with `ray` and `python` on PATH, and a dashboard that answers wget."""
    image = cluster.use_image("ray")
    start = "ray start --head --num-cpus=1 --object-store-memory=80000000 --dashboard-host=0.0.0.0"
    ask = "wget --quiet --output-document=- http://127.0.0.1:8265/api/version"
    count = "python -c 'import ray; ray.init(log_to_driver=False); print(ray.get(ray.remote(lambda: 6 * 7).remote()))'"
    container = {
        "name": "main",
        "image": image,
        "command": ["bash", "-c", f"id --user --name; {start} && {ask}; {count}"],
    }
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ray", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    cluster.apply(pod)

    cluster.wait("jsonpath={.status.phase}=Succeeded", "pod/ray", f"--namespace={namespace}", seconds=180)

    said = cluster.kubectl("logs", "ray", f"--namespace={namespace}")
    assert said.startswith("ray\n")
    assert f'"ray_version": "{RAY_VERSION}"' in said
    assert said.strip().endswith("42")
