"""What a user of `manta run` and `manta up` is told when something cannot be done."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
import yaml

from localcluster.testing.manta_process import SAMPLES, Manta, manta, scripted

pytestmark = [pytest.mark.local, pytest.mark.timeout(180)]


@pytest.fixture
def kubectl() -> Path:
    """The one that the conformance tests built."""
    found = sorted((Path.home() / ".cache" / "manta" / "kube").glob("v1.*/**/kubectl"))
    if not found:
        pytest.skip("there is no kubectl in the cache; `make conformance` builds it, once")
    return found[-1]


async def ask(kubectl: Path, config: Path, *words: str) -> tuple[str, str]:
    """Output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(str(kubectl), *words),
        env={**os.environ, "KUBECONFIG": str(config)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return output.decode(), errors.decode()


async def stop(up: Manta) -> None:
    up.process.send_signal(signal.SIGINT)
    code, _, errors = await up.ended()
    assert code == 0, errors


async def test_a_ray_without_a_wheel_for_any_python_here_ends_the_run_with_both_named(tmp_path: Path) -> None:
    """Neither is Python 3.7 here, nor had that Ray a wheel for one that is."""
    job = tmp_path / "job.yaml"
    text = (SAMPLES / "rayjob-http.yaml").read_text()
    job.write_text(text.replace("ray:2.52.0", "ray:1.13.0-py37").replace('"2.52.0"', '"1.13.0"'))

    async with manta(tmp_path, "run", "--output", "plain", job) as run:
        code, output, errors = await run.ended()

    assert (code, errors) == (1, "")
    unwise, trouble = (line for line in output.splitlines() if "! " in line)
    assert "Ray 1.13.0 is older than 2.9.0" in unwise
    assert "cannot make an environment with Ray 1.13.0: it has no wheel for Python 3." in trouble
    assert "(there is no python3.7 on PATH). Put a Python that it has wheels for on PATH (3.6, 3.7, " in trouble
    verdict = next(line for line in output.splitlines() if "gave up" in line)
    assert verdict.endswith("(there is no python3.7 on PATH)")
    assert output.count("making an environment with Ray 1.13.0") == 1


async def test_trouble_that_pods_share_is_told_once_with_their_number(tmp_path: Path) -> None:
    """One line with the way out, and a verdict."""
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text((SAMPLES / "raycluster.yaml").read_text().replace("rayproject/ray:2.52.0", "example.com/none:1"))

    async with manta(tmp_path, "run", "--output", "plain", cluster) as run:
        code, output, _ = await run.ended()

    assert code == 1
    (trouble,) = (line for line in output.splitlines() if "! " in line)
    assert " and 1 more: ErrImagePull: cannot pull example.com/none:1: images are not pulled here. Use " in trouble
    assert output.count("images are not pulled here") == 2


async def test_a_pod_that_the_api_refuses_ends_the_run_and_is_told_by_manta_up(tmp_path: Path) -> None:
    """The one gives up, the other says so once and stays."""
    cluster, text = tmp_path / "cluster.yaml", (SAMPLES / "raycluster.yaml").read_text()
    body = yaml.safe_load(text)
    container = body["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": 2}, "limits": {"cpu": 1}}
    body["metadata"]["annotations"] = {"ray.io/admission-skip": "GPU30"}  # which says so before anything starts
    cluster.write_text(yaml.safe_dump(body))

    async with manta(tmp_path, *scripted("run", cluster)) as run:
        code, output, errors = await run.ended()
    async with manta(tmp_path, *scripted("up", "--port", "0", "--apply", cluster)) as up:
        told = await up.line_with("FailedToCreateHeadPod")
        await stop(up)

    verdict = next(line for line in output.splitlines() if "gave up" in line)
    assert (code, errors) == (1, "")
    assert "gave up: the API refuses the head pod of RayCluster playground: " in verdict
    assert "spec.headGroupSpec.template.spec.containers[0].resources.requests" in verdict
    assert verdict.endswith("ask for less there, or raise the limit")
    assert "! RayCluster default/playground: FailedToCreateHeadPod: " in told


async def test_manta_up_refuses_a_bad_schedule_and_works_on_a_good_one(tmp_path: Path, kubectl: Path) -> None:
    """By the operator's own webhook; the operator there has the gate of schedules open."""
    config, cron = tmp_path / "config", tmp_path / "cron.json"
    sample = yaml.safe_load((SAMPLES / "raycronjob.yaml").read_text())
    async with manta(tmp_path, *scripted("up", "--port", "0", "--kubeconfig", config)) as up:
        await up.line_with("ready; Ctrl-C ends it")

        cron.write_text(json.dumps({**sample, "spec": {**sample["spec"], "schedule": "0 30 6 * * *"}}))
        applied, errors = await ask(kubectl, config, "apply", "-f", str(cron))
        assert applied == ""
        assert 'The RayCronJob "heartbeat" is invalid: spec.schedule: Invalid value: "0 30 6 * * *"' in errors

        cron.write_text(json.dumps({**sample, "spec": {**sample["spec"], "schedule": "@every 1s"}}))
        applied, errors = await ask(kubectl, config, "apply", "-f", str(cron))
        assert applied == "raycronjob.ray.io/heartbeat created\n", errors
        ticked = "--for=jsonpath={.status.lastScheduleTime}"
        await ask(kubectl, config, "wait", "raycronjob/heartbeat", ticked, "--timeout=60s")
        made, errors = await ask(kubectl, config, "get", "rayjobs", "-l", "ray.io/cronjob-name=heartbeat", "-o", "name")
        assert made.startswith("rayjob.ray.io/heartbeat-"), errors
        await stop(up)


async def test_kubectl_is_told_that_streams_are_not_there_yet(tmp_path: Path, kubectl: Path) -> None:
    """Its own words were `malformed ws url` before."""
    config = tmp_path / "config"
    arguments = ("up", "--port", "0", "--apply", SAMPLES / "raycluster.yaml", "--kubeconfig", config)
    async with manta(tmp_path, *scripted(*arguments)) as up:
        await up.line_with("ready; Ctrl-C ends it")
        selector = "-lray.io/node-type=head"
        await ask(kubectl, config, "wait", "pod", selector, "--for=create")
        running = "--for=jsonpath={.status.phase}=Running"  # kubectl itself refuses to forward to another one
        pod, _ = await ask(kubectl, config, "wait", "pod", selector, running, "-o", "jsonpath={.metadata.name}")

        for words in (("exec", pod, "--", "ls"), ("attach", pod), ("port-forward", pod, "8265")):
            _, errors = await ask(kubectl, config, *words)

            assert "kubectl exec, cp, attach and port-forward do not work here" in errors
        await stop(up)
