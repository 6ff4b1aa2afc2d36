"""What is said as "host:port" or as a URL, for those who cannot look a name up."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster.node.shared.hook.pod import Pod
from localcluster.node.shared.hook.ports import NOBODY
from localcluster.node.shared.hook.targets import gcs_target, target
from localcluster.testing.hooked import Neighbours


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """Its head's GCS has moved to 24001, its own to 24002; a Redis is a service, which moves nowhere."""
    cluster = Neighbours(tmp_path)
    pod = cluster.pod("one", 5).pod
    head = f"{cluster.block}.0.7"
    cluster.names({"head.ns.svc.cluster.local": [head], "redis.ns.svc.cluster.local": [f"{cluster.block}.128.9"]})
    cluster.moved(head, 6379, 24001)
    cluster.moved(pod.address, 6379, 24002)
    return pod


def told(pod: Pod, text: str) -> str:
    """With the addresses of this run's block."""
    block = ".".join(pod.address.split(".")[:2])
    return text.replace("HEAD", f"{block}.0.7").replace("REDIS", f"{block}.128.9").replace("OWN", pod.address)


@pytest.mark.spec("ray-side:S10-12")
@pytest.mark.parametrize(
    ("said", "leads_to"),
    [
        ("head:6379", "HEAD:24001"),
        ("HEAD:6379", "HEAD:24001"),
        ("http://head:8265", "http://HEAD:8265"),
        ("http://head:8265/api/jobs?x=1:2", "http://HEAD:8265/api/jobs?x=1:2"),
        ("ray://head:10001", "ray://HEAD:10001"),
        ("redis://redis:6379/0", "redis://REDIS:6379/0"),
        ("localhost:6379", "OWN:24002"),
        ("localhost:8265", "localhost:8265"),
        ("10.0.0.1:6379", "10.0.0.1:6379"),
        ("redis://:secret@redis:6379", "redis://:secret@redis:6379"),
        (":6379", ":6379"),
        ("head", "head"),
        ("head:http", "head:http"),
        ("auto", "auto"),
        ("", ""),
    ],
)
def test_a_target_is_told_by_address_and_real_port_and_all_else_is_left(said: str, leads_to: str, pod: Pod) -> None:
    """Passwords, paths and what is no target at all are nobody's business here."""
    assert target(pod, told(pod, said)) == told(pod, leads_to)


@pytest.mark.spec("ray-side:S10-13")
@pytest.mark.parametrize(
    ("said", "leads_to"),
    [
        ("head:6379", "HEAD:24001"),
        ("head:6380", f"HEAD:{NOBODY}"),
        ("localhost:6379", "OWN:24002"),
        ("127.0.0.1:6380", f"OWN:{NOBODY}"),
        ("redis:6379", "REDIS:6379"),
        ("ray://head:10001", "ray://HEAD:10001"),
        ("http://localhost:8265", "http://localhost:8265"),
    ],
)
def test_a_gcs_is_told_where_it_is_or_where_nobody_is(said: str, leads_to: str, pod: Pod) -> None:
    """A URL is of something else, which has not moved."""
    assert gcs_target(pod, said) == told(pod, leads_to)
