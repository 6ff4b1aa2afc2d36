"""The command `manta` as a program, on a scripted node: how it starts, what it answers, and that nothing of it stays.

With real Ray, test_endings.py says the same of a run under way.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcluster.node import kernel
from localcluster.testing.celled import Traces, descendants

pytestmark = [pytest.mark.local, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "config" / "samples"
PYTHON = sys.executable

# What appears in the folder of a run while it starts, one after the other.
MOMENTS = (
    *("token", "crds.json", "images.sock", "cluster.log", "operator.log"),
    *("api.sock", "dial.sock", "kubeconfig", "ready", "user.kubeconfig"),
)

WITHOUT_NETWORK_NAMESPACES = """
import os, sys
from pathlib import Path
from localcluster.node import kernel
user, group = os.geteuid(), os.getegid()
kernel.unshare(kernel.CLONE_NEWUSER)
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text(f"0 {user} 1")
Path("/proc/self/gid_map").write_text(f"0 {group} 1")
Path("/proc/sys/user/max_net_namespaces").write_text("0")  # of this user namespace alone
os.execv(sys.executable, [sys.executable, "-m", "manta", *sys.argv[1:]])
"""


@dataclass(frozen=True, slots=True)
class Manta:
    """`manta`, as a process of its own."""

    process: asyncio.subprocess.Process
    folder: Path  # its TMPDIR

    async def ended(self) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        output, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, output.decode(), errors.decode()

    async def line_with(self, words: str) -> str:
        """The next line that holds them."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if words in line.decode():
                return line.decode()
        raise AssertionError(f"it ended without saying {words!r}")

    async def reached(self, moment: str) -> None:
        """Until that file of its folder is there."""
        (own,) = await appeared(self.folder, lambda: list(self.folder.glob("manta-*")))
        await appeared(own, lambda: list(own.glob(moment)))


async def appeared(folder: Path, look: Callable[[], list[Path]]) -> list[Path]:
    """Looks whenever something changes in the folder, until there is something to see."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    notifier = kernel.notify_of_changes(str(folder))

    def notice() -> None:
        os.read(notifier, 4096)
        changed.set()

    loop.add_reader(notifier, notice)
    try:
        while not (found := look()):
            changed.clear()
            await changed.wait()
        return found
    finally:
        loop.remove_reader(notifier)
        os.close(notifier)


@asynccontextmanager
async def manta(
    folder: Path, *arguments: str | Path, program: tuple[str, ...] = ("-m", "manta")
) -> AsyncIterator[Manta]:
    """It runs in the block; it is killed at the end, should it still live."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, *program, *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        yield Manta(process, folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def left(folder: Path) -> list[Path]:
    """What still stands there."""
    return list(folder.iterdir())


def scripted(*words: str | Path) -> tuple[str | Path, ...]:
    """Arguments for a run that needs no Ray."""
    return (*words, "--node", "scripted", "--output", "plain")


# How it starts and ends


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
async def test_a_start_that_is_interrupted_leaves_nothing(
    number: signal.Signals, code: int, moment: str, tmp_path: Path
) -> None:
    """Process, namespace or file: at every step of the start."""
    async with manta(tmp_path, *scripted("run", SAMPLES / "rayjob.yaml")) as run:
        await run.reached(moment)
        traces = Traces(run.process.pid)

        run.process.send_signal(number)
        ended, _, errors = await run.ended()

        assert ended == code, errors
        assert errors == "\ninterrupted; everything that was started is gone\n"
        await traces.gone()
        assert left(tmp_path) == []


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_start_that_is_killed_leaves_nothing_alive_and_the_next_one_cleans_up(
    moment: str, tmp_path: Path
) -> None:
    """The kernel ends what lives; the folder that stays goes with the next start."""
    async with manta(tmp_path, *scripted("run", SAMPLES / "rayjob.yaml")) as run:
        await run.reached(moment)
        traces = Traces(run.process.pid)

        run.process.kill()
        await run.ended()

        await traces.gone()
    async with manta(tmp_path, *scripted("run", SAMPLES / "raycluster.yaml")) as again:
        code, output, _ = await again.ended()

        assert code == 0, output
        assert left(tmp_path) == []


@pytest.mark.parametrize("victim", ["localcluster.node.cell", "localcluster.inside", "init"])
async def test_the_death_of_a_part_ends_manta_up_and_says_so(victim: str, tmp_path: Path) -> None:
    """Exit code 1, and a sentence rather than a traceback."""
    async with manta(tmp_path, *scripted("up", "--port", "0")) as up:
        await up.line_with("ready; Ctrl-C ends it")
        traces = Traces(up.process.pid)

        os.kill(part(up.process.pid, victim), signal.SIGKILL)
        code, _, errors = await up.ended()

        assert code == 1
        assert errors.startswith("manta: ")
        assert "Traceback" not in errors
        await traces.gone()
        assert left(tmp_path) == []


def part(pid: int, victim: str) -> int:
    """One of its processes: by the words of its command line, or the cell's first."""
    family = descendants(pid)
    launcher = next(one for one in family if "localcluster.node.cell" in command_line(one))
    if victim == "init":
        return descendants(launcher)[1]
    return next(one for one in family if victim in command_line(one))


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


async def test_manta_up_ends_well_with_ctrl_c(tmp_path: Path) -> None:
    """It is how it is meant to end."""
    async with manta(tmp_path, *scripted("up", "--port", "0")) as up:
        await up.line_with("ready; Ctrl-C ends it")

        up.process.send_signal(signal.SIGINT)
        code, _, errors = await up.ended()

        assert (code, errors) == (0, "\neverything is gone\n")
        assert left(tmp_path) == []


# What it answers


async def test_a_cluster_that_got_ready_ends_with_zero_and_tells_it_as_json(tmp_path: Path) -> None:
    """For scripts: the last but one line is the verdict."""
    arguments = ("run", SAMPLES / "raycluster.yaml", "--node", "scripted", "--output", "json")
    async with manta(tmp_path, *arguments) as run:
        code, output, errors = await run.ended()

    lines = [json.loads(line) for line in output.splitlines()]
    assert code == 0, errors
    assert [line["code"] for line in lines if line["what"] == "end"] == [0]
    assert any(line["text"] == "ready, 1 of 1 workers ready" for line in lines)


async def test_a_cluster_that_is_kept_stays_until_ctrl_c(tmp_path: Path) -> None:
    """And its end is an interruption."""
    async with manta(tmp_path, *scripted("run", "--keep", SAMPLES / "raycluster.yaml")) as run:
        await run.line_with("kept running")

        run.process.send_signal(signal.SIGINT)
        code, _, _ = await run.ended()

        assert code == 130


async def test_a_wrong_field_is_shown_with_its_line(tmp_path: Path) -> None:
    """In the server's words: it knows every field."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((SAMPLES / "rayjob.yaml").read_text().replace("shutdownAfterJobFinishes", "shutdownAfterJob"))

    async with manta(tmp_path, *scripted("run", wrong)) as run:
        code, _, errors = await run.ended()

    assert code == 1
    assert 'unknown field "spec.shutdownAfterJob"' in errors
    assert f"{wrong}:23\n      shutdownAfterJob: true\n" in errors


async def test_a_job_that_the_operator_finds_invalid_ends_with_one_and_its_reason(tmp_path: Path) -> None:
    """The schema allows it; the rules do not."""
    wrong = tmp_path / "wrong.yaml"
    text = (SAMPLES / "rayjob.yaml").read_text()
    wrong.write_text(text.replace("shutdownAfterJobFinishes: true", "ttlSecondsAfterFinished: 10"))

    async with manta(tmp_path, *scripted("run", wrong)) as run:
        code, output, _ = await run.ended()

    assert code == 1
    assert "the job failed: ValidationFailed" in output


async def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    """With the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with manta(tmp_path, *scripted("up", "--port", str(port))) as up:
            code, _, errors = await up.ended()

    assert code == 2
    assert f"port {port} on 127.0.0.1 is in use; choose another one, or 0 for any that is free" in errors


async def test_a_machine_without_namespaces_is_told_what_to_allow(tmp_path: Path) -> None:
    """A user namespace that may have no network namespace below it is such a machine."""
    program = ("-c", WITHOUT_NETWORK_NAMESPACES)
    async with manta(tmp_path, *scripted("run", SAMPLES / "rayjob.yaml"), program=program) as run:
        code, _, errors = await run.ended()

    assert code == 1
    assert errors.startswith("manta: this machine does not let root make namespaces")
    assert "user.max_user_namespaces" in errors
    assert left(tmp_path) == []


async def test_kubectl_reaches_what_manta_up_applied(tmp_path: Path, kubectl: Path) -> None:
    """Through the kubeconfig that it prints."""
    config = tmp_path / "config"
    arguments = ("up", "--port", "0", "--apply", SAMPLES / "raycluster.yaml", "--kubeconfig", config)
    async with manta(tmp_path, *scripted(*arguments)) as up:
        told = await up.line_with("export KUBECONFIG=")
        await up.line_with("ready; Ctrl-C ends it")

        asked = await asyncio.create_subprocess_exec(
            *(str(kubectl), "get", "rayclusters", "-o", "name"),
            env={**os.environ, "KUBECONFIG": told.strip().partition("=")[2]},
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await asked.communicate()

        assert answer.decode() == "raycluster.ray.io/playground\n"


@pytest.fixture
def kubectl() -> Path:
    """The one that the conformance tests built."""
    found = sorted((Path.home() / ".cache" / "manta" / "kube").glob("v1.*/**/kubectl"))
    if not found:
        pytest.skip("there is no kubectl in the cache; `make conformance` builds it, once")
    return found[-1]


async def test_the_version_is_told_without_loading_much() -> None:
    """Nothing that takes long, so that it answers at once."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-X", "importtime", "-m", "manta", "--version"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, loaded = await process.communicate()

    assert output.startswith(b"manta ")
    assert not any(heavy in loaded for heavy in (b"aiohttp", b"typer", b"pydantic", b"rich", b"localcluster"))
