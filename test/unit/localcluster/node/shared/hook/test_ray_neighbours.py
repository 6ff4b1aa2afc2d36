"""What Ray sees of others in a pod: the head's folder where it has no node of its own, and no other container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from localcluster.node.shared.hook import POD
from localcluster.node.shared.hook.ray import patch_psutil, patch_utils
from localcluster.testing.hooked import Neighbours


def a_module(**functions: Any) -> Any:
    module = ModuleType("module")
    vars(module).update(functions)
    return module


@pytest.mark.parametrize(
    ("words", "sockets"),
    [(["/bin/ray", "status"], []), (["/bin/other", "start"], []), (["driver.py"], ["plasma_store"])],
    ids=["another command", "another program", "no raylet yet"],
)
def test_who_has_no_node_in_its_pod_uses_the_heads_folder(
    words: list[str], sockets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the cluster's session there."""
    pod = Neighbours(tmp_path).pod("one", 5).pod
    folder = Path(pod.temporary) / "ray" / "session_latest" / "sockets"
    folder.mkdir(parents=True)
    for name in sockets:
        (folder / name).touch()
    utils = a_module(internal_kv_get_with_retry=lambda gcs, key, namespace: b"the head's")
    patch_utils(pod, utils)
    monkeypatch.setattr(sys, "argv", words)

    assert utils.internal_kv_get_with_retry(None, b"temp_dir", None) == b"the head's"


def test_a_container_whose_description_is_called_alike_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is a process that may not be asked, as init for most."""
    hooked = Neighbours(tmp_path).pod("one", 5)
    monkeypatch.setenv(POD, str(hooked.file))
    alike = subprocess.Popen(
        ["bash", "-c", "echo up; exec sleep 60"],
        env={POD: f"{hooked.file}.old"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert alike.stdout is not None
    with alike:
        alike.stdout.readline()
        psutil = a_module(process_iter=lambda: (SimpleNamespace(pid=pid) for pid in (alike.pid, 1)))
        patch_psutil(hooked.pod, psutil)
        seen = list(psutil.process_iter())
        alike.kill()

    assert seen == []
