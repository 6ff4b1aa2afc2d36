"""How the hook gets into a pod, and what stands in for programs there."""

from __future__ import annotations

import socket
import subprocess
import venv
from pathlib import Path

from localcluster.node.shared.hook import FAILED, HOOK, POD
from localcluster.node.shared.installing import PTH, ROOT, hook_into
from localcluster.node.shared.standin import arguments
from localcluster.testing.hooked import Neighbours, answering


def an_environment(folder: Path) -> Path:
    venv.create(folder, symlinks=True)
    return folder


def test_an_environment_that_we_made_has_the_hook_whatever_pythonpath_a_job_brings(tmp_path: Path) -> None:
    """Installing it twice changes nothing."""
    environment = an_environment(tmp_path / "environment")
    hook_into(environment)
    [file] = environment.glob(f"lib/*/site-packages/{PTH}")
    before = file.stat()
    hook_into(environment)
    assert file.stat() == before

    one = Neighbours(tmp_path).pod("one", 5, {"VIRTUAL_ENV": str(environment)})
    own = one.variables() | {"PYTHONPATH": str(tmp_path)}
    code = "import socket; print(socket.gethostname())"
    python = str(environment / "bin" / "python")
    assert subprocess.run([python, "-c", code], env=own, capture_output=True, text=True, check=True).stdout == "one\n"
    del own[POD]
    assert subprocess.run([python, "-c", code], env=own, capture_output=True, text=True, check=True).stdout != "one\n"


def test_the_hook_of_an_environment_is_that_of_the_run_that_uses_it(tmp_path: Path) -> None:
    """Two checkouts share the environments of a user: neither may put its own code into the pods of the other."""
    environment = an_environment(tmp_path / "environment")
    hook_into(environment)
    [file] = environment.glob(f"lib/*/site-packages/{PTH}")
    other = tmp_path / "other" / "localcluster" / "node" / "shared" / "hook"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("def activate():\n    print('of the other')\n")
    own = Neighbours(tmp_path).pod("one", 5).variables()
    del own["PYTHONPATH"]

    python = [str(environment / "bin" / "python"), "-c", "pass"]
    said = [
        subprocess.run(python, env=own | root, capture_output=True, text=True, check=True).stdout
        for root in ({}, {HOOK: str(tmp_path / "other")})
    ]

    assert [set(one.splitlines()) for one in said] == [set(), {"of the other"}]  # Python may read the file twice
    assert str(ROOT) not in file.read_text()


def test_an_environment_in_which_the_hook_cannot_run_does_not_run_at_all(tmp_path: Path) -> None:
    """A Python that is too old, a manta that was taken away: Python itself would print an error and go on."""
    environment = an_environment(tmp_path / "environment")
    hook_into(environment)
    [file] = environment.glob(f"lib/*/site-packages/{PTH}")
    file.write_text(file.read_text().replace("from localcluster", "from nowhere"))
    variables = Neighbours(tmp_path).pod("one", 5).variables()
    del variables["PYTHONPATH"]
    python = str(environment / "bin" / "python")
    ended = subprocess.run([python, "-c", "print('ran')"], env=variables, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (FAILED, "", 1)
    assert "nowhere" in ended.stderr


def test_another_environment_is_given_the_hook_from_outside(tmp_path: Path) -> None:
    """It is the user's: nothing is written into it."""
    environment = an_environment(tmp_path / "environment")
    before = sorted(environment.rglob("*"))
    one = Neighbours(tmp_path).pod("one", 5, {"VIRTUAL_ENV": str(environment), "PYTHONPATH": "/else"})
    assert one.variables()["PYTHONPATH"].split(":")[1:] == ["/else"]
    said = one.run(str(environment / "bin" / "python"), "-c", "import socket; print(socket.gethostname())")
    assert said.stdout == "one\n"
    assert [one for one in sorted(environment.rglob("*")) if "__pycache__" not in one.parts] == before


def test_a_stand_in_says_where_names_and_localhost_lead(tmp_path: Path) -> None:
    """At the moment of the call; a name on its own, too."""
    cluster = Neighbours(tmp_path)
    one = cluster.pod("one", 5, mounts=[["/mnt", str(tmp_path), True]])
    cluster.names({"redis.ns.svc.cluster.local": ["127.9.9.9"]})
    said = ["-h", "redis", "-d", "@/mnt/x", "http://localhost:80/", "redis:6379", "nobody"]
    told = ["-h", "127.9.9.9", "-d", f"@{tmp_path}/x", f"http://{one.address}:80/", "127.9.9.9:6379", "nobody"]
    assert arguments(one.pod, said) == told


def test_localhost_on_its_own_is_the_pod_if_it_listens_at_the_port(tmp_path: Path) -> None:
    """Otherwise it may be another program's, which only the machine's localhost reaches."""
    one = Neighbours(tmp_path).pod("one", 5)
    with socket.create_server((one.address, 0)) as server:
        port = str(server.getsockname()[1])
        assert arguments(one.pod, ["-z", "localhost", port]) == ["-z", one.address, port]
    assert arguments(one.pod, ["-z", "localhost", port]) == ["-z", "localhost", port]


def test_wget_asks_the_pod_and_not_the_machine(tmp_path: Path) -> None:
    """A probe's own words; whichever wget the machine has, or ours."""
    one = Neighbours(tmp_path).pod("one", 5)
    with one.running(answering("success", 18001)):
        asked = one.run("bash", "-c", "wget --tries 1 -T 2 -q -O- http://localhost:18001/x | grep success")
        assert (asked.returncode, asked.stdout) == (0, "success\n")


def test_a_stand_in_becomes_the_program_that_is_next_in_path(tmp_path: Path) -> None:
    """With its exit code."""
    (tmp_path / "bin").mkdir()
    real = tmp_path / "bin" / "wget"
    real.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    real.chmod(0o755)
    one = Neighbours(tmp_path).pod("one", 5)
    variables = one.variables()
    variables["PATH"] = variables["PATH"].replace(":", f":{tmp_path / 'bin'}:", 1)
    ended = subprocess.run(
        ["wget", "one:80"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        executable=f"{variables['PATH'].split(':')[0]}/wget",
    )
    assert (ended.returncode, ended.stdout) == (7, f"{one.address}:80\n")
