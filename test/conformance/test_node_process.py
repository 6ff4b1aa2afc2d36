"""The scripted node as a program of its own, on either API server: pods by the hundred, in few writes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from localcluster.node.__main__ import main
from localcluster.testing.wire import Json, Wire

pytestmark = pytest.mark.timeout(120)

PODS = 100
END_SECONDS = 20.0


@asynccontextmanager
async def a_node(cluster: Wire, name: str, *flags: str) -> AsyncIterator[dict[str, int]]:
    """It is registered; what it wrote is there after the block."""
    kubeconfig = cluster.endpoint.kubeconfig
    wrote: dict[str, int] = {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localcluster.node", f"--kubeconfig={kubeconfig}", f"--name={name}", *flags),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).decode() == f"node {name} is registered\n"
        yield wrote
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS):
            last = await process.stdout.read()
            code = await process.wait()
        await cluster.delete(f"/api/v1/nodes/{name}")
    wrote.update(json.loads(last))
    assert code == 0


def a_pod(name: str, node: str) -> Json:
    """It may run on that node alone, and is let in there; its probe waits longer than any test does."""
    selector = {"kubernetes.io/hostname": node}
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 3600}
    container = {"name": "c", "image": "i:1", "readinessProbe": probe}
    spec = {"containers": [container], "nodeSelector": selector, "tolerations": [{"key": "for", "value": node}]}
    return {"metadata": {"name": name}, "spec": spec}


async def test_many_pods_live_by_the_table_in_a_binding_and_few_patches_each(cluster: Wire, tmp_path: Path) -> None:
    """Containers run and are ready, at once if asked for; one that ends by the table is told as well."""
    node = f"scale-{cluster.namespace}"
    table = tmp_path / "table.json"
    lives = [{"sandbox_seconds": 0, "start_seconds": 0}, {"pod": "p0", "runs_seconds": 0.1}]
    table.write_text(json.dumps(lives))

    async with (
        a_node(
            cluster, node, f"--table={table}", "--eager-probes", f"--register-with-taints=for={node}:NoSchedule"
        ) as wrote,
        asyncio.TaskGroup() as group,
    ):
        for number in range(PODS):
            body = a_pod(f"p{number}", node)
            if number == 0:
                body["spec"]["restartPolicy"] = "Never"
            group.create_task(cluster.post(cluster.path("pods"), body))
        ended: set[str] = set()
        ready: set[str] = set()
        while not ended or len(ready | ended) < PODS:
            async with cluster.watch(cluster.path("pods")) as events:  # closed when it is read too slowly
                while (not ended or len(ready | ended) < PODS) and (line := await events.line()):
                    pod = json.loads(line)["object"]
                    name = pod["metadata"]["name"]
                    if pod.get("status", {}).get("phase") == "Succeeded":
                        ended.add(name)
                    elif is_ready(pod):
                        assert pod["spec"]["nodeName"] == node
                        ready.add(name)

    assert ended == {"p0"}
    assert PODS <= wrote["PATCH pods/status"] <= 4 * PODS
    assert "POST events" not in wrote
    # On the local server its own scheduler may have been quicker, here and there. Pods that controllers make of what
    # other tests left behind do not tolerate the node.
    assert wrote.get("POST pods/binding", 0) <= PODS


def is_ready(pod: Json) -> bool:
    """The Ready condition is True."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def test_a_node_that_is_scheduled_by_others_binds_nothing(cluster: Wire) -> None:
    """Whoever binds pods to it has them run."""
    node = f"bound-{cluster.namespace}"
    async with a_node(cluster, node, "--no-scheduler") as wrote:
        body = {"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i:1"}]}}
        (await cluster.post(cluster.path("pods"), body)).ok(201)
        await cluster.until(cluster.path("pods", "p"), is_ready)

    assert "POST pods/binding" not in wrote


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[{"start_second": 1}]', "start_second"),
        ("[", "cannot use table"),
    ],
)
def test_a_table_that_says_nonsense_is_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, said: str
) -> None:
    """With the word that nobody knows."""
    (tmp_path / "t").write_text(table)

    assert main([f"--kubeconfig={tmp_path / 'none'}", f"--table={tmp_path / 't'}"]) == 2
    assert said in capsys.readouterr().err


async def test_a_node_with_a_taint_lets_in_whoever_tolerates_it(cluster: Wire) -> None:
    """The other pod is not even bound."""
    node = f"tainted-{cluster.namespace}"
    async with a_node(cluster, node, "--eager-probes", f"--register-with-taints=gpu:NoSchedule,for={node}:NoSchedule"):
        tolerated = [{"key": "for", "value": node}, {"key": "gpu", "operator": "Exists"}]
        for name, tolerations in (("not", tolerated[:1]), ("let", tolerated)):
            body = a_pod(name, node)
            body["spec"]["tolerations"] = tolerations
            (await cluster.post(cluster.path("pods"), body)).ok(201)
        await cluster.until(cluster.path("pods", "let"), is_ready)
        await cluster.until(cluster.path("pods", "not"), is_unschedulable)
        assert "nodeName" not in (await cluster.get(cluster.path("pods", "not"))).ok()["spec"]


def is_unschedulable(pod: Json) -> bool:
    """A scheduler found no place for it."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable" for one in conditions)


def test_a_taint_that_says_nonsense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"--kubeconfig={tmp_path / 'none'}", "--register-with-taints=gpu=true"])
    assert "KEY=VALUE:EFFECT" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--kubeconfig={tmp_path / 'none'}"]) == 2
    assert "No such file" in capsys.readouterr().err
