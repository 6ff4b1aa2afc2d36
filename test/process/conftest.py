"""The operator's own processes, several of them, on a real control plane that may be stopped and started.

Real time, real signals, and the API server's audit log as the witness of who wrote what and when.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.crds.installed import custom_resource_definitions
from controller.rights import LEADER_ELECTION, RIGHTS, Right, rules
from hack.kube.build import CannotBuild, find
from hack.kube.judge import AUDIT_LOG, Judge, judge
from localcluster.testing.factories import a_raycluster
from localcluster.testing.operator_process import logged
from localcluster.testing.rights import Audited, audited, signed_in
from localcluster.testing.wire import Endpoint, Json, Wire

BUILD_SECONDS = 1800  # the first test may build the control plane
END_SECONDS = 45.0
SLOW = 90.0
WORKS = "controllers work"
NUMBERS = count(1)
READS = ("get", "list", "watch")

# The operator, with a way to make its event loop stand still: SIGUSR1, for as many seconds as the environment says.
# PATIENCE: seconds after which a kind that the server refuses is given up, instead of two minutes. LOOK_SECONDS: how
# often the webhooks' certificates are looked after, instead of twice a minute.
PROGRAM = """
import os, runpy, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(float(os.environ["STAND_STILL"])))
if "PATIENCE" in os.environ:
    import controller.runtime.cache.caches as caches
    caches.SYNC_SECONDS = float(os.environ["PATIENCE"])
if "LOOK_SECONDS" in os.environ:
    import webhooks.keeping as keeping
    keeping.LOOK_SECONDS = float(os.environ["LOOK_SECONDS"])
sys.argv[0] = "manta-operator"
runpy.run_module("controller", run_name="__main__", alter_sys=True)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them need the real server, and its build may take long."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.judge)
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@dataclass(slots=True)
class Replica:
    """One operator process: what it has said, and whether it lives."""

    account: str
    process: asyncio.subprocess.Process
    log: Path  # kept beside its kubeconfig: what a failed test is understood by
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    silent: bool = False

    async def said(self, message: str, *, seconds: float = SLOW, times: int = 1) -> float:
        """Until it has logged that so often; when that was, by the monotonic clock of this process."""

        def there() -> bool:
            return self.silent or sum(line["msg"] == message for line in self.lines) >= times

        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(there)
        assert not self.silent or sum(line["msg"] == message for line in self.lines) >= times, self.lines[-8:]
        return time.monotonic()

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self.process.send_signal(number)

    async def ended(self, seconds: float = END_SECONDS) -> int:
        """Its exit code, once it has one."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def tells(self, message: str, word: str, *, seconds: float = SLOW) -> Mapping[str, Any]:
        """The first line with that message in which the word stands anywhere."""

        def found() -> Mapping[str, Any] | None:
            return next((one for one in self.lines if one["msg"] == message and word in json.dumps(one)), None)

        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(lambda: self.silent or found() is not None)
        line = found()
        assert line is not None, self.lines[-8:]
        return line

    def complaints(self) -> list[Mapping[str, Any]]:
        """What it logged above info."""
        return [line for line in self.lines if line.get("level") not in ("debug", "info")]

    async def read(self) -> None:
        """Keep its lines until their end."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            with self.log.open("ab") as log:
                log.write(line)
            async with self.news:
                self.lines.append(logged(line))
                self.news.notify_all()
        async with self.news:
            self.silent = True
            self.news.notify_all()


@dataclass(slots=True)
class Plane:
    """A namespace on a real control plane, and replicas of the operator that work in it."""

    wire: Wire
    judge: Judge
    folder: Path
    stack: AsyncExitStack

    async def account(self, name: str, rights: Sequence[Right] = (*RIGHTS, *LEADER_ELECTION)) -> Json:
        """A kubeconfig for a service account with our own rights, or with fewer."""
        return await signed_in(self.wire, name, rules(tuple(rights)))

    async def replica(self, account: str, *flags: str, config: Json | None = None, **environment: str) -> Replica:
        """Start one; it need not work yet. It is ended with the test."""
        kubeconfig = self.folder / f"{account}.json"
        kubeconfig.write_text(json.dumps(config if config is not None else await self.account(account)))
        arguments = (
            *(f"--kubeconfig={kubeconfig}", f"--watch-namespace={self.wire.namespace}"),
            *(f"--leader-election-namespace={self.wire.namespace}", "--metrics-addr=0"),
            *("--health-probe-bind-address=0", *flags),
        )
        return await self.stack.enter_async_context(a_process(account, arguments, environment, self.folder))

    def writes(self, account: str) -> Sequence[Audited]:
        """What it wrote, by the API server's own word, but for its lease and events."""
        log = self.judge.kubeconfig.with_name(AUDIT_LOG)
        found = audited(log, self.wire.namespace, account)
        return [one for one in found if one.verb not in READS and one.resource not in ("leases", "events")]

    async def cluster(self, name: str, workers: int) -> None:
        """Create a RayCluster. Nothing runs its pods: they stay pending."""
        body = a_raycluster(name, workers=workers, namespace=self.wire.namespace)
        (await self.wire.post(self.wire.path("rayclusters.ray.io"), body)).ok(201)

    async def scale(self, name: str, workers: int) -> None:
        """As a user does."""
        change = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": workers}]
        (await self.wire.patch(self.wire.path("rayclusters.ray.io", name), change, kind="json")).ok()

    async def pods(self, name: str) -> list[str]:
        """Names of its pods that are not being deleted."""
        found = await self.wire.get(self.wire.path("pods"), labelSelector=f"ray.io/cluster={name}")
        return [pod["metadata"]["name"] for pod in found.ok()["items"] if "deletionTimestamp" not in pod["metadata"]]

    async def until_pods(self, name: str, number: int, *, seconds: float = SLOW) -> float:
        """Until the cluster has so many; when that was."""
        async with asyncio.timeout(seconds), self.wire.watch(self.wire.path("pods"), resourceVersion="0") as events:
            events.seconds = seconds
            while len(await self.pods(name)) != number:
                await events.next()
        return time.monotonic()


@asynccontextmanager
async def a_process(
    account: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> AsyncIterator[Replica]:
    """The operator, until the block ends; then it is asked to end, and made to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, *arguments),
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KUBE"))}
        | {"STAND_STILL": "20", **environment},
        limit=2**20,
    )
    replica = Replica(account, process, folder / f"{account}.log")
    async with asyncio.TaskGroup() as group:
        group.create_task(replica.read(), name=f"the log of {account}")
        try:
            yield replica
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            try:
                await replica.ended()
            except TimeoutError:
                process.kill()
                await process.wait()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Judge]:
    """A real control plane for all tests of this folder."""
    try:
        find(("etcd", "kube-apiserver", "kube-controller-manager"))
    except CannotBuild as refused:
        pytest.skip(str(refused))
    with judge(audit_reads=True) as found:
        yield found


@pytest.fixture
async def plane(control_plane: Judge, tmp_path: Path) -> AsyncIterator[Plane]:
    """A fresh namespace on it."""
    found = control_plane
    endpoint = Endpoint(
        "judge", found.url, found.token, found.tls, found.kubeconfig, lambda: Path("kubectl"), found.forget_history
    )
    headers = {"Authorization": f"Bearer {found.token}"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=found.tls), headers=headers) as session,
        AsyncExitStack() as stack,
    ):
        wire = Wire(endpoint, session, f"p{next(NUMBERS)}", SERVED)
        await wire.make_namespace(wire.namespace, seconds=SLOW)  # after an outage controllers hear late of it
        for definition in custom_resource_definitions():
            await wire.serve(definition)
        yield Plane(wire, found, tmp_path, stack)


SERVED: set[str] = set()
