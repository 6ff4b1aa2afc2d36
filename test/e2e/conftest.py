"""The cluster that a run of end-to-end tests shares, the operator on it, and namespaces (hack/e2e)."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hack.e2e import audit
from hack.e2e.cluster import BARE_LOG, Cluster, KubectlFailed, a_cluster
from hack.e2e.operator import NAMESPACE, NAMESPACES, PODS, Installation, an_installation

SETUP_SECONDS = 900  # the first test pays for the cluster, and for images that were never made here
RAY = ("rayclusters.ray.io", "rayjobs.ray.io", "rayservices.ray.io", "raycronjobs.ray.io")
KEPT = ("pods", "jobs", "services", "events", *RAY)
used = pytest.StashKey[Path]()
told = pytest.StashKey[list[str]]()
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


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says a figure, or what else a reader of the run wants to know, at its end."""
    return request.config.stash.setdefault(told, []).append


@pytest.fixture(scope="session")
def installation(cluster: Cluster, tell: Callable[[str], None]) -> Iterator[Installation]:
    """What of config/ is installed. At the end, all that the operator did is held against what it may do."""
    with an_installation(cluster) as found:
        yield found
    if cluster.node is None:
        return  # the audit log is its API server's
    accounts = [f"{namespace}:kuberay-operator" for namespace in (NAMESPACE, *NAMESPACES.values())]
    done = [one for account in accounts for one in audit.requests(cluster.node.audit_log, account)]
    use = audit.judge(done, found.excused)
    tell(f"the operator's rights: {use.report()}")
    assert (use.refused, use.beyond) == ((), ())


@pytest.fixture
def operator(installation: Installation) -> Installation:
    """The operator, installed for the whole cluster."""
    installation.ensure()
    return installation


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How long each phase of the bare node took, beside the tests' own times; and what they told."""
    artifacts = config.stash.get(used, None)
    if artifacts is not None and (log := artifacts / BARE_LOG).exists():
        terminalreporter.section("the node")
        terminalreporter.write(
            "".join(f"{line}\n" for line in log.read_text().splitlines() if line.startswith("bare:"))
        )
    if config.stash.get(told, []):
        terminalreporter.section("told by the tests")
        terminalreporter.write("".join(f"{one}\n" for one in config.stash[told]))


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of this test's own; when it fails, the objects and logs in it are kept."""

    def failed() -> bool:
        return any(report.failed for report in request.node.stash.get(reports, {}).values())

    with a_namespace(cluster, request.node.name.removeprefix("test_"), failed) as name:
        yield name


@pytest.fixture(scope="module")
def shared_namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for what the tests of a module share; when one of them fails, what is in it is kept."""
    before = request.session.testsfailed

    def failed() -> bool:
        return request.session.testsfailed > before

    with a_namespace(cluster, request.path.stem.removeprefix("test_"), failed) as name:
        yield name


@contextmanager
def a_namespace(cluster: Cluster, wanted: str, failed: Callable[[], bool]) -> Iterator[str]:
    """A namespace whose name tells what it is for, while the block lasts; what is in it is kept if something failed."""
    short = re.sub(r"[^a-z0-9]+", "-", wanted.lower())[:40].strip("-")
    name = f"test-ns-{short}-{secrets.token_hex(2)}"  # long names begin alike, and the last run's may still be ending
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    # Made by a controller a moment later; a pod that comes before it is refused.
    cluster.wait("create", "serviceaccount/default", f"--namespace={name}")
    yield name
    if failed():
        keep(cluster, name)
    # While the operator is there to take its finalizer off them.
    finalized = "raycronjobs.ray.io,rayjobs.ray.io,rayservices.ray.io"
    asked(cluster, "delete", finalized, "--all", f"--namespace={name}", "--timeout=60s")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def keep(cluster: Cluster, namespace: str) -> None:
    """Write all objects of the namespace and all logs of its pods into the artifacts' folder, and the operator's."""
    folder = cluster.artifacts / namespace
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KEPT:
        (folder / f"{kind}.yaml").write_text(asked(cluster, "get", kind, f"--namespace={namespace}", "--output=yaml"))
    for pod in asked(cluster, "get", "pods", f"--namespace={namespace}", "--output=name").split():
        said = asked(cluster, "logs", pod, f"--namespace={namespace}", "--all-containers", "--prefix")
        (folder / f"{pod.partition('/')[2]}.log").write_text(said)
    where = (NAMESPACE, *NAMESPACES.values())
    logs = ("logs", f"--selector={PODS}", "--tail=-1", "--prefix")
    told_there = "".join(asked(cluster, *logs, f"--namespace={one}") for one in where)
    (folder / "operator.log").write_text(told_there)


def asked(cluster: Cluster, *arguments: str) -> str:
    """What kubectl says, or complains about: a kind that is not installed must not hide the failure."""
    try:
        return cluster.kubectl(*arguments)
    except KubectlFailed as failed:
        return str(failed)
