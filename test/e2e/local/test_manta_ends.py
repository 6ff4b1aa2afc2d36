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
from pathlib import Path

import pytest

from localcluster.testing.celled import nothing_lives
from localcluster.testing.manta_process import SAMPLES, left, manta, next_start_works, scripted

pytestmark = [pytest.mark.local, pytest.mark.timeout(120)]

PYTHON = sys.executable

# What appears in the folder of a run while it starts, one after the other.
MOMENTS = (
    *("token", "crds.json", "images.sock", "cluster.log", "operator.log"),
    *("api.sock", "dial.sock", "kubeconfig", "operator.kubeconfig", "ready", "user.kubeconfig"),
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


# How it starts and ends


INTERRUPTED = [
    *(pytest.param(signal.SIGINT, 130, moment, id=f"INT-{moment}") for moment in MOMENTS),
    *(pytest.param(signal.SIGTERM, 143, moment, id=f"TERM-{moment}") for moment in ("token", "images.sock", "ready")),
    pytest.param(signal.SIGHUP, 129, "operator.log", id="HUP-operator.log"),
]


@pytest.mark.parametrize(("number", "code", "moment"), INTERRUPTED)
async def test_a_start_that_is_interrupted_leaves_nothing(
    number: signal.Signals, code: int, moment: str, tmp_path: Path
) -> None:
    """Process, namespace or file: at every step of the start."""
    async with manta(tmp_path, *scripted("run", SAMPLES / "rayjob.yaml")) as run:
        await run.reached(moment)
        traces = run.traces()

        run.process.send_signal(number)
        ended, _, errors = await run.ended()

        assert ended == code, errors
        assert errors == "\ninterrupted; everything that was started is gone\n"
        await nothing_lives(tmp_path, traces)
        assert left(tmp_path) == []


@pytest.mark.parametrize("moment", ["token", "images.sock", "cluster.log", "api.sock", "kubeconfig", "user.kubeconfig"])
async def test_a_start_that_is_killed_leaves_nothing_alive_and_the_next_one_cleans_up(
    moment: str, tmp_path: Path
) -> None:
    """The kernel ends what lives; the folder that stays goes with the next start."""
    async with manta(tmp_path, *scripted("run", SAMPLES / "rayjob.yaml")) as run:
        await run.reached(moment)
        traces = run.traces()

        run.process.kill()
        await run.ended()

        await nothing_lives(tmp_path, traces)
    await next_start_works(tmp_path)


PARTS = [
    pytest.param("launcher", "cluster.log", id="launcher-cluster.log"),
    pytest.param("init", "operator.log", id="init-operator.log"),
    pytest.param("local cluster", "api.sock", id="local cluster-api.sock"),
    pytest.param("launcher", "kubeconfig", id="launcher-kubeconfig"),
]


@pytest.mark.parametrize(("victim", "moment"), PARTS)
async def test_a_start_of_which_a_part_is_killed_ends_with_a_sentence(victim: str, moment: str, tmp_path: Path) -> None:
    """Exit code 1, no traceback, and nothing is left."""
    async with manta(tmp_path, *scripted("run", SAMPLES / "rayjob.yaml")) as run:
        await run.reached(moment)
        traces = run.traces()

        os.kill(run.part(victim), signal.SIGKILL)
        code, _, errors = await run.ended()

        assert code == 1
        assert errors.startswith("manta: the local cluster")
        assert "Traceback" not in errors
        await nothing_lives(tmp_path, traces)
        assert left(tmp_path) == []


@pytest.mark.parametrize("victim", ["launcher", "init", "local cluster"])
async def test_the_death_of_a_part_ends_manta_up_and_says_so(victim: str, tmp_path: Path) -> None:
    """Exit code 1, and a sentence rather than a traceback."""
    async with manta(tmp_path, *scripted("up", "--port", "0")) as up:
        await up.line_with("ready; Ctrl-C ends it")
        traces = up.traces()

        os.kill(up.part(victim), signal.SIGKILL)
        code, _, errors = await up.ended()

        assert code == 1
        assert errors.startswith("manta: ")
        assert "Traceback" not in errors
        await nothing_lives(tmp_path, traces)
        assert left(tmp_path) == []


async def test_manta_up_ends_well_with_ctrl_c(tmp_path: Path) -> None:
    """It is how it is meant to end."""
    async with manta(tmp_path, *scripted("up", "--port", "0")) as up:
        await up.line_with("ready; Ctrl-C ends it")

        up.process.send_signal(signal.SIGINT)
        code, _, errors = await up.ended()

        assert (code, errors) == (0, "\neverything is gone\n")
        assert left(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_run_has_its_end_as_json(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """For scripts: the last line has exit code and reason, and nothing stands elsewhere."""
    arguments = ("run", SAMPLES / "rayjob.yaml", "--node", "scripted", "--output", "json")
    async with manta(tmp_path, *arguments) as run:
        await run.reached("ready")

        run.process.send_signal(number)
        ended, output, errors = await run.ended()

    *_, end = (json.loads(line) for line in output.splitlines())
    assert (ended, errors) == (code, "")
    assert end == {"what": "end", "code": code, "text": "interrupted; everything that was started is gone"}


async def test_manta_up_leaves_neither_its_kubeconfig_nor_a_folder_for_it(tmp_path: Path) -> None:
    """`--kubeconfig` may name a folder that is not there."""
    config = tmp_path / "new" / "dir" / "config"
    arguments = ("up", "--port", "0", "--node", "scripted", "--output", "json", "--kubeconfig", config)
    async with manta(tmp_path, *arguments) as up:
        await up.line_with("ready; Ctrl-C ends it")
        written = config.exists()

        up.process.send_signal(signal.SIGINT)
        code, output, _ = await up.ended()

    *_, end = (json.loads(line) for line in output.splitlines())
    assert (code, end["code"], written) == (0, 0, True)
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


async def test_everything_wrong_with_a_file_is_shown_with_its_lines_and_nothing_starts(tmp_path: Path) -> None:
    """What the schema does not know, and what only the operator's rules see."""
    wrong = tmp_path / "wrong.yaml"
    text = (SAMPLES / "rayjob.yaml").read_text()
    wrong.write_text(text.replace("shutdownAfterJobFinishes: true", "shutDown: true\n  ttlSecondsAfterFinished: 10"))

    async with manta(tmp_path, *scripted("run", wrong)) as run:
        code, output, errors = await run.ended()

    assert (code, output) == (2, "")
    assert "manta: nothing was started, 2 things are wrong" in errors
    assert f"{wrong}:23:3: spec.shutDown: there is no such field\n      shutDown: true\n      ^" in errors
    assert f"{wrong}:24:3: spec.ttlSecondsAfterFinished: " in errors
    assert left(tmp_path) == [wrong]


async def test_a_name_that_is_taken_ends_with_one(tmp_path: Path) -> None:
    """What only the server can know, with its words."""
    twice = tmp_path / "twice.yaml"
    twice.write_text("---\n".join([(SAMPLES / "raycluster.yaml").read_text()] * 2))

    async with manta(tmp_path, *scripted("run", twice)) as run:
        code, _, errors = await run.ended()

    assert code == 1
    assert 'manta: RayCluster default/playground is refused: rayclusters.ray.io "playground" already exists' in errors


async def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    """With the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with manta(tmp_path, *scripted("up", "--port", str(port))) as up:
            code, output, errors = await up.ended()

    assert code == 2
    assert f"port {port} on 127.0.0.1 is in use; choose another one, or 0 for any that is free" in errors
    assert output == ""


async def test_a_machine_without_namespaces_is_told_what_to_allow(tmp_path: Path) -> None:
    """A user namespace that may have no network namespace below it is such a machine, where only a cell will do."""
    program = ("-c", WITHOUT_NETWORK_NAMESPACES)
    arguments = scripted("run", SAMPLES / "rayjob.yaml", "--isolation", "cell")
    async with manta(tmp_path, *arguments, program=program) as run:
        code, _, errors = await run.ended()

    who = "root"  # of its user namespace, whoever runs this
    assert code == 1
    assert errors.startswith(f"manta: this machine does not let {who} make namespaces")
    assert "user.max_user_namespaces" in errors
    assert "--isolation shared-host" in errors
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
