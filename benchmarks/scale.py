"""A thousand RayClusters at a hundred a second on a real API server, whose pods a scripted node runs.

    python -m benchmarks.scale [CLUSTERS]

Beside the operator a null client (null_client.py) makes the same writes with the same bodies, under the same watches,
for as many RayClusters in another namespace of the same server. They take turns, a quarter of the clusters each time;
makespans are added up. What each wrote, and when, is told by the API server's audit log; when a cluster was sent is
known here. Memory and processor's time are the kernel's account of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from api.core import EVENTS
from api.crds.installed import custom_resource_definitions
from benchmarks.figure import Figure, table
from benchmarks.judge import namespace
from benchmarks.null_client import WORKS
from benchmarks.null_script import script_of
from hack.kube.judge import AUDIT_LOG, Judge, judge
from localcluster.testing.factories import a_raycluster
from localcluster.testing.operator_process import operator_process
from localcluster.testing.rights import Audited, audited, signed_in
from localcluster.testing.wire import Wire

__all__ = ["figures"]

CLUSTERS = 1000
PER_SECOND = 100
TURNS = 4  # each client makes a quarter of them, then the other one does
WORKERS = 3
PODS = 1 + WORKERS
TABLE = [
    {"sandbox_seconds": 0, "start_seconds": 0},  # what changes while a patch is under way goes out in one more
    {"container": "wait-gcs-ready", "runs_seconds": 0},
]
PATIENCE = 300.0  # seconds for all of them to be ready
SETTLE = 5.0  # longer than events are held back
CALM = 0.05  # processor's seconds in a second: below that nothing is worked on any more
REFERENCE = "a client that only writes the same"


async def figures(clusters: int = CLUSTERS) -> Sequence[Figure]:
    """Start a control plane and a node, take the figures, end them."""
    with judge() as server, tempfile.TemporaryDirectory() as folder:
        async with namespace(server, "null") as null, namespace(server, "ours") as ours:
            for definition in custom_resource_definitions():
                await ours.serve(dict(definition))
            return await _Bench(server, ours, null, Path(folder), clusters).figures()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_seconds: float
    memory_mib: float

    @staticmethod
    def of(pid: int) -> Usage:
        """By the kernel's account."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Usage(cpu, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one client's turn."""

    makespan: float  # seconds from the first RayCluster's sending to the last write of a status
    to_pods: Sequence[float]  # milliseconds of each, from its sending to the last answer to a pod's creation
    writes: float  # of each
    events: float
    cpu_seconds: float
    memory_mib: float  # at the end

    @staticmethod
    def together(runs: Sequence[Run]) -> Run:
        """As if they were one."""
        return Run(
            makespan=sum(one.makespan for one in runs),
            to_pods=[moment for one in runs for moment in one.to_pods],
            writes=statistics.mean(one.writes for one in runs),
            events=statistics.mean(one.events for one in runs),
            cpu_seconds=sum(one.cpu_seconds for one in runs),
            memory_mib=runs[-1].memory_mib,
        )


@dataclass(frozen=True, slots=True)
class Restart:
    """What came of a start with everything there."""

    works_after: float  # seconds
    calm_after: float
    cpu_seconds: float
    memory_mib: float
    writes: int


@dataclass(frozen=True, slots=True)
class _Bench:
    server: Judge
    ours: Wire
    null: Wire
    folder: Path
    clusters: int

    async def figures(self) -> Sequence[Figure]:
        kubeconfigs = {}
        for one in (self.ours, self.null):
            kubeconfigs[one.namespace] = self.folder / f"{one.namespace}.kubeconfig"
            kubeconfigs[one.namespace].write_text(json.dumps(await signed_in(one)))
        flag = f"--watch-namespace={self.ours.namespace}"
        async with _node(self.server.kubeconfig, self.folder) as node:
            async with operator_process(kubeconfigs["ours"], flag):
                script = await script_of(self.ours, WORKERS, self.null.namespace)
            (self.folder / "script").write_bytes(msgspec.json.encode(script))
            async with (
                _null_client(kubeconfigs["null"], self.folder / "script") as pid,
                operator_process(kubeconfigs["ours"], flag) as operator,
            ):
                empty = Usage.of(operator.pid).memory_mib
                mine, theirs = await self._turns(operator.pid, pid)
                complaints = Counter(str(one.get("msg")) for one in operator.complaints())
            before = len(self._writes(self.ours))
            began = time.monotonic()
            async with operator_process(kubeconfigs["ours"], flag) as operator:
                works = time.monotonic() - began
                await _calm(operator.pid)
                calm = time.monotonic() - began - 1
                used = Usage.of(operator.pid)
                again = Restart(works, calm, used.cpu_seconds, used.memory_mib, len(self._writes(self.ours)) - before)
        _tell("node", node)
        _tell("complaints of the operator", complaints)
        return _figures(self.clusters, mine, theirs, empty, again)

    def _writes(self, wire: Wire) -> list[Audited]:
        return list(audited(self.server.kubeconfig.with_name(AUDIT_LOG), wire.namespace))

    async def _turns(self, operator: int, null_client: int) -> tuple[Run, Run]:
        """The two take turns, so that whoever else uses the machine slows both."""
        names = [f"c{number:05}" for number in range(self.clusters)]
        mine, theirs = [], []
        for first in range(0, self.clusters, self.clusters // TURNS):
            some = names[first : first + self.clusters // TURNS]
            theirs.append(await self._run(self.null, null_client, some))
            mine.append(await self._run(self.ours, operator, some))
        return Run.together(mine), Run.together(theirs)

    async def _run(self, wire: Wire, pid: int, names: Sequence[str]) -> Run:
        """These RayClusters, until the last is ready, and what the client with that pid did."""
        before, seen = Usage.of(pid), len(self._writes(wire))
        sent = await _all_ready(wire, names)
        await asyncio.sleep(SETTLE)
        after = Usage.of(pid)
        writes = self._writes(wire)[seen:]
        _tell(f"writes in namespace {wire.namespace}", Counter(map(str, writes)))
        events = sum(one.resource == EVENTS.plural for one in writes)
        return Run(
            makespan=max(_when(one) for one in writes if one.resource == "rayclusters/status") - min(sent.values()),
            to_pods=_to_pods(sent, writes),
            writes=(len(writes) - events) / len(names),
            events=events / len(names),
            cpu_seconds=after.cpu_seconds - before.cpu_seconds,
            memory_mib=after.memory_mib,
        )


def _when(write: Audited) -> float:
    return write.answered.timestamp()


def _to_pods(sent: Mapping[str, float], writes: Sequence[Audited]) -> list[float]:
    created: defaultdict[str, list[float]] = defaultdict(list)
    for one in writes:
        if one.resource == "pods" and one.verb == "create" and one.code == 201:
            created[one.name.partition("-")[0]].append(_when(one))
    assert {len(found) for found in created.values()} == {PODS}, "pods were made twice, or not at all"
    assert created.keys() == sent.keys()
    return [1000 * (max(created[name]) - moment) for name, moment in sent.items()]


async def _all_ready(wire: Wire, names: Sequence[str]) -> dict[str, float]:
    """Create them at their rate, wait until they are ready; when each was sent."""
    sent: dict[str, float] = {}
    waiting = set(names)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(_creating(wire, names, sent))
        while waiting:  # a server closes a watch that is read too slowly; opened again, it begins with what is there
            async with wire.watch(wire.path("rayclusters.ray.io")) as events:
                events.seconds = PATIENCE
                while waiting and (line := await events.line()):
                    waiting.discard(_ready_name(line))
    return sent


async def _creating(wire: Wire, names: Sequence[str], sent: dict[str, float]) -> None:
    """An open loop: each goes out at its time, whatever became of those before."""
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, name in enumerate(names):
            await asyncio.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))
            group.create_task(_create(wire, name, sent))


async def _create(wire: Wire, name: str, sent: dict[str, float]) -> None:
    body = a_raycluster(name, workers=WORKERS, namespace=wire.namespace)
    sent[name] = datetime.now(UTC).timestamp()
    (await wire.post(wire.path("rayclusters.ray.io"), body)).ok(201)


class _Named(msgspec.Struct):
    name: str


class _State(msgspec.Struct):
    state: str = ""


class _Cluster(msgspec.Struct):
    metadata: _Named
    status: _State = msgspec.field(default_factory=_State)


class _Event(msgspec.Struct):
    object: _Cluster


_decode = msgspec.json.Decoder(_Event).decode


def _ready_name(line: bytes) -> str:
    cluster = _decode(line).object
    return cluster.metadata.name if cluster.status.state == "ready" else ""


# The processes -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _node(kubeconfig: Path, folder: Path) -> AsyncIterator[dict[str, int]]:
    """The scripted node; after the block, what it wrote."""
    table = folder / "table.json"
    table.write_text(json.dumps(TABLE))
    wrote: dict[str, int] = {}
    arguments = ("localcluster.node", f"--kubeconfig={kubeconfig}", f"--table={table}", "--eager-probes")
    async with _program(*arguments) as process:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if b"registered" not in line:
            raise RuntimeError(f"the node did not start: {line.decode()}")
        yield wrote
        process.send_signal(signal.SIGTERM)
        wrote.update(json.loads((await process.stdout.read()).splitlines()[-1]))


@asynccontextmanager
async def _null_client(kubeconfig: Path, script: Path) -> AsyncIterator[int]:
    async with _program("benchmarks.null_client", str(kubeconfig), str(script)) as process:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if line.decode().strip() != WORKS:
            raise RuntimeError(f"the null client did not start: {line.decode()}")
        yield process.pid


@asynccontextmanager
async def _program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _calm(pid: int) -> None:
    """Until a second passed in which it did nothing to speak of."""
    used = Usage.of(pid).cpu_seconds
    while True:
        await asyncio.sleep(1)
        before, used = used, Usage.of(pid).cpu_seconds
        if used - before < CALM:
            return


# What is told ------------------------------------------------------------------------------------------------------


def _tell(what: str, counts: Mapping[str, int]) -> None:
    said = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
    print(f"  {what}: {said or 'none'}", file=sys.stderr, flush=True)


def _figures(clusters: int, mine: Run, theirs: Run, empty: float, again: Restart) -> Sequence[Figure]:
    share = clusters / CLUSTERS  # what is aimed at holds for a thousand

    def beside(name: str, unit: str, value: float, reference: float, aim: float | None = None) -> Figure:
        return Figure(name, value, unit, aim, reference=reference, reference_is=REFERENCE)

    def percentile(run: Run, which: int) -> float:
        return statistics.quantiles(run.to_pods, n=100)[which - 1]

    of = f"{clusters:,} RayClusters of 1+{WORKERS}"
    return [
        beside(f"{of}: makespan", "s", mine.makespan, theirs.makespan, 1.25 * theirs.makespan),
        beside("created -> 4 pods created, p50", "ms", percentile(mine, 50), percentile(theirs, 50)),
        beside("the same, p99", "ms", percentile(mine, 99), percentile(theirs, 99)),
        beside("writes of each until ready", "", mine.writes, theirs.writes, 7),
        beside("events of each", "", mine.events, theirs.events),
        beside("processor's time", "s", mine.cpu_seconds, theirs.cpu_seconds, 14 * share),
        Figure("resident, empty", empty, "MiB", 60),
        beside(f"resident, {PODS * clusters:,} pods", "MiB", mine.memory_mib, theirs.memory_mib, 110),
        Figure("restart with all of them: works after", again.works_after, "s"),
        Figure("has looked at all after", again.calm_after, "s"),
        Figure("its processor's time", again.cpu_seconds, "s"),
        Figure("its resident memory", again.memory_mib, "MiB", 110),
        Figure("its writes", again.writes, "", 0),
    ]


async def main(arguments: Sequence[str]) -> int:
    """The table; 1 if an aim is missed."""
    found = await figures(int(arguments[0]) if arguments else CLUSTERS)
    print(table(found))
    return int(any(one.missed for one in found))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
