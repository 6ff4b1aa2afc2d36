"""What stands in for curl and wget: which program it becomes, and what it says when there is none."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from localcluster.node.shared.hook import FAILED, POD
from localcluster.node.shared.standin import NOT_FOUND, arguments
from localcluster.testing.hooked import HookedPod, Neighbours, answering


@pytest.fixture
def pod(tmp_path: Path) -> HookedPod:
    return Neighbours(tmp_path).pod("one", 5)


def stand_in(pod: HookedPod) -> Path:
    """For wget, which every pod has."""
    return Path(pod.variables()["PATH"].split(":")[0]) / "wget"


def a_program(folder: Path, name: str) -> Path:
    """That says what it was told."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text('#!/bin/sh\necho real "$@"\n')
    (folder / name).chmod(0o755)
    return folder


def called(
    pod: HookedPod, program: Path, words: Sequence[str], path: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    variables = pod.variables() | {"PATH": path}
    return subprocess.run(
        [program, *words], env=variables, cwd=cwd, capture_output=True, text=True, check=False, timeout=20
    )


def test_the_real_program_is_the_next_in_path_and_never_a_stand_in(pod: HookedPod, tmp_path: Path) -> None:
    """Which would call itself for ever: by its folder's other names, too, as the current one."""
    own, real = stand_in(pod).parent, a_program(tmp_path / "real", "wget")

    for path in (f"{own}:{real}", f"{real}:{own}", f"{own}/:{own}/../bin::{real}"):
        ended = called(pod, own / "wget", ["one:80"], path, cwd=own)
        assert (ended.stdout, ended.returncode) == (f"real {pod.address}:80\n", 0), path


def test_without_a_real_wget_ours_asks(pod: HookedPod) -> None:
    """As a probe wants it: whoever is asked answers."""
    with pod.running(answering("ours", 18002)):
        ended = called(pod, stand_in(pod), ["-q", "-O-", "http://localhost:18002/"], "/nowhere")

    assert (ended.stdout, ended.returncode) == ("ours", 0)


def test_another_program_that_there_is_not_is_not_found(pod: HookedPod) -> None:
    """By the exit code that shells have for it, and in a sentence."""
    curl = stand_in(pod).with_name("curl")
    curl.write_text(stand_in(pod).read_text())
    curl.chmod(0o755)

    ended = called(pod, curl, ["http://localhost:80/"], "/nowhere")

    assert (ended.stdout, ended.returncode, ended.stderr) == ("", NOT_FOUND, "curl: not found on this machine\n")


def test_a_pod_without_its_description_asks_nobody(pod: HookedPod, tmp_path: Path) -> None:
    """The machine's localhost would answer for it."""
    real = a_program(tmp_path / "real", "wget")
    pod.file.write_text("{")

    ended = called(pod, stand_in(pod), ["http://localhost:80/"], str(real))

    assert (ended.stdout, ended.returncode) == ("", FAILED)
    assert ended.stderr.startswith(f"wget: this pod's description {pod.file} cannot be read")


def test_outside_of_a_pod_it_is_the_program_that_it_stands_for(pod: HookedPod, tmp_path: Path) -> None:
    """Nothing is said for it then."""
    real = a_program(tmp_path / "real", "wget")
    variables = pod.variables() | {"PATH": str(real)}
    del variables[POD]

    said = subprocess.run(
        [stand_in(pod), "http://localhost:80/"], env=variables, capture_output=True, text=True, check=True
    )

    assert said.stdout == "real http://localhost:80/\n"


def test_one_port_of_the_pod_beside_other_numbers_makes_localhost_the_pods(pod: HookedPod) -> None:
    """`nc -w 2 localhost 8265`: two seconds are no port."""
    with socket.create_server((pod.address, 0)) as server:
        port = str(server.getsockname()[1])

        assert arguments(pod.pod, ["-w", "2", "localhost", port]) == ["-w", "2", pod.address, port]
