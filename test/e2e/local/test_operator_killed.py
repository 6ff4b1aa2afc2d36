"""The operator's process is killed while one of its writes is on the way, and a job on real Ray runs once all the same.

`test/faults` does it at every write, in virtual time and with a stand-in for Ray. Here everything is real, and seeds
draw writes: MANTA_SEED chooses others than the usual ones. The seed, the write and the number of all possible deaths
are printed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from localcluster.faults import Crash
from localcluster.testing.real import (
    CLUSTERS,
    JOBS,
    PODS,
    RAYJOBS,
    Death,
    a_real_cluster,
    a_small_ray,
    version_of,
)

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]

MODES = ("K8sJobMode", "HTTPMode")
BANDS = 5  # a run has beginning, middle and end: of so many seeds in a row, each draws from another part
FIRST = int(os.environ.get("MANTA_SEED", "55"))  # 55 strikes where the cluster and the submitter are made, too
SEEDS = range(FIRST, FIRST + BANDS)
POSITIONS: tuple[Crash, ...] = get_args(Crash)
RAN = "the job ran"


@dataclass(frozen=True, slots=True)
class Life:
    """What a run of the job left behind."""

    status: dict[str, Any]
    lines: list[str]  # what the job itself appended to its file
    roles: Counter[str]  # of all pods there ever were
    clusters: int  # that there ever were
    submitters: int  # Jobs that there ever were
    gone_early: list[str]  # what was removed before the job's end
    writes: list[str]  # of the operator, until the job's end
    deaths: list[int]  # at which writes


async def a_life(folder: Path, mode: str, death: Death) -> Life:
    """A RayJob from its creation to its end, and on to its deletion with all that belongs to it."""
    shared = folder / "shared"
    shared.mkdir()
    async with a_real_cluster(folder, death) as real:
        await real.api.create(RAYJOBS, "default", a_rayjob(mode, shared))
        job = await real.until(RAYJOBS, "train", ended)
        writes = [" ".join(filter(None, one.values())) for one in real.writes()]
        await real.api.delete(RAYJOBS, "default", "train", propagation="Background")
        for resource in (RAYJOBS, CLUSTERS, JOBS, PODS):
            await real.gone(resource)  # and with that, all was told that happened before
        return Life(
            status=job["status"],
            lines=(shared / "runs").read_text().splitlines(),
            roles=Counter(role(pod) for pod in real.ever(PODS)),
            clusters=len(real.ever(CLUSTERS)),
            submitters=len(real.ever(JOBS)),
            gone_early=[one for what in (CLUSTERS, JOBS, PODS) for one in real.removed(what, before=version_of(job))],
            writes=writes,
            deaths=real.deaths(),
        )


def a_rayjob(mode: str, shared: Path) -> dict[str, Any]:
    """A head, a worker, and an entrypoint that tells each of its runs."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": "train", "namespace": "default"},
        "spec": {
            "submissionMode": mode,
            "entrypoint": f"bash -c 'echo {RAN} >> /shared/runs; sleep 3'",
            "rayClusterSpec": a_small_ray(workers=1, shared=shared),
        },
    }


def ended(job: dict[str, Any]) -> bool:
    """Does its status say so?"""
    return (job.get("status") or {}).get("jobDeploymentStatus") in ("Complete", "Failed")


def role(pod: dict[str, Any]) -> str:
    """What the pod is for: head, worker, or a Job's."""
    labels = pod["metadata"]["labels"]
    return str(labels.get("ray.io/node-type") or f"of Job {labels['batch.kubernetes.io/job-name']}")


def drawn(mode: str, seed: int, writes: int) -> Death:
    """A write of that seed's part of the run; neighbouring seeds have different positions, so that none is left out."""
    part = seed % BANDS + random.Random(f"{mode} {seed}").random()
    return Death(1 + int(part * writes / BANDS), POSITIONS[(seed + MODES.index(mode)) % len(POSITIONS)])


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line, captured or not: what was drawn must be known even of a test that passes."""

    def print_it(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}")

    return print_it


@pytest.fixture(scope="module", params=MODES)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Life]:
    """The mode, and a life of the job in which nobody dies."""
    mode = str(request.param)
    return mode, asyncio.run(a_life(tmp_path_factory.mktemp(mode), mode, Death()))


def test_a_job_runs_once_when_nobody_dies(undisturbed: tuple[str, Life], say: Callable[[str], None]) -> None:
    """What the others are compared with."""
    mode, life = undisturbed

    say(f"{mode}: {len(life.writes)} writes x {len(POSITIONS)} positions: {'; '.join(life.writes)}")
    submitters = Counter({"of Job train": 1}) if mode == "K8sJobMode" else Counter()
    assert life.status["jobStatus"] == "SUCCEEDED"
    assert life.lines == [RAN]
    assert life.roles == Counter(head=1, worker=1) + submitters
    assert (life.clusters, life.submitters) == (1, submitters.total())
    assert (life.gone_early, life.deaths) == ([], [])


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_job_runs_once_whichever_write_the_operator_is_killed_at(
    undisturbed: tuple[str, Life], seed: int, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """No pod, cluster or submission is doubled or replaced, and the entrypoint itself tells that it ran once."""
    mode, usual = undisturbed
    death = drawn(mode, seed, len(usual.writes))
    say(f"{mode}, seed {seed}: the operator is killed at write {death.nth} of {len(usual.writes)}, {death.at}")

    life = await a_life(tmp_path, mode, death)

    (died_at,) = life.deaths
    say(f"that was {life.writes[died_at - 1]}")
    assert life.status["jobStatus"] == "SUCCEEDED"
    assert life.lines == [RAN]
    assert life.roles == usual.roles
    assert (life.clusters, life.submitters) == (usual.clusters, usual.submitters)
    assert life.gone_early == []
