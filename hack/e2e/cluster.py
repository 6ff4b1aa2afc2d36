"""The cluster that end-to-end tests run on, whatever provides it; `E2E_CLUSTER` chooses (design.md §6).

    bare       a real node on this machine, made for the run (hack/kube/bare.py); Linux, root
    kind       a kind cluster, made for the run; a Docker daemon
    current    the cluster of the current kubeconfig; nothing of it is made or removed but what the tests make

Without it the first that works is taken: kind where `docker info` reaches a daemon, else bare. Tests see a `Cluster`
and nothing of its provider, but for `node`, which only a bare one has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.image.making import make
from hack.kube.bare import Node, NodeRefused, bare
from hack.kube.build import CannotBuild, find

__all__ = ["BARE_LOG", "PROVIDERS", "Answer", "Cluster", "KubectlFailed", "NoCluster", "a_cluster", "choose"]

Json = dict[str, Any]
LOAD_COMMAND = "E2E_LOAD"  # for `current`: a command that gets the path of an image archive
KIND_NAME = "manta-e2e"
BARE_LOG = "bare.log"  # in the artifacts' folder: what the node said, with the time that each phase took


class NoCluster(Exception):
    """There is no cluster to test on; the message says why, and what would help."""


class KubectlFailed(Exception):
    """kubectl ended with another exit code than 0; the message is what it complained about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How kubectl ended."""

    good: bool
    printed: str
    beside: str  # on standard error: what was refused; what was warned of, a line each

    @property
    def warnings(self) -> list[str]:
        """What the server warned of, in its own words."""
        lines = self.beside.splitlines()
        return [line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: ")]


@dataclass(slots=True)
class Cluster:
    """A running cluster with everything that a test needs to reach it."""

    provider: str
    kubeconfig: Path
    artifacts: Path  # what is worth keeping of a failed test goes here
    program: Path  # kubectl
    load_image: Callable[[Path], None]  # an OCI archive; its names can be used in pods afterwards
    node: Node | None = None  # below the API: only a bare cluster has it
    _loaded: dict[str, str] = field(default_factory=dict)

    def kubectl(self, *arguments: str, said: str | None = None) -> str:
        """Run kubectl with `said` on its standard input; what it printed. Raises KubectlFailed."""
        answer = self.asked(*arguments, said=said)
        if not answer.good:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {answer.beside}")
        return answer.printed

    def asked(self, *arguments: str, said: str | None = None) -> Answer:
        """The same for who wants to know what was refused, and in which words, or what was warned of."""
        done = subprocess.run(
            [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=said,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL if said is None else None,
        )
        return Answer(done.returncode == 0, done.stdout, done.stderr.strip())

    def apply(self, *objects: Json) -> None:
        """Server-side apply. Raises KubectlFailed."""
        documents = "\n---\n".join(json.dumps(one) for one in objects)
        self.kubectl("apply", "--server-side", "--filename=-", said=documents)

    def get(self, *what: str) -> Json:
        """One object, or a list of them. Raises KubectlFailed."""
        found: Json = json.loads(self.kubectl("get", *what, "--output=json"))
        return found

    def wait(self, condition: str, *what: str, seconds: int = 60) -> None:
        """Until kubectl's watch sees it: "condition=Ready", "jsonpath={.status.phase}=Running", "delete", "create".

        Raises KubectlFailed when it does not come in time.
        """
        self.kubectl("wait", f"--for={condition}", f"--timeout={seconds}s", *what)

    def use_image(self, name: str) -> str:
        """Make one of hack/image's images and load it, once in a run; the name under which pods can use it."""
        if name not in self._loaded:
            made = make(name)
            self.load_image(made.path)
            self._loaded[name] = made.names[0].removeprefix("docker.io/")
        return self._loaded[name]


@contextmanager
def a_cluster(artifacts: Path, wanted: str | None = None) -> Iterator[Cluster]:
    """The chosen cluster, ready. Raises NoCluster."""
    provider = wanted or choose(os.environ)
    print(f"end-to-end tests run on `{provider}`", file=sys.stderr, flush=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    with PROVIDERS[provider](artifacts) as cluster:
        yield cluster


def choose(environment: Mapping[str, str], runs_docker: Callable[[], bool] | None = None) -> str:
    """The provider's name. Raises NoCluster when it is unknown, or none can work here."""
    chosen = environment.get("E2E_CLUSTER", "")
    if chosen:
        if chosen not in PROVIDERS:
            raise NoCluster(f"E2E_CLUSTER={chosen} is unknown; there are {', '.join(PROVIDERS)}")
        return chosen
    if (runs_docker or _docker_runs)():
        return "kind"
    if os.geteuid() == 0:
        return "bare"
    raise NoCluster("no Docker daemon is reached and this is not root: E2E_CLUSTER=current uses your kubeconfig")


def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextmanager
def _bare(artifacts: Path) -> Iterator[Cluster]:
    log = artifacts / BARE_LOG
    try:
        with log.open("w") as report, bare(report) as node:
            try:
                yield Cluster("bare", node.kubeconfig, artifacts, node.kubectl, node.load, node)
            finally:
                for one in node.state.glob("*.log"):
                    shutil.copy(one, artifacts)
    except NodeRefused as refused:
        raise NoCluster(f"{refused}\n{log.read_text()[-3000:]}") from refused


@contextmanager
def _kind(artifacts: Path) -> Iterator[Cluster]:
    programs = _programs("kind", "kubectl")
    kubeconfig = artifacts / "kubeconfig"
    kind, configuration = str(programs["kind"]), Path(__file__).with_name("kind.yaml")
    named = f"--name={KIND_NAME}"
    _checked(
        [kind, "create", "cluster", named, f"--kubeconfig={kubeconfig}", f"--config={configuration}", "--wait=300s"]
    )

    def load(archive: Path) -> None:
        _checked([kind, "load", "image-archive", named, str(archive)])

    try:
        yield Cluster("kind", kubeconfig, artifacts, programs["kubectl"], load)
    finally:
        _checked([kind, "export", "logs", named, str(artifacts / "kind")])
        _checked([kind, "delete", "cluster", named, f"--kubeconfig={kubeconfig}"])


@contextmanager
def _current(artifacts: Path) -> Iterator[Cluster]:
    kubeconfig = Path(os.environ.get("KUBECONFIG", "") or Path.home() / ".kube" / "config")
    if not kubeconfig.is_file():
        raise NoCluster(f"there is no {kubeconfig}, and E2E_CLUSTER=current means that cluster")
    command = os.environ.get(LOAD_COMMAND, "")

    def load(archive: Path) -> None:
        if command:
            _checked([*command.split(), str(archive)])
        else:
            print(f"{archive.name}: the cluster must have it, or {LOAD_COMMAND} load it", file=sys.stderr)

    yield Cluster("current", kubeconfig, artifacts, _programs("kubectl")["kubectl"], load)


def _programs(*names: str) -> Mapping[str, Path]:
    try:
        return find(names, lambda line: print(line, file=sys.stderr, flush=True))
    except CannotBuild as refused:
        raise NoCluster(str(refused)) from refused


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise NoCluster(f"{' '.join(command)}: {done.stderr.strip()}")


PROVIDERS = {"bare": _bare, "kind": _kind, "current": _current}
