"""A scripted node for any API server: `python -m localcluster.node --kubeconfig FILE`; Ctrl-C ends it.

Registers a node, finds a place there for pods that have none, and lives their lives by a table, in real time; nothing
is run. So scale can be measured on a real API server without kubelets: pods by the ten thousand are cheap, and what is
written is a binding for each and, as a kubelet does it, its status.

    python -m localcluster.node --kubeconfig FILE --name n1 --pods 40000 --table lives.json

The table is a JSON list of what `Scripted.script` takes, of which a later line overrides an earlier one:

    [{"sandbox_seconds": 0.2, "start_seconds": 0.5}, {"pod": "train-*", "container": "ray-job-*", "runs_seconds": 30}]

Once the node is registered, a line says so. When it ends, a JSON line says what was written: "PATCH pods/status": 8123.
The node object stays: deleting it would have the API server's controllers delete its pods.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from localcluster.api import Api, Refusal
from localcluster.controllers.manager import mirroring
from localcluster.node.kubelet import Kubelet, NodeSettings
from localcluster.node.remote import BadKubeconfig, Writes, connected
from localcluster.node.scheduler import Scheduler
from localcluster.node.scripted import Scripted

__all__ = ["main"]

Json: TypeAlias = dict[str, Any]

BINDINGS_AT_ONCE = 16
HEARTBEAT_SECONDS = 10.0  # a control plane takes a node for lost that is silent for 40
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
AMPLE = {"cpu": "1000000", "memory": "4000000Gi", "ephemeral-storage": "4000000Gi", "nvidia.com/gpu": "1000000"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; 2 with a sentence for what it cannot start with."""
    said = _arguments().parse_args(arguments)
    try:
        runtime = _scripted(json.loads(said.table.read_text()) if said.table is not None else [])
    except (OSError, ValueError, TypeError) as error:
        return _refused(f"cannot use table {said.table}: {error}")
    try:
        asyncio.run(_serve(said, runtime))
    except BadKubeconfig as error:
        return _refused(f"cannot use kubeconfig {said.kubeconfig}: {error}")
    except (OSError, Refusal) as error:
        return _refused(f"cannot start: {error}")
    return 0


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 - a command line
    return 2


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcluster.node", description="A node that runs nothing.")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="leads to the API server; full rights on pods")
    parser.add_argument("--name", default="scripted", help="of the node")
    parser.add_argument("--pods", type=int, default=40_000, help="how many it takes")
    parser.add_argument(
        "--register-with-taints",
        type=_taints,
        default=(),
        metavar="KEY=VALUE:EFFECT,...",
        help="only pods that tolerate these come here; as a kubelet's flag",
    )
    parser.add_argument("--table", type=Path, help="a JSON file that says how pods live")
    parser.add_argument("--no-scheduler", action="store_true", help="somebody else finds places for pods")
    parser.add_argument("--events", action="store_true", help="write events too, as scheduler and kubelet do")
    parser.add_argument("--eager-probes", action="store_true", help="no probe waits for its initialDelaySeconds")
    return parser


def _taints(said: str) -> tuple[Json, ...]:
    """Of `key=value:effect,key:effect`. Raises ArgumentTypeError for anything else."""
    taints = []
    for one in said.split(","):
        name, _, effect = one.rpartition(":")
        key, _, value = name.partition("=")
        if not key or effect not in EFFECTS:
            raise argparse.ArgumentTypeError(f"{one!r} is not KEY=VALUE:EFFECT with one of {', '.join(EFFECTS)}")
        taints.append({"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect})
    return tuple(taints)


def _scripted(table: Sequence[Json]) -> Scripted:
    """A runtime that knows the table. Raises TypeError for a line that says what no script has."""
    runtime = Scripted()
    for line in table:
        runtime.script(**line)
    return runtime


async def _serve(said: argparse.Namespace, runtime: Scripted) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(wanted, stop.set)
    async with connected(said.kubeconfig) as (api, writes):
        await api.served()  # whoever cannot reach it, or may not, hears it here in one sentence
        try:
            async with AsyncExitStack() as stack:
                await _enter(stack, api, said, runtime)
                print(f"node {said.name} is registered", flush=True)  # noqa: T201 - a command line
                await stop.wait()
        finally:
            _tell(writes)


async def _enter(stack: AsyncExitStack, api: Api, said: argparse.Namespace, runtime: Scripted) -> None:
    """Node and scheduler run until the stack is unwound."""
    settings = NodeSettings(
        name=said.name,
        capacity=AMPLE | {"pods": str(said.pods)},
        taints=said.register_with_taints,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        issue_tokens=False,
        tell_events=said.events,
        probe_delays=not said.eager_probes,
        resolve=False,
    )
    mirrors = await stack.enter_async_context(mirroring(api))
    await stack.enter_async_context(Kubelet(api, mirrors, runtime, settings, now=_wall_clock).running())
    if said.no_scheduler:
        return
    scheduler = Scheduler(api, mirrors, now=_wall_clock, tell_events=said.events, workers=BINDINGS_AT_ONCE)
    group = await stack.enter_async_context(asyncio.TaskGroup())
    stack.callback(group.create_task(scheduler.run(), name="scheduler").cancel)


def _tell(writes: Writes) -> None:
    print(json.dumps(dict(sorted(writes.items()))), flush=True)  # noqa: T201 - a command line


def _wall_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one place of this program that knows the time


if __name__ == "__main__":
    sys.exit(main())
