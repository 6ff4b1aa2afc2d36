"""Interpreters with the hook, as processes of this machine. No Ray."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from localcluster.node.shared.hook import FAILED, POD
from localcluster.testing.hooked import PYTHON, Neighbours

PORT = 18000

SERVER = f"""
import socket
with socket.create_server(({{host!r}}, {PORT})) as server:
    print("ready")
    while True:
        there, _ = server.accept()
        there.sendall({{name!r}}.encode())
        there.close()
"""
ASK = """
import socket
with socket.create_connection(({host!r}, {port}), 5) as there:
    print(there.recv(100).decode())
"""


def answer(address: str, port: int = PORT) -> str:
    with socket.create_connection((address, port), 5) as there:
        return there.recv(100).decode()


@pytest.mark.spec("ray-side:S10-21")
def test_two_pods_have_the_same_port_each_at_its_own_address(tmp_path: Path) -> None:
    """A server on all addresses is on its pod's alone."""
    cluster = Neighbours(tmp_path)
    one, other = cluster.pod("one", 5), cluster.pod("other", 6)
    with one.running(SERVER.format(host="0.0.0.0", name="one")), other.running(SERVER.format(host="", name="other")):
        assert (answer(one.address), answer(other.address)) == ("one", "other")


def test_localhost_is_the_pods_own(tmp_path: Path) -> None:
    """Both say localhost, and none meets the other."""
    cluster = Neighbours(tmp_path)
    one, other = cluster.pod("one", 5), cluster.pod("other", 6)
    with (
        one.running(SERVER.format(host="127.0.0.1", name="one")),
        other.running(SERVER.format(host="localhost", name="other")),
    ):
        said = [pod.python(ASK.format(host="localhost", port=PORT)) for pod in (one, other)]
        assert said == ["one", "other"]


def test_a_real_listener_on_the_loopback_is_reached_where_the_pod_has_none(tmp_path: Path) -> None:
    """Ray's C++ keeps some there."""
    one = Neighbours(tmp_path).pod("one", 5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('localhost', {port}), 5).close(); print('there')"
        assert one.python(code) == "there"


@pytest.mark.spec("ray-side:S10-11")
def test_a_service_is_found_by_its_names_and_its_moved_port(tmp_path: Path) -> None:
    """The short one is of the pod's namespace; whoever connects need not know that a port has moved."""
    cluster = Neighbours(tmp_path)
    one, other = cluster.pod("one", 5), cluster.pod("other", 6)
    cluster.names({"svc.ns.svc.cluster.local": [one.address], "svc.else.svc.cluster.local": ["127.0.0.9"]})
    cluster.moved(one.address, 6379, PORT)
    with one.running(SERVER.format(host="0.0.0.0", name="one")):
        for host in ("svc", "svc.ns", "svc.ns.svc", "svc.ns.svc.cluster.local"):
            assert other.python(ASK.format(host=host, port=6379)) == "one"


def test_over_udp_a_name_is_found_as_well(tmp_path: Path) -> None:
    """Whether who sends connects before, or says the name each time."""
    cluster = Neighbours(tmp_path)
    one = cluster.pod("one", 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((f"{cluster.block}.0.7", 0))
        server.settimeout(5)
        port = server.getsockname()[1]
        cluster.names({"statsd.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
        one.python(f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"by name", ("statsd", {port}))
    sock.sendto(b"with flags", 0, ("statsd", {port}))
    sock.connect(("statsd", {port}))
    sock.send(b"connected")
""")
        assert [server.recv(100) for _ in range(3)] == [b"by name", b"with flags", b"connected"]


def test_a_name_that_the_cluster_does_not_have_is_unknown_at_once(tmp_path: Path) -> None:
    """The machine's name server is not asked."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = """
import socket
try:
    socket.getaddrinfo("nobody.ns.svc.cluster.local", 80)
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""
    assert one.python(code) == "True"


@pytest.mark.spec("ray-side:S10-24")
def test_names_that_come_later_are_seen_by_who_runs_already(tmp_path: Path) -> None:
    """The table is read again when it was replaced."""
    cluster = Neighbours(tmp_path)
    one = cluster.pod("one", 5)
    code = """
import socket
print("ready")
input()
print(socket.gethostbyname("late"))
"""
    with one.running(code) as process:
        cluster.names({"late.ns.svc.cluster.local": ["127.9.9.9"]})
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == "127.9.9.9"


def test_a_pod_knows_its_own_name(tmp_path: Path) -> None:
    """As its /etc/hosts would tell."""
    one = Neighbours(tmp_path).pod("one", 5)
    assert one.python("import socket; print(socket.gethostname(), socket.gethostbyname('one'))") == f"one {one.address}"


@pytest.mark.spec("ray-side:S10-24")
def test_a_server_on_its_address_and_on_the_loopback_is_one_server(tmp_path: Path) -> None:
    """Both are bound before any listens, as asyncio does it."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = f"""
import asyncio

async def answer(reader, writer):
    writer.write(b"here")
    writer.close()

async def main():
    server = await asyncio.start_server(answer, ["{one.address}", "127.0.0.1"], {PORT})
    print("ready")
    await server.serve_forever()

asyncio.run(main())
"""
    with one.running(code):
        assert answer(one.address) == "here"
        assert one.python(ASK.format(host="127.0.0.1", port=PORT)) == "here"


def test_a_port_that_the_process_has_already_is_taken(tmp_path: Path) -> None:
    """Who looks for a free port by binding must not be told that its own is free."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = f"""
import socket
first = socket.create_server(("0.0.0.0", {PORT}))
for host in ("0.0.0.0", "127.0.0.1"):
    try:
        socket.create_server((host, {PORT}))
    except OSError as error:
        print(error.errno)
"""
    assert one.python(code).split() == ["98", "98"]


def test_a_socket_that_nobody_has_any_more_gives_its_port_back(tmp_path: Path) -> None:
    """Many look for a free port by binding, and leave it to Python to close. The port is this test's alone: others
    leave connections that linger, and no SO_REUSEADDR is set here that would not mind them."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = f"""
import socket
def tried():
    sock = socket.socket()
    sock.bind(("", {PORT + 7}))
tried()
tried()
print("free")
"""
    assert one.python(code) == "free"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_a_server_on_all_ipv6_addresses_is_at_the_pods(tmp_path: Path) -> None:
    """As an IPv4 address in an IPv6 socket."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = f"""
import socket
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6)
print("ready")
there, _ = server.accept()
there.sendall(b"six")
there.close()
input()
"""
    with one.running(code):
        assert answer(one.address) == "six"


def test_a_port_of_chance_is_left_alone(tmp_path: Path) -> None:
    """Whoever binds 0 tells others which one it got, and on which address it said."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = "import socket; print(socket.create_server(('0.0.0.0', 0)).getsockname()[0])"
    assert one.python(code) == "0.0.0.0"


def test_a_server_may_name_its_pod(tmp_path: Path) -> None:
    """`socket.gethostname()` is an address, as in a pod."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = "import socket; print(socket.create_server((socket.gethostname(), 0)).getsockname()[0])"
    assert one.python(code) == one.address


def test_a_module_that_is_only_looked_for_is_patched_when_it_comes(tmp_path: Path) -> None:
    """Many programs ask whether there is one; and a module tells of its own loader."""
    one = Neighbours(tmp_path).pod("one", 5)
    code = """
import importlib.util, sys
sys.modules.pop("socket", None)
print(type(importlib.util.find_spec("socket").loader).__name__ != "SourceFileLoader")
import socket
print(socket.gethostname(), type(socket.__loader__).__name__, type(socket.__spec__.loader).__name__)
"""
    assert one.python(code).splitlines() == ["True", "one SourceFileLoader SourceFileLoader"]


def test_a_mounted_folder_is_there_for_all_that_python_does_with_files(tmp_path: Path) -> None:
    """Reading, listing, asking, by name and by pathlib; writing, too."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "x.txt").write_text("content")
    one = Neighbours(tmp_path).pod("one", 5, mounts=[["/mnt/code", str(tmp_path / "code"), False]])
    code = """
import os, pathlib, shutil
print(open("/mnt/code/x.txt").read(), os.listdir("/mnt/code"))
print(os.path.exists("/mnt/code/x.txt"), os.path.isdir("/mnt/code"))
print(pathlib.Path("/mnt/code/x.txt").read_text(), [one.name for one in pathlib.Path("/mnt/code").iterdir()])
os.makedirs("/mnt/code/deep/er")
shutil.copy("/mnt/code/x.txt", "/mnt/code/deep/er")
os.replace("/mnt/code/x.txt", "/mnt/code/deep/y.txt")
print(sorted(name for _, _, names in os.walk("/mnt/code") for name in names))
shutil.rmtree("/mnt/code/deep")
"""
    said = one.python(code).splitlines()
    assert said == ["content ['x.txt']", "True True", "content ['x.txt']", "['x.txt', 'y.txt']"]
    assert not list((tmp_path / "code").iterdir())


def test_a_script_runs_by_its_mount_path_and_imports_from_there(tmp_path: Path) -> None:
    """The interpreter itself opens the script."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("import sys, beside; print(sys.argv[1:], beside.WHO)")
    (tmp_path / "code" / "beside.py").write_text("WHO = 'beside'")
    one = Neighbours(tmp_path).pod("one", 5, mounts=[["/mnt/code", str(tmp_path / "code"), True]])
    ended = one.run(PYTHON, "-X", "utf8", "/mnt/code/main.py", "-c", "a b")
    assert (ended.stdout, ended.stderr) == ("['-c', 'a b'] beside\n", "")


def test_modules_come_from_a_mounted_folder_in_the_path(tmp_path: Path) -> None:
    """PYTHONPATH, and what a program appends; `python -m` as well."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "tool.py").write_text("print('tool')")
    cluster = Neighbours(tmp_path)
    mounts = [["/mnt/code", str(tmp_path / "code"), True]]
    by_variable = cluster.pod("one", 5, {"PYTHONPATH": "/mnt/code"}, mounts=mounts)
    assert by_variable.run(PYTHON, "-m", "tool").stdout == "tool\n"
    by_program = cluster.pod("other", 6, mounts=mounts)
    assert by_program.python("import sys; sys.path.append('/mnt/code'); import tool") == "tool"


def test_what_python_starts_gets_the_real_paths(tmp_path: Path) -> None:
    """A job's entrypoint is a line for a shell."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "run.sh").write_text("echo ran $1")
    one = Neighbours(tmp_path).pod("one", 5, mounts=[["/mnt/code", str(tmp_path / "code"), True]])
    code = """
import os, pathlib, subprocess
subprocess.run("bash /mnt/code/run.sh by-line", shell=True, check=True)
subprocess.run(["bash", "/mnt/code/run.sh", "by-words"], check=True)
subprocess.run(["bash", "run.sh", "in-folder"], cwd=pathlib.Path("/mnt/code"), check=True)
os.system("bash /mnt/code/run.sh by-system")
"""
    assert one.python(code).splitlines() == ["ran by-line", "ran by-words", "ran in-folder", "ran by-system"]


def test_a_pod_without_its_description_does_not_run_as_the_machine(tmp_path: Path) -> None:
    """One line, and the exit code by which container runtimes say that it was they."""
    one = Neighbours(tmp_path).pod("one", 5)
    one.file.write_text("{")
    ended = one.run(PYTHON, "-c", "print('ran')")
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (FAILED, "", 1)
    assert str(one.file) in ended.stderr


def test_outside_of_a_pod_nothing_is_loaded(tmp_path: Path) -> None:
    """The environment is the user's as well."""
    variables = Neighbours(tmp_path).pod("one", 5).variables()
    del variables[POD]
    code = "import sys; print([name for name in sys.modules if name.startswith('localcluster')])"
    ended = subprocess.run([PYTHON, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_the_users_own_sitecustomize_still_runs(tmp_path: Path) -> None:
    """Ours stands before it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import sys; sys.theirs = True")
    one = Neighbours(tmp_path).pod("one", 5, {"PYTHONPATH": str(tmp_path / "own")})
    assert one.python("import sys, socket; print(sys.theirs, socket.gethostname())") == "True one"


@pytest.mark.parametrize("module", ["dataclasses", "typing", "inspect", "asyncio", "socket", "subprocess", "psutil"])
def test_an_interpreter_loads_little_for_the_hook(tmp_path: Path, module: str) -> None:
    """Ray starts one for each worker."""
    one = Neighbours(tmp_path).pod("one", 5, {"PYTHONNOUSERSITE": "1"})
    code = f"import sys; print({module!r} in sys.modules)"
    plain = subprocess.run([PYTHON, "-Ic", code], capture_output=True, text=True, check=True).stdout.strip()
    assert one.python(code) == plain
