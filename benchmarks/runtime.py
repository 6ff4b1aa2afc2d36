"""The runtime's own figures, against the budgets of spec runtime §22: queue, no-op reconcile, watch events, memory.

    python -m benchmarks.runtime

Each figure is the best of a few runs, in processor time of its one thread, so that a busy machine changes it little.
TLS is left out.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import random
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from api.core import PODS
from api.meta import Ref
from benchmarks.figure import Figure
from controller.runtime.background import background
from controller.runtime.cache.informer import Informer, Watched
from controller.runtime.cache.record import Words, record_of
from controller.runtime.cache.store import Change, Store
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.handlers import Source, for_object
from controller.runtime.loop import Controller
from controller.runtime.metrics import Metrics
from controller.runtime.plan import DONE, Result
from controller.runtime.queue.workqueue import WorkQueue
from localcluster.testing.scripted_api import ScriptedTransport

__all__ = ["figures"]

RUNS = 3
CHUNK = 64 * 1024  # what a socket gives at a time


async def figures() -> Sequence[Figure]:
    """All of them."""
    queue = await _best(_queue, 20_000) * 1e6
    bare_queue = await _best(_bare_queue, 20_000) * 1e6
    reconcile = 1 / await _best(_reconcile, 20_000)
    bare_reconcile = 1 / await _best(_bare_reconcile, 20_000)
    found = [
        Figure("queue: add, hold, done", queue, "us", 5, reference=bare_queue, reference_is="a heap and a dict"),
        Figure(
            "no-op reconcile", reconcile, "/s", 50_000, True, bare_reconcile, "a call with a time limit, nothing else"
        ),
    ]
    for size, aim in ((3_000, 40_000), (12_000, 18_000)):
        events, bare = 1 / await _best(_watch(size), 20_000), 1 / await _best(_bare_watch(size), 20_000)
        name = f"watch event {size // 1000} KB -> store -> queue"
        found.append(Figure(name, events, "/s", aim, True, bare, "split into lines, metadata decoded"))
    for size, most in ((3_000, 5.5), (12_000, 12.0)):
        kept, body = await _bytes_per_object(size)
        name = f"stored object of {size // 1000} KB"
        found.append(Figure(name, kept / 1024, "KiB", most, False, body / 1024, "its bytes without managedFields"))
    return found


async def _best(run: Callable[[int], Awaitable[float]], count: int) -> float:
    """Seconds for one, of the quickest run."""
    seconds = []
    for _ in range(RUNS):
        gc.collect()
        seconds.append(await run(count) / count)
    return min(seconds)


async def _queue(count: int) -> float:
    queue: WorkQueue[Ref] = WorkQueue(
        "bench", clock=SystemClock(), rng=random.Random(1), metrics=Metrics(), group_of=lambda key: key.namespace
    )
    keys = [Ref("Pod", f"ns{n % 50}", f"p{n}") for n in range(count)]
    started = time.process_time()
    for key in keys:
        queue.add(key)
    for _ in keys:
        async with queue.hold():
            pass
    return time.process_time() - started


async def _bare_queue(count: int) -> float:
    keys = [Ref("Pod", f"ns{n % 50}", f"p{n}") for n in range(count)]
    ready: list[tuple[float, int, Ref]] = []
    waiting: dict[Ref, float] = {}
    started = time.process_time()
    for n, key in enumerate(keys):
        waiting[key] = 0.0
        heapq.heappush(ready, (0.0, n, key))
    while ready:
        del waiting[heapq.heappop(ready)[2]]
    return time.process_time() - started


class _NoOp:
    def __init__(self, count: int) -> None:
        self.left = count
        self.done = asyncio.Event()

    async def reconcile(self, key: Ref) -> Result:
        self.left -= 1
        if not self.left:
            self.done.set()
        return DONE


async def _reconcile(count: int) -> float:
    noop = _NoOp(count)
    controller = Controller("bench", noop, [], clock=SystemClock(), rng=random.Random(1), metrics=Metrics())
    for n in range(count):
        controller.queue.add(Ref("Pod", f"ns{n % 50}", f"p{n}"))
    started = time.process_time()
    async with background(*((f"w{n}", controller._work()) for n in range(16))):
        await noop.done.wait()
    return time.process_time() - started


async def _bare_reconcile(count: int) -> float:
    noop = _NoOp(count)
    key = Ref("Pod", "ns", "p")
    started = time.process_time()
    for _ in range(count):
        async with asyncio.timeout(120):
            await noop.reconcile(key)
    return time.process_time() - started


def _a_pod(n: int, rv: int, size: int) -> dict[str, object]:
    owner = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": f"c{n % 100}",
        "uid": f"u{n % 100}",
        "controller": True,
    }
    metadata = {
        "name": f"pod-{n}",
        "namespace": f"ns{n % 50}",
        "uid": f"uid-{n}",
        "resourceVersion": str(rv),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"ray.io/cluster": f"c{n % 100}", "ray.io/group": "workers", "ray.io/node-type": "worker"},
        "annotations": {"manta.ray.io/slot": f"workers/{n}"},
        "ownerReferences": [owner],
        "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {f"f:x{i}": {} for i in range(size // 60)}}}],
    }
    spec = {"containers": [{"name": "ray", "env": [{"name": f"N{i}", "value": "v" * 20} for i in range(size // 80)]}]}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def _an_informer(wire: ScriptedTransport) -> Informer:
    clock, metrics = SystemClock(), Metrics()
    client = RestClient(wire, clock=clock, identity=Identity("bench", "1"), metrics=metrics)
    return Informer(
        Watched(PODS),
        client,
        namespace=None,
        clock=clock,
        rng=random.Random(1),
        metrics=metrics,
        loads=asyncio.Semaphore(4),
    )


def _stream(count: int, size: int) -> bytes:
    return b"".join(
        json.dumps({"type": "MODIFIED", "object": _a_pod(n % 2_000, n + 11, size)}, separators=(",", ":")).encode()
        + b"\n"
        for n in range(count)
    )


class _Metadata(msgspec.Struct):
    name: str
    namespace: str
    uid: str
    resourceVersion: str  # noqa: N815 - as on the wire
    labels: dict[str, str]


class _Thing(msgspec.Struct):
    metadata: _Metadata


class _Event(msgspec.Struct):
    type: str
    object: _Thing


def _bare_watch(size: int) -> Callable[[int], Awaitable[float]]:
    async def run(count: int) -> float:
        stream, decode = _stream(count, size), msgspec.json.Decoder(_Event).decode
        kept: dict[tuple[str, str], _Thing] = {}
        rest = b""
        started = time.process_time()
        for start in range(0, len(stream), CHUNK):
            *lines, rest = (rest + stream[start : start + CHUNK]).split(b"\n")
            for line in lines:
                thing = decode(line).object
                kept[thing.metadata.namespace, thing.metadata.name] = thing
        return time.process_time() - started

    return run


def _watch(size: int) -> Callable[[int], Awaitable[float]]:
    async def run(count: int) -> float:
        wire = ScriptedTransport()
        informer = _an_informer(wire)
        queue: WorkQueue[Ref] = WorkQueue("bench", clock=SystemClock(), rng=random.Random(1), metrics=Metrics())
        source = Source(PODS, for_object)
        done = asyncio.Event()

        def tell(delta: object) -> None:
            for key in source.keys(delta):  # type: ignore[arg-type]
                queue.add(key)
            if informer.store.rv == str(count + 10):
                done.set()

        stream = _stream(count, size)
        listener = informer.listen("bench", tell)
        async with background(("reflector", informer.reflector.run()), ("listener", listener.run())):
            body = (await wire.next()).stream()
            body.bookmark("Pod", "10", ends_initial_events=True)
            await listener.synced.wait()
            started = time.process_time()
            for start in range(0, len(stream), CHUNK):
                body.send(stream[start : start + CHUNK])
            await done.wait()
            return time.process_time() - started

    return run


async def _bytes_per_object(size: int) -> tuple[float, float]:
    """What a stored object takes, and how long its kept body is."""
    bodies = [json.dumps(_a_pod(n, n + 1, size), separators=(",", ":")).encode() for n in range(5_000)]
    store, words = Store(PODS), Words()
    tracemalloc.start()
    for body in bodies:
        store.apply([Change(record_of(PODS, body, words))])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / len(bodies), store.body_bytes / len(bodies)


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for figure in await figures():
        print(json.dumps(figure.cells(), ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(main())
