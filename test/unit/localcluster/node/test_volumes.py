"""A pod's small files, and where its volumes are mounted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcluster.node.interfaces import Container, Fault
from localcluster.node.rootfs import Mount
from localcluster.node.volumes import Source, etc_files, hostname_of, mounts_of


def a_pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec}


def a_container(*mounts: dict[str, Any], env: tuple[tuple[str, str], ...] = ()) -> Container:
    return Container("uid", "c", 0, "image", (), (), env, mounts=mounts)


def test_names_are_searched_as_in_a_kubernetes_pod() -> None:
    """Own namespace first, and five dots before a name is taken as it is."""
    assert etc_files(a_pod(), "10.244.0.2", "10.244.0.1")["resolv.conf"] == (
        "nameserver 10.244.0.1\nsearch ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )


def test_a_dns_config_adds_to_the_policy_or_stands_alone() -> None:
    """Of one option the pod's value counts."""
    config = {
        "nameservers": ["10.0.0.9"],
        "searches": ["x.y"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "debug"}],
    }

    both = etc_files(a_pod(dnsConfig=config), "10.244.0.2", "10.244.0.1")["resolv.conf"]
    alone = etc_files(a_pod(dnsConfig=config, dnsPolicy="None"), "10.244.0.2", "10.244.0.1")["resolv.conf"]

    assert both.splitlines() == [
        "nameserver 10.244.0.1",
        "nameserver 10.0.0.9",
        "search ns.svc.cluster.local svc.cluster.local cluster.local x.y",
        "options ndots:2 debug",
    ]
    assert alone.splitlines() == ["nameserver 10.0.0.9", "search x.y", "options ndots:2 debug"]


def test_hosts_names_the_pod_its_domain_and_its_aliases() -> None:
    """So that a program finds its own address by its own name."""
    pod = a_pod(hostname="one", subdomain="head", hostAliases=[{"ip": "10.1.1.1", "hostnames": ["a", "b"]}])

    lines = etc_files(pod, "10.244.0.2", "10.244.0.1")["hosts"].splitlines()

    assert lines[2:] == ["10.244.0.2\tone.head.ns.svc.cluster.local\tone", "10.1.1.1\ta\tb"]


def test_a_long_name_is_cut_to_a_hostname() -> None:
    """63 characters, and no dash at the end."""
    assert hostname_of(a_pod("a" * 62 + "-" + "b" * 10)) == "a" * 62


def test_outer_mounts_come_before_inner_ones(tmp_path: Path) -> None:
    """Else the outer one would hide the inner one."""
    sources = {"a": Source(str(tmp_path / "a")), "b": Source(str(tmp_path / "b"), read_only=True)}
    container = a_container(
        {"name": "b", "mountPath": "/data/in/side/"}, {"name": "a", "mountPath": "/data", "readOnly": True}
    )

    assert mounts_of(container, sources) == [
        Mount(str(tmp_path / "a"), "/data", True),
        Mount(str(tmp_path / "b"), "/data/in/side", True),
    ]


def test_a_sub_path_is_a_part_of_the_volume(tmp_path: Path) -> None:
    """An expression is expanded with the container's environment."""
    sources = {"a": Source(str(tmp_path))}
    container = a_container({"name": "a", "mountPath": "/x", "subPathExpr": "$(POD)/logs"}, env=(("POD", "p"),))

    assert [one.source for one in mounts_of(container, sources)] == [f"{tmp_path}/p/logs"]


@pytest.mark.parametrize("sub", ["../other", "link"])
def test_a_sub_path_never_leads_out_of_its_volume(sub: str, tmp_path: Path) -> None:
    """Neither by dots nor by a link that a container left there."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "link").symlink_to("/etc")
    container = a_container({"name": "a", "mountPath": "/x", "subPath": sub})

    with pytest.raises(Fault, match="leads out of volume"):
        mounts_of(container, {"a": Source(str(tmp_path / "volume"))})
