"""The scripted runtime does what its script says, and nothing by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcluster.node.interfaces import Container, Exit, Fault
from localcluster.node.scripted import Scripted

pytestmark = pytest.mark.looptime


def a_pod(name: str = "p", *, inits: tuple[str, ...] = ()) -> dict[str, Any]:
    """A pod named p with uid p."""
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": one} for one in inits]},
    }


def a_container(name: str = "c", pod: str = "p") -> Container:
    """A start of it."""
    return Container(pod, name, 0, "img", (), (), ())


async def started(runtime: Scripted, name: str = "c", **pod: Any) -> float:
    """Place and start it; how long that took."""
    begun = asyncio.get_running_loop().time()
    await runtime.create_sandbox(a_pod(**pod), {})
    await runtime.start(a_container(name))
    return asyncio.get_running_loop().time() - begun


async def test_a_container_takes_two_seconds_to_start_and_runs_until_it_is_stopped() -> None:
    """Stopped by TERM it ends with 143."""
    runtime = Scripted()
    assert await started(runtime) == pytest.approx(2, abs=0.01)
    await asyncio.sleep(86_400)
    assert len(runtime.containers("p")) == 1

    await runtime.terminate("p", "c", 30)

    assert await runtime.wait("p", "c") == Exit(143, "Error")
    assert runtime.containers("p") == []


async def test_an_init_container_ends_by_itself() -> None:
    """With 0."""
    runtime = Scripted()
    await started(runtime, "i", inits=("i",))

    assert (await runtime.wait("p", "i")).exit_code == 0


async def test_a_container_that_ignores_term_is_killed_at_the_end_of_its_grace() -> None:
    """And sooner when the grace is shortened meanwhile."""
    runtime = Scripted()
    runtime.script("p", stop_seconds=3600)
    await started(runtime)
    begun = asyncio.get_running_loop().time()

    async with asyncio.TaskGroup() as group:
        group.create_task(runtime.terminate("p", "c", 30))
        await asyncio.sleep(5)
        group.create_task(runtime.terminate("p", "c", 10))

    assert asyncio.get_running_loop().time() - begun == pytest.approx(15, abs=0.01)
    assert (await runtime.wait("p", "c")).exit_code == 137


async def test_a_later_script_overrides_what_it_names_and_patterns_choose() -> None:
    """By pod, or namespace and pod, and by container."""
    runtime = Scripted()
    runtime.script("*", runs_seconds=5, exit=Exit(3, "Error"))
    runtime.script("ns/p", container="c", runs_seconds=9)
    runtime.script("q*", runs_seconds=1)
    runtime.script("*", container="other", exit=Exit(4, "Error"))
    await started(runtime)
    begun = asyncio.get_running_loop().time()

    assert (await runtime.wait("p", "c")).exit_code == 3
    assert asyncio.get_running_loop().time() - begun == pytest.approx(9, abs=0.01)


async def test_probes_answer_steadily_and_stir_when_the_story_changes_its_mind() -> None:
    """So that nobody needs to ask again."""
    runtime = Scripted()
    stirred: list[tuple[str, str]] = []
    runtime.on_stir(lambda uid, name: stirred.append((uid, name)))
    await started(runtime)
    answer = await runtime.probe("p", "c", {}, kind="Readiness")
    assert (answer.good, answer.steady) == (True, True)

    runtime.not_ready("p")

    assert stirred == [("p", "c")]
    assert not (await runtime.probe("p", "c", {}, kind="Readiness")).good
    assert (await runtime.probe("p", "c", {}, kind="Liveness")).good


async def test_a_running_container_can_be_ended_and_an_absent_one_cannot() -> None:
    """A story that names the wrong one is told."""
    runtime = Scripted()
    await started(runtime)

    runtime.exit_container("p", "c", 137, reason="OOMKilled")

    assert await runtime.wait("p", "c") == Exit(137, "OOMKilled")
    with pytest.raises(KeyError, match="no container x runs"):
        runtime.exit_container("p", "x", 1)


async def test_a_life_of_its_own_lives_instead_of_the_script() -> None:
    """And is ended with the container."""
    runtime = Scripted()
    ended: list[str] = []

    async def life(container: Container) -> Exit:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(container.name)
        return Exit(7, "Error")

    runtime.script("p", life=life)
    await started(runtime)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(runtime.wait("p", "c"))
        await asyncio.sleep(10)
        await runtime.terminate("p", "c", 30)

    assert waiting.result().exit_code == 143
    assert ended == ["c"]


async def test_images_are_there_unless_they_are_refused_or_served() -> None:
    """Serving takes its time, once."""
    runtime = Scripted()
    assert runtime.has_image("img")
    runtime.serve_image("big:*", seconds=60)
    assert not runtime.has_image("big:1")
    with pytest.raises(Fault, match="ErrImageNeverPull"):
        await runtime.pull("big:1", "Never")
    begun = asyncio.get_running_loop().time()
    await runtime.pull("big:1", "IfNotPresent")
    await runtime.pull("big:1", "IfNotPresent")
    assert asyncio.get_running_loop().time() - begun == pytest.approx(60, abs=0.01)

    runtime.refuse_image("big:*", "gone")
    with pytest.raises(Fault, match="ErrImagePull: gone"):
        await runtime.pull("big:1", "IfNotPresent")


async def test_addresses_are_never_given_twice() -> None:
    """Even to pods of the same name."""
    runtime = Scripted()

    given = {(await runtime.create_sandbox(a_pod(f"p{number}"), {})).ip for number in range(300)}

    assert len(given) == 300


def test_a_script_with_a_misspelt_member_is_refused() -> None:
    """Where it stands in the story."""
    with pytest.raises(TypeError):
        Scripted().script("p", run_seconds=3)
