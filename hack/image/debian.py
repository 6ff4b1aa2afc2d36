"""Root file systems of Debian packages, laid out without installing anything on this machine.

apt works out what the packages need on an empty system, fetches and verifies it as it always does, and dpkg-deb lays
the files out. No maintainer script runs, so there is no ld.so.cache, no alternative and no user: what needs one makes
it. Images and the node's own programs (containerd, runc, ...) come from here. Needs a Debian, as root or not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["CACHE", "CannotLayOut", "closure", "laid_out"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta"
MERGED = ("bin", "sbin", "lib", "lib64")  # of /usr since Debian 12; packages still name both


class CannotLayOut(Exception):
    """The packages cannot be had here; the message says why, and what works without them."""


def closure(packages: Sequence[str]) -> tuple[str, ...]:
    """The files of the packages and of all that they need on an empty system, with versions, sorted.

    Asks apt's lists; where they do not know, new ones are fetched. Raises CannotLayOut where there is no apt, or they
    do not know either.
    """
    done = _apt(["--print-uris", "-qq", "install", *packages])
    if done.returncode != 0:
        said = done.stderr.strip().replace("\n", "; ")
        raise CannotLayOut(f"apt cannot say what {' '.join(packages)} need: {said}")
    return tuple(sorted(shlex.split(line)[1] for line in done.stdout.splitlines() if line.startswith("'")))


def laid_out(packages: Sequence[str], report: Callable[[str], None] = print) -> Path:
    """A folder with the files of the packages and of all that they need; made once and kept under its contents' digest.

    Nobody may change it. Raises CannotLayOut.
    """
    files = closure(packages)
    digest = hashlib.sha256("\n".join(files).encode()).hexdigest()[:16]
    target = CACHE / "debian" / f"{digest}-{platform.machine()}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():  # somebody else may have made it while we waited
            report(f"fetching {len(files)} Debian packages for {', '.join(packages)}")
            _lay_out(packages, target)
    return target


def _lay_out(packages: Sequence[str], target: Path) -> None:
    """Beside the target and moved: what is killed half-way leaves nothing under the name."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    archives = unfinished / "archives"
    (archives / "partial").mkdir(parents=True)
    done = _apt(["-o", f"Dir::Cache::archives={archives}/", "-qq", "--yes", "--download-only", "install", *packages])
    if done.returncode != 0:
        raise CannotLayOut(f"apt cannot fetch {' '.join(packages)}: {done.stderr.strip()}")
    root = unfinished / "root"
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in sorted(archives.glob("*.deb")):
        _unpack(package, root)
    root.rename(target)
    shutil.rmtree(unfinished)


def _unpack(package: Path, root: Path) -> None:
    """As debootstrap does: a package that ships a file in /bin must not replace the link by a folder."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as files:
        subprocess.run(
            ["tar", "--extract", "--directory", root, "--keep-directory-symlink"], stdin=files.stdout, check=True
        )
    if files.returncode != 0:
        raise CannotLayOut(f"{package.name} cannot be unpacked")


def _apt(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """apt-get as if nothing were installed, and without a trace on the machine.

    A fresh machine has no lists of packages, an old one has some that lead nowhere: then lists of our own are used, and
    fetched when they do not help either.
    """
    lists = CACHE / "apt" / "lists"
    own = ("-o", f"Dir::State::lists={lists}/")
    for more in ((), own):
        done = _apt_get(arguments, more)
        if done.returncode == 0:
            return done
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    with (lists.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        renewed = _apt_get(["-qq", "update"], own)
    return _apt_get(arguments, own) if renewed.returncode == 0 else renewed


def _apt_get(arguments: Sequence[str], more: Sequence[str]) -> subprocess.CompletedProcess[str]:
    if shutil.which("apt-get") is None:
        raise CannotLayOut("there is no apt-get here: images and the node's programs are made of Debian packages")
    options = (
        "Dir::State::status=/dev/null",
        "APT::Install-Recommends=false",
        "Debug::NoLocking=true",
        "APT::Sandbox::User=root",  # the cache folder is ours alone
    )
    command = ["apt-get", *(word for option in options for word in ("-o", option)), *more, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
