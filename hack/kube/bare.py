"""A real Kubernetes node on this machine, as root, for as long as a block lasts.

etcd, API server, controllers, scheduler, kubelet, kube-proxy and CoreDNS built from their Go modules, containerd, runc
and the CNI plugins from Debian's packages, none of them installed. All run inside a cell (localcluster/node/cell.py): a
network, mount, PID and cgroup namespace that the kernel takes down when the process that opened it ends, in whatever
way. What no kernel takes down, the state folder and the cgroups, is noted, and the next start sweeps it.

    sudo python -m hack.kube.bare operator ray     run one until Ctrl-C, with these images; say where its kubeconfig is
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from hack.image.debian import CACHE, CannotLayOut, laid_out
from hack.image.making import IMAGES, CannotMake, make
from hack.kube import cgroups, dns
from hack.kube.build import CannotBuild, find
from hack.kube.certificates import Authority, a_key
from hack.kube.configuration import (
    API_PORT,
    NODE_ADDRESS,
    NODE_NAME,
    RUNTIME_SOCKET,
    SERVER_NAMES,
    USERS,
    Layout,
    files,
    kubeconfig,
)
from localcluster.node import kernel
from localcluster.node.cell import Cell, CellRefused, Program, a_cell
from localcluster.node.forward import forwarding

__all__ = ["Node", "NodeRefused", "bare", "sweep"]

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
PACKAGES = ("containerd", "runc", "containernetworking-plugins", "nftables", "iproute2")
PREFIX = "manta-bare-"
LOCK = "bare.lock"  # in the cache; held while state folders are made and swept
OWNER, NOTE = "owner.lock", "description.json"
MOST_CHARACTERS = 70  # of the folder for state folders: with what stands in them, a socket's path is at most 107 long
READY_SECONDS = 120.0
LOOK_AGAIN_SECONDS = 0.1


class NodeRefused(Exception):
    """There can be no such node here; the message says why, and what works without it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A running node, and what a test may ask of it."""

    state: Path
    kubeconfig: Path  # of a cluster administrator; the server is a loopback port
    kubectl: Path
    outages: list[tuple[datetime, datetime]] = field(default_factory=list)  # of the API server, that were asked for

    @property
    def audit_log(self) -> Path:
        """Every request of a service account, a JSON object a line."""
        return self.state / "audit.log"

    def run(self, *arguments: str) -> str:
        """Run a command in the cell; what it said. Raises RuntimeError with that when it fails."""
        answer = self._order({"run": list(arguments)})
        if answer["code"] != 0:
            raise RuntimeError(f"{' '.join(arguments)} ended with exit code {answer['code']}: {answer['output']}")
        return str(answer["output"])

    def load(self, archive: Path) -> None:
        """Import an image archive; its names can be used in pods from now on."""
        self.run("ctr", f"--address={RUNTIME_SOCKET}", "--namespace=k8s.io", "images", "import", str(archive.resolve()))

    def stop(self, program: str, number: int = signal.SIGKILL) -> None:
        """End one of the node's programs with a signal; it stays away until it is started."""
        self._order({"stop": program, "signal": number})

    def start(self, program: str) -> None:
        """Start a program that was stopped."""
        self._order({"start": program})

    def until_ready(self) -> None:
        """Wait until the API server answers and is ready, after it was started again. Raises RuntimeError."""
        self._order({"ready": True})

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """It is killed, and started again at the end of the block.

        A server that begins does not know its roles at once, and refuses what they allow: `outages` has the time.
        """
        began = datetime.now(UTC)
        self.stop("kube-apiserver")
        yield
        self.start("kube-apiserver")
        self.until_ready()
        self.outages.append((began, datetime.now(UTC)))

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.state / "orders"))
            connection.sendall(json.dumps(order).encode() + b"\n")
            with connection.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline() or '{"error": "the node has ended"}')
        if "error" in answer:
            raise RuntimeError(f"{order}: {answer['error']}")
        return answer


@contextmanager
def bare(report: TextIO = sys.stderr) -> Iterator[Node]:
    """A node in a process of its own, ready when the block is entered; it ends with the block, and with this process.

    How it goes on is written to `report`. Raises NodeRefused.
    """
    tied = [sys.executable, "-S", str(Path(__file__).with_name("tied.py")), str(os.getpid())]
    command = [*tied, sys.executable, "-m", "hack.kube.bare", "--tell"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=report, cwd=root
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise NodeRefused(f"the bare node did not start (exit code {process.wait()}); the reason stands above")
            told = json.loads(line)
            yield Node(Path(told["state"]), Path(told["kubeconfig"]), Path(told["kubectl"]))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def sweep() -> list[str]:
    """Take away what nodes left behind that were killed; the names of what was found."""
    found = []
    for state in sorted(_parent().glob(f"{PREFIX}*")):
        with (state / OWNER).open("a") as owner:
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # it runs
            _remove(state)
            found.append(state.name)
    return found


def _remove(state: Path) -> None:
    """Cgroups first: their names stand in the folder."""
    note = state / NOTE
    if note.exists():
        cgroups.remove(state.name, _trees(json.loads(note.read_text())))
    shutil.rmtree(state)


def _trees(description: Mapping[str, Any]) -> tuple[cgroups.Tree, ...]:
    return tuple(cgroups.Tree(Path(folder), options, version) for folder, options, version in description["trees"])


def _parent() -> Path:
    return Path(tempfile.gettempdir())


@contextmanager
def _state() -> Iterator[Path]:
    """A folder of its own, swept by the next node if this one cannot do it itself."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in sweep():
            print(f"swept {name}, which was left by a node that was killed", file=sys.stderr)
        state = Path(tempfile.mkdtemp(prefix=PREFIX))
        owner = (state / OWNER).open("w")
        fcntl.flock(owner, fcntl.LOCK_EX)
    with owner:
        try:
            yield state
        finally:
            _remove(state)


class Clock:
    """Says how long each phase of the start took."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def phase(self, what: str) -> None:
        """`what` is done."""
        now = time.monotonic()
        _say(f"bare: {what} in {now - self._last:.1f} s")
        self._last = now


@asynccontextmanager
async def running(images: Sequence[str] = ()) -> AsyncIterator[tuple[Node, Cell]]:
    """The node, in this process; ready, with these images of hack/image, when the block is entered.

    Raises NodeRefused.
    """
    if os.geteuid() != 0:
        raise NodeRefused("a bare node needs root: containers get cgroups and a network of their own")
    if len(str(_parent())) > MOST_CHARACTERS:
        raise NodeRefused(f"sockets cannot stand in {_parent()}, whose path is too long: set TMPDIR to a shorter one")
    clock = Clock()
    programs = find(PROGRAMS, _say)
    debian = laid_out(PACKAGES, _say)
    archives = [make(name).path for name in ("pause", "coredns", *images)]
    clock.phase("programs and images made")
    try:
        with _state() as state:
            async with _living(Layout(state, programs, debian), archives, clock) as found:
                try:
                    yield found
                finally:
                    clock.phase("lived")
    finally:
        clock.phase("taken away")


@asynccontextmanager
async def _living(layout: Layout, archives: Sequence[Path], clock: Clock) -> AsyncIterator[tuple[Node, Cell]]:
    """The node in its state folder, ready when the block is entered."""
    token, state = _prepare(layout), layout.state
    note = _note(layout)
    program = Program("node", (sys.executable, "-m", "hack.kube.inside", str(note)), log=str(state / "inside.log"))
    async with (
        a_cell([program], hostname=NODE_NAME) as cell,
        forwarding(str(state / "dialer"), "127.0.0.1", API_PORT) as port,
    ):
        node = Node(state, layout.kubeconfig("outside"), layout.programs["kubectl"])
        node.kubeconfig.write_text(kubeconfig(f"https://127.0.0.1:{port}", layout.secret("ca.crt"), token))
        await _alive(cell, state, _started(node, archives, clock))
        yield node, cell


def _prepare(layout: Layout) -> str:
    """Write what the programs read; the administrator's token."""
    for folder in ("config/cni", "secrets", "volatile"):
        (layout.state / folder).mkdir(parents=True, mode=0o700)
    tokens = {user: secrets.token_hex(16) for user in USERS}
    for name, content in _secrets(tokens).items():
        layout.secret(name).write_bytes(content)
    for name, text in files(layout).items():
        layout.config(name).write_text(text)
    server = f"https://{NODE_ADDRESS}:{API_PORT}"
    for user, token in tokens.items():
        layout.kubeconfig(user).write_text(kubeconfig(server, layout.secret("ca.crt"), token))
    return tokens["admin"]


def _secrets(tokens: Mapping[str, str]) -> dict[str, bytes]:
    authority = Authority()
    pairs = {
        "apiserver": authority.signed("kube-apiserver", names=SERVER_NAMES),
        "kubelet": authority.signed(f"system:node:{NODE_NAME}", names=(NODE_NAME, NODE_ADDRESS)),
        "to-kubelet": authority.signed("kube-apiserver-kubelet-client", groups=("system:masters",)),
    }
    public, private = a_key()
    lines = [f'{token},{user},{user},"{",".join(USERS[user])}"' for user, token in tokens.items()]
    return {
        "ca.crt": authority.certificate,
        "tokens.csv": "\n".join(lines).encode(),
        "accounts.pub": public,
        "accounts.key": private,
        **{f"{name}.crt": pair.certificate for name, pair in pairs.items()},
        **{f"{name}.key": pair.key for name, pair in pairs.items()},
    }


def _note(layout: Layout) -> Path:
    """Note what is about to be made outside the cell, then make it."""
    trees = cgroups.trees(Path("/proc/self/mounts").read_text())
    if not trees:
        raise NodeRefused("no cgroup tree is mounted here, and a kubelet needs one")
    note = layout.state / NOTE
    programs = {name: str(path) for name, path in layout.programs.items()}
    note.write_text(
        json.dumps(
            {
                "state": str(layout.state),
                "debian": str(layout.debian),
                "programs": programs,
                "trees": [[str(tree.folder), tree.options, tree.version] for tree in trees],
            }
        )
    )
    cgroups.make(layout.state.name, trees)
    return note


async def _alive(cell: Cell, state: Path, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; the end of the cell ends it. Raises NodeRefused with the end of the log then."""

    async def end() -> None:
        said = await cell.ended()
        raise NodeRefused(f"{said}\n{(state / 'inside.log').read_text(errors='replace')[-4000:]}")

    try:
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(end())
            await work
            ending.cancel()
    except* NodeRefused as refused:
        raise refused.exceptions[0] from None


async def _started(node: Node, archives: Sequence[Path], clock: Clock) -> None:
    await _until((node.state / "orders").exists)
    clock.phase("control plane up")
    for archive in archives:
        await asyncio.to_thread(node.load, archive)
    await _kubectl(node, "apply", "-f", "-", said=dns.manifest())
    clock.phase("images of the node loaded")
    await _kubectl(node, "wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=120s")
    clock.phase("node Ready")
    rollout = ("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=120s")
    await _kubectl(node, *rollout)
    clock.phase("DNS Ready")


async def _kubectl(node: Node, *arguments: str, said: str = "") -> None:
    process = await asyncio.create_subprocess_exec(
        str(node.kubectl),
        f"--kubeconfig={node.kubeconfig}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=kernel.die_with_parent,
    )
    try:
        _, complaint = await process.communicate(said.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NodeRefused(f"kubectl {' '.join(arguments)}: {complaint.decode().strip()}; logs are in {node.state}")


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not there():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def _serve(tell: bool, images: Sequence[str]) -> None:
    """Run a node until it ends by itself, which is a NodeRefused, or a signal cancels us: then all is taken away."""
    us = asyncio.current_task()
    assert us is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, us.cancel)
    async with running(images) as (node, cell):
        told = {"state": str(node.state), "kubeconfig": str(node.kubeconfig), "kubectl": str(node.kubectl)}
        print(json.dumps(told) if tell else f"export KUBECONFIG={node.kubeconfig}", flush=True)
        await _alive(cell, node.state, _for_ever())


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run one until Ctrl-C; 1 when there can be none."""
    parser = argparse.ArgumentParser(prog="python -m hack.kube.bare", description=__doc__.partition("\n")[0])
    parser.add_argument("images", nargs="*", help=f"of hack/image, to be made and loaded: {', '.join(IMAGES)}")
    parser.add_argument("--tell", action="store_true", help="say what there is as JSON")
    given = parser.parse_args(arguments)
    if unknown := set(given.images) - set(IMAGES):
        parser.error(f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(IMAGES)}")
    try:
        asyncio.run(_serve(given.tell, given.images))
    except asyncio.CancelledError:
        return 0
    except (NodeRefused, CellRefused, CannotBuild, CannotLayOut, CannotMake) as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
