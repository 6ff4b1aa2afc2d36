"""The parts of the bare node that need neither root nor a node."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from hack.e2e.cluster import PROVIDERS, NoCluster, choose
from hack.kube import cgroups, dns
from hack.kube.certificates import Authority
from hack.kube.configuration import DNS_ADDRESS, SERVER_NAMES, USERS, Layout, commands, files

V1 = """\
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,nodev,noexec,relatime,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
V2 = """\
/dev/vda / ext4 rw 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0
"""


def a_layout(folder: Path) -> Layout:
    names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return Layout(folder / "state", {name: folder / name for name in names}, folder / "debian")


def test_of_a_mixed_layout_the_old_trees_are_used() -> None:
    """Beside v1 trees, the unified one has no controller."""
    found = cgroups.trees(V1)

    assert [(str(tree.folder), tree.options, tree.version) for tree in found] == [
        ("/sys/fs/cgroup/memory", "memory", 1),
        ("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct", 1),
        ("/sys/fs/cgroup/systemd", "name=systemd", 1),
    ]


def test_a_unified_tree_is_used_where_there_is_nothing_else() -> None:
    assert cgroups.trees(V2) == (cgroups.Tree(Path("/sys/fs/cgroup"), "", 2),)


def test_cgroups_go_with_all_below_them_and_others_stay(tmp_path: Path) -> None:
    """Deepest first, as the kernel wants it; a tree that has none of them is no error."""
    trees = [cgroups.Tree(tmp_path / name, name, 1) for name in ("memory", "cpu")]
    (tmp_path / "memory" / "mine" / "kubepods" / "pod1").mkdir(parents=True)
    (tmp_path / "memory" / "others").mkdir()

    cgroups.remove("mine", trees)

    assert [path.name for path in (tmp_path / "memory").iterdir()] == ["others"]


def test_a_signed_certificate_is_what_its_user_asked_for() -> None:
    authority = Authority(datetime(2026, 1, 1, tzinfo=UTC))

    pair = authority.signed("system:node:bare", groups=["system:nodes"], names=["bare", "10.89.0.2"])

    certificate = x509.load_pem_x509_certificate(pair.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["bare"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.89.0.2"]
    (group,) = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert group.value == "system:nodes"
    assert load_pem_private_key(pair.key, None).public_key() == certificate.public_key()


def test_every_file_that_a_program_is_told_of_is_written_before_it_starts(tmp_path: Path) -> None:
    layout = a_layout(tmp_path)
    written = {layout.config(name) for name in files(layout)} | {layout.kubeconfig(user) for user in USERS}

    told = [flag.partition("=")[2] for command in commands(layout).values() for flag in command]

    read = {
        Path(value) for value in told if value.startswith(f"{layout.state}/config/") or value.endswith(".kubeconfig")
    }
    assert read <= written
    assert layout.config("containerd.toml") in read


def test_pods_ask_the_address_that_the_dns_service_has(tmp_path: Path) -> None:
    kubelet = json.loads(files(a_layout(tmp_path))["kubelet.json"])

    (service,) = (one for one in json.loads(dns.manifest())["items"] if one["kind"] == "Service")

    assert kubelet["clusterDNS"] == [service["spec"]["clusterIP"]] == [DNS_ADDRESS]
    assert "kubernetes.default.svc" in SERVER_NAMES


def test_the_provider_is_the_one_that_was_asked_for() -> None:
    for name in PROVIDERS:
        assert choose({"E2E_CLUSTER": name}, runs_docker=lambda: False) == name


def test_without_a_choice_docker_is_used_where_it_runs() -> None:
    assert choose({}, runs_docker=lambda: True) == "kind"


def test_an_unknown_provider_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(NoCluster, match="E2E_CLUSTER=minikube is unknown; there are bare, kind, current"):
        choose({"E2E_CLUSTER": "minikube"})
