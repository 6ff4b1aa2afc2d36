"""What each program of the bare node is told: flags and configuration files, as data. No I/O.

Addresses are those of the cell, a network namespace that leads nowhere else:

    10.89.0.2        the node; API server and kubelet listen here
    10.90.0.0/16     pods, a point-to-point link each
    10.96.0.0/16     services; 10.96.0.1 is the API server, 10.96.0.10 DNS
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "API_PORT",
    "DNS_ADDRESS",
    "NODE_ADDRESS",
    "NODE_NAME",
    "RUNTIME_SOCKET",
    "SERVER_NAMES",
    "USERS",
    "Layout",
    "commands",
    "files",
    "kubeconfig",
]

NODE_NAME = "bare"
NODE_ADDRESS = "10.89.0.2"
PODS = "10.90.0.0/16"
SERVICES = "10.96.0.0/16"
API_ADDRESS, DNS_ADDRESS = "10.96.0.1", "10.96.0.10"
API_PORT = 6443
RUNTIME_SOCKET = "/run/containerd/containerd.sock"
PAUSE = "manta.test/pause:1"
DOMAIN = "cluster.local"
ETCD, ETCD_PEER = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
SERVER_NAMES = (
    "127.0.0.1",
    "localhost",
    NODE_ADDRESS,
    API_ADDRESS,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{DOMAIN}",
)

# Who the programs are, and their groups: the names that the API server's own roles are bound to.
USERS: Mapping[str, tuple[str, ...]] = {
    "admin": ("system:masters",),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    "system:kube-proxy": (),
    f"system:node:{NODE_NAME}": ("system:nodes",),
}

AUDITED = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "namespaces": ["kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are: the node's own state, the programs built from Go, the folder of Debian's."""

    state: Path
    programs: Mapping[str, Path]
    debian: Path

    @property
    def volatile(self) -> Path:
        """Where images, volumes and etcd's data are: in memory, so that they are gone with the cell, at once."""
        return self.state / "volatile"

    def kubeconfig(self, user: str) -> Path:
        """The file with which a program says that it is `user`."""
        return self.state / f"{user.replace(':', '-')}.kubeconfig"

    def config(self, name: str) -> Path:
        """A configuration file; `files` says what stands in it."""
        return self.state / "config" / name

    def secret(self, name: str) -> Path:
        """A certificate or key."""
        return self.state / "secrets" / name


def kubeconfig(server: str, authority: Path, token: str) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bare", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "bare", "context": {"cluster": "bare", "user": "me"}}],
            "current-context": "bare",
        }
    )


def files(layout: Layout) -> dict[str, str]:
    """Name -> text of the configuration files under `config/`."""
    return {
        "audit-policy.json": json.dumps(AUDITED),
        "kubelet.json": json.dumps(_kubelet(layout)),
        "kube-proxy.json": json.dumps(_proxy(layout)),
        "cni/10-bare.conflist": json.dumps(_network()),
        "containerd.toml": _containerd(layout),
        "resolv.conf": "",  # the cell leads nowhere: no name server but the cluster's own
    }


def commands(layout: Layout) -> dict[str, list[str]]:
    """Name -> program and flags, in the order in which they are started."""
    return {
        "etcd": [str(layout.programs["etcd"]), *_etcd(layout)],
        "kube-apiserver": [str(layout.programs["kube-apiserver"]), *_api_server(layout)],
        "containerd": [
            str(layout.debian / "usr/bin/containerd"),
            f"--config={layout.config('containerd.toml')}",
        ],
        "kube-controller-manager": [str(layout.programs["kube-controller-manager"]), *_controllers(layout)],
        "kube-scheduler": [
            str(layout.programs["kube-scheduler"]),
            f"--kubeconfig={layout.kubeconfig('system:kube-scheduler')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
        "kube-proxy": [str(layout.programs["kube-proxy"]), f"--config={layout.config('kube-proxy.json')}"],
        "kubelet": [
            str(layout.programs["kubelet"]),
            f"--config={layout.config('kubelet.json')}",
            f"--kubeconfig={layout.kubeconfig(f'system:node:{NODE_NAME}')}",
            f"--root-dir={layout.volatile / 'kubelet'}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
        ],
    }


def _etcd(layout: Layout) -> list[str]:
    return [
        f"--data-dir={layout.volatile / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        "--unsafe-no-fsync",  # its data die with the node anyway
        "--log-level=warn",
    ]


def _api_server(layout: Layout) -> list[str]:
    return [
        f"--etcd-servers={ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={layout.secret('apiserver.crt')}",
        f"--tls-private-key-file={layout.secret('apiserver.key')}",
        f"--client-ca-file={layout.secret('ca.crt')}",
        f"--kubelet-certificate-authority={layout.secret('ca.crt')}",
        f"--kubelet-client-certificate={layout.secret('to-kubelet.crt')}",
        f"--kubelet-client-key={layout.secret('to-kubelet.key')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--token-auth-file={layout.secret('tokens.csv')}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICES}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={layout.secret('accounts.pub')}",
        f"--service-account-signing-key-file={layout.secret('accounts.key')}",
        "--allow-privileged=true",
        f"--audit-policy-file={layout.config('audit-policy.json')}",
        f"--audit-log-path={layout.state / 'audit.log'}",
    ]


def _controllers(layout: Layout) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig('system:kube-controller-manager')}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.secret('accounts.key')}",
        f"--root-ca-file={layout.secret('ca.crt')}",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={PODS}",
        f"--service-cluster-ip-range={SERVICES}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.secret("ca.crt"))},
        },
        "authorization": {"mode": "Webhook"},
        "address": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "tlsCertFile": str(layout.secret("kubelet.crt")),
        "tlsPrivateKeyFile": str(layout.secret("kubelet.key")),
        "containerRuntimeEndpoint": f"unix://{RUNTIME_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": str(layout.config("resolv.conf")),
        # A developer's disk is often fuller than a node's may be, and nothing here can be pulled again.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "imageMaximumGCAge": "0s",
    }


def _proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig("system:kube-proxy"))},
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # 0 leaves the machine's settings alone; some of them are the whole machine's, not the cell's.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _network() -> dict[str, Any]:
    """A link for each pod and a route for each address: no bridge, so services need no bridge filter."""
    return {
        "cniVersion": "0.4.0",
        "name": "bare",
        "plugins": [
            {
                "type": "ptp",
                "mtu": 1500,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": "10.90.0.0/16"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd(layout: Layout) -> str:
    root = layout.debian
    return f"""
version = 2
root = "{layout.volatile}/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
address = "{RUNTIME_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_apparmor = true
# A machine may keep CAP_SYS_RESOURCE from root, and no container needs to outlive the machine's own programs.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{root}/usr/lib/cni"
conf_dir = "{layout.config("cni")}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{root}/usr/sbin/runc"
SystemdCgroup = false
"""
