"""A node that is killed, at whatever moment, leaves nothing that runs, and the next start takes away the rest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hack.kube import cgroups
from hack.kube.bare import PREFIX, NodeRefused, bare, sweep

pytestmark = [pytest.mark.e2e, pytest.mark.root]
ROOT = Path(__file__).parent.parent.parent.parent
GONE_SECONDS = 10.0
OPENS_A_NODE = """
import signal, sys
from hack.kube.bare import bare
with bare(sys.stderr) as node:
    print(node)
    signal.pause()
"""

# What the runner says when it has come so far.
MOMENTS = ("programs and images made", "control plane up", "images of the node loaded", "node Ready", "DNS Ready")


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """State folders of this test alone: others may run nodes, too. A short path, since sockets stand in it."""
    with tempfile.TemporaryDirectory(prefix="manta-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield Path(folder)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_node_that_is_killed_leaves_nothing_after_the_next_sweep(own_folder: Path, moment: str) -> None:
    mounts, links = Path("/proc/self/mounts").read_text(), set(Path("/sys/class/net").iterdir())
    settings = machine_settings()
    with subprocess.Popen(
        [sys.executable, "-m", "hack.kube.bare"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stderr is not None
        lines = iter(runner.stderr.readline, "")
        assert any(moment in line for line in lines)
        gone = ending_of(living())

        runner.send_signal(signal.SIGKILL)

    gone()
    sweep()
    assert list(own_folder.glob(f"{PREFIX}*")) == []
    assert folders() == set()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert set(Path("/sys/class/net").iterdir()) == links
    assert machine_settings() == settings


def test_a_node_ends_with_the_test_run_that_opened_it(own_folder: Path) -> None:
    """A killed test run cleans nothing up; the kernel ends what it had started."""
    with subprocess.Popen(
        [sys.executable, "-uc", OPENS_A_NODE], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        assert "Node(" in run.stdout.readline()
        gone = ending_of(living())

        run.send_signal(signal.SIGKILL)

    gone()
    sweep()
    assert list(own_folder.glob(f"{PREFIX}*")) == []
    assert folders() == set()


def test_a_folder_whose_path_is_too_long_for_sockets_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))

    with (tmp_path / "log").open("w") as log, pytest.raises(NodeRefused), bare(log):
        pass

    assert "set TMPDIR to a shorter one" in (tmp_path / "log").read_text()
    assert list(deep.iterdir()) == []


def test_a_node_that_runs_is_not_swept(own_folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "hack.kube.bare"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as runner:
        assert runner.stdout is not None
        told = runner.stdout.readline()

        found = sweep()

        assert found == []
        assert Path(told.strip().partition("=")[2]).exists()
        runner.send_signal(signal.SIGTERM)
    assert runner.returncode == 0
    assert list(own_folder.glob(f"{PREFIX}*")) == []
    assert folders() == set()


def living() -> set[int]:
    """The processes in the cgroups of nodes of this test."""
    return {
        int(line) for folder in folders() for path in folder.rglob("cgroup.procs") for line in path.read_text().split()
    }


def folders() -> set[Path]:
    """The cgroups of nodes whose state folder is this test's."""
    mine = {path.name for path in Path(os.environ["TMPDIR"]).glob(f"{PREFIX}*")} | KNOWN
    KNOWN.update(mine)
    trees = cgroups.trees(Path("/proc/self/mounts").read_text())
    return {tree.folder / name for tree in trees for name in mine if (tree.folder / name).exists()}


KNOWN: set[str] = set()


def ending_of(pids: set[int]) -> Callable[[], None]:
    """Waits until all of them have ended, once called; fails when one is still there after GONE_SECONDS."""
    descriptors = []
    for pid in pids:
        try:
            descriptors.append(os.pidfd_open(pid))
        except ProcessLookupError:  # it ended just now
            continue

    def wait() -> None:
        for descriptor in descriptors:
            ready, _, _ = select.select([descriptor], [], [], GONE_SECONDS)
            assert ready, "a process of the killed node lives on"
            os.close(descriptor)

    return wait


def machine_settings() -> dict[str, str]:
    """Settings of the whole machine that a kubelet or kube-proxy likes to change."""
    names = ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "net/ipv4/ip_forward")
    return {name: (Path("/proc/sys") / name).read_text() for name in names}
