"""What a pod's interpreters and shells are once the hook is in: theirs in all else."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

from localcluster.node.shared.hook import HOOK, POD
from localcluster.node.shared.installing import ROOT, hook_into, tools_into
from localcluster.testing.hooked import PYTHON, Neighbours


def test_stand_ins_come_first_in_path_and_the_hook_in_pythonpath(tmp_path: Path) -> None:
    """All that was there stays behind them; an empty entry would be the working directory."""
    tools = tools_into(tmp_path)
    given = {"PATH": "/a:/b", "PYTHONPATH": "/c:/d", "OTHER": "x"}

    full, bare = tools.environment(given, Path("/pod.json")), tools.environment({}, Path("/pod.json"))

    assert full == {
        "PATH": f"{tmp_path}/bin:/a:/b",
        "PYTHONPATH": f"{tmp_path}/python:/c:/d",
        "OTHER": "x",
        POD: "/pod.json",
        HOOK: str(ROOT),
    }
    assert (bare["PATH"], bare["PYTHONPATH"]) == (f"{tmp_path}/bin:{os.defpath}", f"{tmp_path}/python")


def test_a_login_shell_has_the_containers_path_whatever_is_in_it(tmp_path: Path) -> None:
    """The machine's /etc/profile sets another one."""
    path = f"/a b:/c'd:$HOME:{os.environ['PATH']}"
    (tmp_path / ".bash_profile").write_text(tools_into(tmp_path).login({"PATH": path}))

    said = subprocess.run(
        ["bash", "-lc", 'echo "$PATH"'],
        env={"HOME": str(tmp_path), "PATH": "/x"},
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == f"{path}\n"


def test_there_are_stand_ins_for_what_the_machine_has_and_for_wget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that asks whether there is a curl must be told the truth."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "curl").touch(0o755)
    monkeypatch.setenv("PATH", str(real))

    tools_into(tmp_path)

    assert {file.name for file in (tmp_path / "bin").iterdir()} == {"wget", "curl"}
    assert all(os.access(file, os.X_OK) for file in (tmp_path / "bin").iterdir())


def test_mantas_own_folder_is_in_no_pods_path(tmp_path: Path) -> None:
    """A job's `import api` would find ours."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = str(environment / "bin" / "python")
    one = Neighbours(tmp_path).pod("one", 5)
    code = f"import socket, sys; print(socket.gethostname(), {str(ROOT)!r} in sys.path)"

    by_sitecustomize = one.run(python, "-c", code).stdout
    hook_into(environment)
    by_pth = one.run(python, "-Ic", code).stdout

    assert (by_sitecustomize, by_pth) == ("one False\n", "one False\n")


def test_outside_of_a_pod_an_environment_with_the_hook_is_as_it_was(tmp_path: Path) -> None:
    """It may be the user's own, in which he works."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    hook_into(environment)
    code = "import sys; print([name for name in sys.modules if name.startswith('localcluster')])"

    ended = subprocess.run(
        [environment / "bin" / "python", "-c", code], env={}, capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\n", "")


def test_the_hook_is_there_before_whatever_else_an_environment_starts(tmp_path: Path) -> None:
    """A .pth file of a package may take functions that are to be changed."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    [packages] = environment.glob("lib/python3.*/site-packages")
    (packages / "a-package.pth").write_text(
        "import builtins, socket; vars(builtins).setdefault('taken', socket.gethostname)\n"
    )
    hook_into(environment)

    said = Neighbours(tmp_path).pod("one", 5).run(str(environment / "bin" / "python"), "-Ic", "print(taken())")

    assert said.stdout == "one\n"


def test_what_is_wrong_with_a_users_sitecustomize_is_told_as_always(tmp_path: Path) -> None:
    """And who has none may still ask for it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import nowhere")
    cluster = Neighbours(tmp_path)
    wrong, without = cluster.pod("one", 5, {"PYTHONPATH": str(tmp_path / "own")}), cluster.pod("other", 6)

    assert "No module named 'nowhere'" in wrong.run(PYTHON, "-c", "").stderr
    assert without.python("import sitecustomize; print(sitecustomize.__name__)") == "sitecustomize"


def test_a_stand_in_runs_nothing_of_the_users(tmp_path: Path) -> None:
    """What he sets for his own interpreters would cost each probe, and print into its output."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("print('theirs', flush=True)")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "wget").write_text("#!/bin/sh\necho real\n")
    (tmp_path / "bin" / "wget").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    one = Neighbours(tmp_path).pod("one", 5, {"PYTHONPATH": str(tmp_path / "own"), "PATH": path})

    assert one.run("bash", "-c", "wget x").stdout == "real\n"
