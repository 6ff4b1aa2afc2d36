"""A real control plane on free loopback ports, for as long as a block lasts: etcd, kube-apiserver, controller manager.

It is what the local cluster is judged by. No scheduler and no kubelet: pods stay Pending, as they do on the local API
server without its node. All state is in a temporary folder; the programs end with the block, and with the process that
opened it in whatever way that ends.

    python -m hack.kube.judge      run one until Ctrl-C, and say where its kubeconfig is
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hack.kube.build import CannotBuild, find

__all__ = ["AUDIT_LOG", "ApiServer", "Judge", "judge"]

NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager")
READY_SECONDS = 60.0  # 2 to 8 s on an idle machine; a busy one may take long
LOOK_AGAIN_SECONDS = 0.1
END_SECONDS = 5.0
AUDIT_LOG = "audit.log"  # beside the kubeconfig: a JSON object a line for each write of a service account
AUDITED: Final[dict[str, Any]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "userGroups": ["system:serviceaccounts"],
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
        },
        {"level": "None"},
    ],
}
# What they read, too, for who asks: resources only, so that each entry has an objectRef.
AUDITED_READS = {
    "level": "Metadata",
    "userGroups": ["system:serviceaccounts"],
    "verbs": ["get", "list", "watch"],
    "resources": [
        {"group": group}
        for group in (
            "",
            "batch",
            "coordination.k8s.io",
            "discovery.k8s.io",
            "events.k8s.io",
            "networking.k8s.io",
            "ray.io",
            "rbac.authorization.k8s.io",
        )
    ],
}


@dataclass(frozen=True, slots=True)
class Judge:
    """Where the real API server listens, and how to be trusted by it (token of a cluster administrator)."""

    url: str
    ca_file: Path
    token: str
    etcd: str
    kubeconfig: Path
    api_server: ApiServer

    @property
    def tls(self) -> ssl.SSLContext:
        """A context that trusts this API server."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def forget_history(self) -> None:
        """Compact the store up to now, as it does by itself every five minutes: older versions answer 410."""
        revision = int(self._etcd("kv/range", {"key": "AA=="})["header"]["revision"])
        self._etcd("kv/compaction", {"revision": revision, "physical": True})

    def wait_until_ready(self) -> None:
        """Until the API server, which was started, answers."""
        self.api_server.wait_until(self.ca_file.is_file)
        self.api_server.wait_until(lambda: _answers(self, "/readyz"))

    def _etcd(self, path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        request = urllib.request.Request(f"{self.etcd}/v3/{path}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            said: dict[str, dict[str, str]] = json.load(answer)
        return said


class ApiServer:
    """The API server's process: it can be away for a while, and comes back on the same port with the same store."""

    def __init__(self, folder: Path, program: Path, flags: Sequence[str]) -> None:
        self._folder = folder
        self._command: tuple[str | Path, ...] = (program, *flags)
        self._process: subprocess.Popen[bytes] | None = None
        self._block = ExitStack()

    def start(self) -> None:
        """Start it; it need not answer yet.

        Raises RuntimeError on another thread than the first: the kernel ends it with the *thread* that started it, and
        one that only waits for something is gone before long.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start the API server on the main thread: it dies with the thread that started it")
        self._process = self._block.enter_context(_running(self._folder, self._command))

    def stop(self) -> None:
        """End it at once; whoever is connected hears nothing more."""
        self._block.close()

    def wait_until(self, there: Callable[[], bool]) -> None:
        """Until that holds. Raises RuntimeError with the logs' ends when it ends first, or takes a minute."""
        assert self._process is not None
        _until(there, self._process, self._folder)


@contextmanager
def judge(*, audit_reads: bool = False) -> Iterator[Judge]:
    """Start a control plane; it is ready when the block is entered. `audit_reads`: also what service accounts read.

    Raises CannotBuild when the programs cannot be had, RuntimeError with the log's end when one of them fails.
    """
    programs = find(NEEDED)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="manta-judge-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ports = _free_ports(3)
        etcd = f"http://127.0.0.1:{ports[0]}"
        token = secrets.token_hex(16)
        _write_secrets(folder, token)
        policy = {**AUDITED, "rules": [AUDITED_READS, *AUDITED["rules"]]} if audit_reads else AUDITED
        (folder / "audit-policy.json").write_text(json.dumps(policy))
        stack.enter_context(_running(folder, [programs["etcd"], *_etcd_flags(folder, etcd, ports[1])]))
        api = ApiServer(folder, programs["kube-apiserver"], _api_flags(folder, etcd, ports[2]))
        stack.callback(api.stop)
        certificate = folder / "certificates" / "apiserver.crt"
        found = Judge(f"https://127.0.0.1:{ports[2]}", certificate, token, etcd, folder / "kubeconfig", api)
        api.start()
        found.wait_until_ready()
        found.kubeconfig.write_text(_kubeconfig(found))
        stack.enter_context(_running(folder, [programs["kube-controller-manager"], *_manager_flags(folder)]))
        api.wait_until(lambda: _answers(found, "/api/v1/namespaces/default/serviceaccounts/default"))
        yield found


def _write_secrets(folder: Path, token: str) -> None:
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "accounts.key").write_bytes(private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "accounts.pub").write_bytes(public)


def _etcd_flags(folder: Path, client: str, peer_port: int) -> list[str]:
    peer = f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_flags(folder: Path, etcd: str, port: int) -> list[str]:
    return [
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=192.0.2.1",  # goes into the endpoints of service kubernetes, where loopback is refused
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--etcd-compaction-interval=0",  # tests say when history is forgotten
        "--enable-priority-and-fairness=false",
        f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-path={folder / AUDIT_LOG}",
        # Pages of the past come from the store, not from a cache that learns of a compaction 15 s later.
        "--feature-gates=ListFromCacheSnapshot=false",
    ]


def _manager_flags(folder: Path) -> list[str]:
    return [
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--service-account-private-key-file={folder / 'accounts.key'}",
        f"--root-ca-file={folder / 'certificates' / 'apiserver.crt'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
        "--kube-api-qps=500",
        "--kube-api-burst=500",
    ]


def _kubeconfig(found: Judge) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "judge", "cluster": {"server": found.url, "certificate-authority": str(found.ca_file)}}
            ],
            "users": [{"name": "admin", "user": {"token": found.token}}],
            "contexts": [{"name": "judge", "context": {"cluster": "judge", "user": "admin"}}],
            "current-context": "judge",
        }
    )


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all are held until all are known, so that they differ."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in held:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in held]


@contextmanager
def _running(folder: Path, command: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    name = Path(command[0]).name
    tied = [sys.executable, "-S", str(Path(__file__).with_name("tied.py")), str(os.getpid())]
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*tied, *map(str, command)], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder
        )
        try:
            yield process
        finally:
            process.send_signal(
                signal.SIGTERM if name == "etcd" else signal.SIGKILL
            )  # nothing to save, nobody to drain
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until(there: Callable[[], bool], api: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not there():
        if api.poll() is not None or time.monotonic() > deadline:
            logs = "\n".join(
                f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in sorted(folder.glob("*.log"))
            )
            raise RuntimeError(f"the real control plane did not start\n{logs}")
        time.sleep(LOOK_AGAIN_SECONDS)


def _answers(found: Judge, path: str) -> bool:
    request = urllib.request.Request(found.url + path, headers={"Authorization": f"Bearer {found.token}"})
    try:
        with urllib.request.urlopen(request, timeout=5, context=found.tls) as answer:
            return bool(answer.status == 200)
    except (OSError, ssl.SSLError):  # HTTP errors are OSErrors too: not yet
        return False


def main() -> int:
    """Run one until Ctrl-C."""
    try:
        with judge() as found:
            print(f"export KUBECONFIG={found.kubeconfig}", flush=True)
            signal.pause()
    except CannotBuild as refused:
        print(refused, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
