"""The cluster that a run of end-to-end tests shares, and a namespace for each test (hack/e2e/cluster.py)."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from hack.e2e.cluster import BARE_LOG, Cluster, KubectlFailed, a_cluster

SETUP_SECONDS = 900  # the first test pays for the cluster, and for images that were never made here
KEPT = ("pods", "jobs", "services", "events", "rayclusters.ray.io", "rayjobs.ray.io")
used = pytest.StashKey[Path]()
reports = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test on a real cluster may take longer than a unit test, unless it says for itself how long."""
    for item in items:
        if item.get_closest_marker("e2e") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SETUP_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how each phase went: what is left of a failed test is kept."""
    report = yield
    item.stash.setdefault(reports, {})[report.when] = report
    return report


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of this run; E2E_ARTIFACTS says where traces of failures go."""
    artifacts = Path(os.environ.get("E2E_ARTIFACTS") or request.config.rootpath / ".pytest_cache" / "e2e")
    request.config.stash[used] = artifacts
    with a_cluster(artifacts) as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How long each phase of the bare node took, beside the tests' own times."""
    artifacts = config.stash.get(used, None)
    if artifacts is not None and (log := artifacts / BARE_LOG).exists():
        terminalreporter.section("the node")
        terminalreporter.write(
            "".join(f"{line}\n" for line in log.read_text().splitlines() if line.startswith("bare:"))
        )


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of this test's own; when it fails, the objects and logs in it are kept."""
    short = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")[:40]
    name = cluster.kubectl("create", "namespace", "--output=name", f"test-ns-{short}").strip().partition("/")[2]
    # Made by a controller a moment later; a pod that comes before it is refused.
    cluster.wait("create", "serviceaccount/default", f"--namespace={name}")
    yield name
    if any(report.failed for report in request.node.stash.get(reports, {}).values()):
        keep(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def keep(cluster: Cluster, namespace: str) -> None:
    """Write all objects of the namespace and all logs of its pods into the artifacts' folder."""
    folder = cluster.artifacts / namespace
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KEPT:
        (folder / f"{kind}.yaml").write_text(asked(cluster, "get", kind, f"--namespace={namespace}", "--output=yaml"))
    for pod in asked(cluster, "get", "pods", f"--namespace={namespace}", "--output=name").split():
        said = asked(cluster, "logs", pod, f"--namespace={namespace}", "--all-containers", "--prefix")
        (folder / f"{pod.partition('/')[2]}.log").write_text(said)


def asked(cluster: Cluster, *arguments: str) -> str:
    """What kubectl says, or complains about: a kind that is not installed must not hide the failure."""
    try:
        return cluster.kubectl(*arguments)
    except KubectlFailed as failed:
        return str(failed)
