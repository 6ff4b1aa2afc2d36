"""What Python does with paths below a mount, beyond what everybody does with them (that is in test_hook.py)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcluster.certificates import certified
from localcluster.testing.hooked import PYTHON, HookedPod, Neighbours


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The folder behind /mnt/code."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "x.txt").write_text("content")
    return folder


@pytest.fixture
def pod(tmp_path: Path, code: Path) -> HookedPod:
    """With that mount, and one beside it whose name begins alike."""
    return Neighbours(tmp_path).pod("one", 5, mounts=[["/mnt/code", str(code), False]])


def test_paths_may_be_bytes_and_may_be_named(pod: HookedPod, code: Path) -> None:
    """In all the ways in which `os` and `open` take them; descriptors are no paths."""
    said = pod.python("""
import os
print(os.listdir(b"/mnt/code"), os.stat(path="/mnt/code/x.txt").st_size)
os.rename(src="/mnt/code/x.txt", dst="/mnt/code/y.txt")
os.link(b"/mnt/code/y.txt", b"/mnt/code/z.txt")
os.symlink("/mnt/code/y.txt", "/mnt/code/link")
with open(file="/mnt/code/z.txt") as file:
    print(file.read(), open(file=os.dup(file.fileno())).read() == "", os.stat(path=file.fileno()).st_nlink)
print(os.listdir(path=None) == os.listdir())
""")

    assert said.splitlines() == ["[b'x.txt'] 7", "content True 2", "True"]
    assert sorted(file.name for file in code.iterdir()) == ["link", "y.txt", "z.txt"]
    assert (code / "link").read_text() == "content"


def test_who_asks_what_os_can_do_is_answered_as_without_the_hook(pod: HookedPod) -> None:
    """`shutil.rmtree` asks, and is safe against links only where descriptors are taken."""
    code = """
import os, shutil
print(os.scandir in os.supports_fd, {os.open, os.stat} <= os.supports_dir_fd, os.stat in os.supports_follow_symlinks)
print(shutil.rmtree.avoids_symlink_attacks, os.open.__name__)
"""
    assert pod.python(code) == "True True True\nTrue open"


def test_a_path_that_only_begins_like_a_mount_is_the_machines(pod: HookedPod, code: Path) -> None:
    """/mnt/codes is another folder, though there be one of that name beside the real one."""
    code.with_name("codes").mkdir()
    assert pod.python("import os; print(os.path.exists('/mnt/code'), os.path.exists('/mnt/codes'))") == "True False"


def test_a_script_keeps_the_interpreters_options(pod: HookedPod, code: Path) -> None:
    """The process begins again, with all that it was told."""
    (code / "main.py").write_text("import sys; print(sys.flags.utf8_mode, sys.flags.optimize, sys.argv[1:])")

    ended = pod.run(PYTHON, "-X", "utf8", "-OO", "/mnt/code/main.py", "-m", "x")

    assert ended.stdout == "1 2 ['-m', 'x']\n"


def test_certificates_may_be_below_a_mount(pod: HookedPod, code: Path) -> None:
    """A service account's ca.crt, and a client's own pair: OpenSSL opens them by itself."""
    own = certified(datetime.now(UTC))  # noqa: TID251 - OpenSSL compares with the machine's own clock
    (code / "ca.crt").write_text(own.authority)
    (code / "tls.crt").write_text(own.certificate)
    (code / "tls.key").write_text(own.key)

    said = pod.python("""
import ssl
context = ssl.create_default_context(cafile="/mnt/code/ca.crt")
context.load_cert_chain("/mnt/code/tls.crt", "/mnt/code/tls.key")
print(len(context.get_ca_certs()))
""")

    assert said == str(len(ssl.create_default_context(cadata=own.authority).get_ca_certs()))
