"""What stands in each of our images, and how it is made.

    pause, coredns      from scratch: one static Go program each, for the bare node
    operator            Debian's Python, the operator's pinned requirements, ours compiled: no shell, no compiler
    ray                 Debian's Python with a shell, and Ray from its pinned wheel, laid out as in Ray's own images

Layers are made anew only when what they are made of changed: the packages' versions, a requirements file, our own code.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import os
import platform
import py_compile
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.settings import VERSION
from hack.image.archive import Config, Entry, Layer, Tree, make_layer, write
from hack.image.debian import CACHE, laid_out
from hack.kube.build import find
from localcluster.node.imagemaking import settings_for_uv

__all__ = ["IMAGES", "RAY_VERSION", "CannotMake", "Made", "make"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PYTHON = "3.11"  # Debian 12's
OPERATOR_USER = 65532
RAY_USER, RAY_GROUP = 1000, 100
RAY_VERSION = "2.52.0"
RAY_HOME = "/home/ray"
RAY_PYTHON = f"{RAY_HOME}/anaconda3"  # where Ray's own images have it, and YAML of users names it
OURS = ("api", "controller", "webhooks")

PYTHON_PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "ca-certificates", "tzdata")
SHELL_PACKAGES = (
    *PYTHON_PACKAGES,
    *("bash", "coreutils", "findutils", "grep", "gzip", "hostname", "libstdc++6", "procps", "sed", "tar", "wget"),
)
# What no program of an image reads. dpkg comes with Python, which does not need it to run.
UNREAD = (
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bash-completion/",
    "usr/share/perl5/",
    f"usr/lib/{platform.machine()}-linux-gnu/perl",
    "usr/bin/dpkg",
    "usr/sbin/dpkg",
    "var/lib/dpkg/",
)
Part = Tree | Entry
SHELLS = ("usr/bin/bash", "usr/bin/sh", "usr/bin/dash", "bin/bash", "bin/sh")


class CannotMake(Exception):
    """An image cannot be made here; the message says what failed."""


@dataclass(frozen=True, slots=True)
class Made:
    """An image's archive, the names it is known by once loaded, and how long making it took."""

    path: Path
    names: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Image:
    """How an image is known and made."""

    names: tuple[str, ...]
    layers: Callable[[], Sequence[Layer]]
    config: Config


def make(name: str, folder: Path = CACHE / "archives") -> Made:
    """Make the image's archive in `folder`. Raises CannotMake, CannotLayOut or CannotBuild."""
    began = time.monotonic()
    image = IMAGES[name]
    target = folder / f"{name}.tar"
    folder.mkdir(parents=True, exist_ok=True)
    (CACHE / "layers").mkdir(parents=True, exist_ok=True)
    with (CACHE / "layers" / f".{name}.lock").open("w") as lock:  # another checkout may want other layers
        fcntl.flock(lock, fcntl.LOCK_EX)
        layers = image.layers()
        contents = f"{image.names} {image.config} {[layer.digest for layer in layers]}"
        note = folder / f".{name}.contents"
        if not target.exists() or not note.exists() or note.read_text() != contents:
            note.unlink(missing_ok=True)
            write(target, image.names, layers, image.config)
            note.write_text(contents)
    return Made(target, image.names, time.monotonic() - began)


def _pause() -> Sequence[Layer]:
    source = HERE / "pause"

    def built(work: Path) -> Sequence[Part]:
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(work / "pause"), "."]
        _run(command, cwd=source, environment={"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""})
        return [Tree(work)]

    return [_cached("pause", _digest([source / "main.go", source / "go.mod"]), built)]


def _coredns() -> Sequence[Layer]:
    program = find(["coredns"], _report)["coredns"]
    key = hashlib.sha256(f"{program} {program.stat().st_size}".encode()).hexdigest()
    return [_cached("coredns", key, lambda _: [Tree(program.parent, keep=lambda path: path == program.name)])]


def _operator() -> Sequence[Layer]:
    def code(work: Path) -> Sequence[Part]:
        for package in OURS:
            shutil.copytree(ROOT / package, work / package, ignore=shutil.ignore_patterns("__pycache__"))
        _compile(work)
        return [Tree(work, "opt/manta"), Entry("manager", (HERE / "manager").read_text(), mode=0o755)]

    ours = [path for package in OURS for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".json")]
    return [
        _debian("operator", PYTHON_PACKAGES, OPERATOR_ACCOUNTS),
        _wheels("operator", "opt/manta"),
        _cached("operator-code", _digest([*ours, HERE / "manager", Path(__file__)]), code),
    ]


def _ray() -> Sequence[Layer]:
    links = [
        Entry(f"{RAY_PYTHON}/bin/{name}", link=f"/usr/bin/python{PYTHON}")
        for name in ("python", "python3", f"python{PYTHON}")
    ]
    home = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n"
    return [
        _debian("ray", SHELL_PACKAGES, RAY_ACCOUNTS),
        _wheels("ray", f"{RAY_PYTHON}/lib/python{PYTHON}/site-packages", f"{RAY_PYTHON}/bin", RAY_OWNER),
        _cached(
            "ray-home",
            _digest([Path(__file__)]),
            lambda _: [Entry(f"{RAY_PYTHON}/pyvenv.cfg", home, mode=0o644, owner=RAY_OWNER), *links],
        ),
    ]


def _debian(name: str, packages: Sequence[str], accounts: Sequence[Entry]) -> Layer:
    root = laid_out(packages, _report)
    shell = "bash" in packages

    def keep(path: str) -> bool:
        return not path.startswith(UNREAD) and (shell or path not in SHELLS)

    folders = [Entry("tmp", mode=0o1777), Entry("proc"), Entry("sys"), Entry("dev"), Entry("run")]
    return _cached(
        f"{name}-debian", _digest([Path(__file__)], root.name), lambda _: [Tree(root, keep=keep), *folders, *accounts]
    )


def _wheels(name: str, at: str, programs_at: str = "", owner: tuple[int, int] = (0, 0)) -> Layer:
    """What requirements/NAME.txt pins, installed for Debian's Python without running it, and compiled."""
    requirements = ROOT / "requirements" / f"{name}.txt"

    def installed(work: Path) -> Sequence[Part]:
        target = work / "packages"
        arguments = ["--python-version", PYTHON, "--python-platform", f"{platform.machine()}-manylinux_2_36"]
        arguments += ["--only-binary", ":all:", "--require-hashes", "--requirements", str(requirements)]
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target), *arguments]
        _run(uv, environment=_index())
        programs = target / "bin"
        parts: list[Part] = []
        if programs_at and programs.is_dir():
            programs = programs.rename(work / "bin")
            _point_to(f"{programs_at}/python", programs)
            parts.append(Tree(programs, programs_at, owner=owner))
        shutil.rmtree(target / "bin", ignore_errors=True)
        _compile(target)
        return [Tree(target, at, owner=owner), *parts]

    return _cached(f"{name}-wheels", _digest([requirements, Path(__file__)]), installed)


def _index() -> dict[str, str]:
    """The package index that pip would use, in uv's words: uv does not read pip's configuration."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return settings_for_uv({"index-url": done.stdout.strip()} if done.returncode == 0 else {}, os.environ)


def _point_to(python: str, programs: Path) -> None:
    """Scripts name the interpreter that will run them, not the one that installed them."""
    for program in programs.iterdir():
        first, newline, rest = program.read_bytes().partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            program.write_bytes(f"#!{python}".encode() + newline + rest)


def _compile(folder: Path) -> None:
    """Byte code that is believed without a look at its source: times change on the way into a layer, contents do not.

    Must run on the Python version of the image, else the byte code is ignored there. Raises CannotMake.
    """
    if sys.version_info[:2] != tuple(map(int, PYTHON.split("."))):
        raise CannotMake(
            f"images are made by Python {PYTHON}, since it compiles their byte code; this is {sys.version}"
        )
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # What cannot be compiled (templates that look like Python) runs as it did before: not at all.
    compileall.compile_dir(folder, quiet=2, invalidation_mode=mode, workers=0, stripdir=str(folder))


def _cached(name: str, key: str, parts: Callable[[Path], Sequence[Part]]) -> Layer:
    """A layer kept under its key; `parts` gets an empty folder to work in and says what the layer consists of."""
    target = CACHE / "layers" / f"{name}-{key[:16]}.tar"
    note = target.with_suffix(".digest")
    if note.exists():
        return Layer(target, note.read_text())
    work = target.with_name(f".{target.stem}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    layer = make_layer(target, parts(work))
    shutil.rmtree(work)
    for old in target.parent.glob(f"{name}-*"):
        if not old.name.startswith(target.stem):
            old.unlink()
    note.write_text(layer.digest)
    return layer


def _digest(paths: Iterable[Path], *words: str) -> str:
    digest = hashlib.sha256("\n".join(words).encode())
    for path in sorted(paths):
        digest.update(f"{path.relative_to(ROOT)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(command: Sequence[str], *, cwd: Path = ROOT, environment: Mapping[str, str] = {}) -> None:
    if shutil.which(command[0]) is None:
        raise CannotMake(f"there is no `{command[0]}` on PATH")
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CannotMake(f"{' '.join(command[:4])} ... failed: {done.stderr.strip()[-2000:]}")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


RAY_OWNER = (RAY_USER, RAY_GROUP)
OPERATOR_ACCOUNTS = (
    Entry("etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n", mode=0o644),
    Entry("etc/group", "root:x:0:\nnonroot:x:65532:\n", mode=0o644),
)
RAY_ACCOUNTS = (
    Entry("etc/passwd", f"root:x:0:0:root:/root:/bin/bash\nray:x:1000:100:ray:{RAY_HOME}:/bin/bash\n", mode=0o644),
    Entry("etc/group", "root:x:0:\nusers:x:100:\n", mode=0o644),
    Entry("root", mode=0o700),
    Entry(RAY_HOME, owner=RAY_OWNER),
    Entry(RAY_PYTHON, owner=RAY_OWNER),
    Entry("usr/bin/sh", link="bash"),
)
IMAGES: Mapping[str, Image] = {
    "pause": Image(("manta.test/pause:1",), _pause, Config(entrypoint=["/pause"], user="65535:65535")),
    "coredns": Image(("manta.test/coredns:1",), _coredns, Config(entrypoint=["/coredns"])),
    "operator": Image(
        (
            "docker.io/kuberay/operator:nightly",  # these two are where the reference's suites look
            "quay.io/kuberay/operator:nightly",
            f"docker.io/library/manta-operator:{VERSION}",  # and that is what config/ names
        ),
        _operator,
        Config(entrypoint=["/manager"], user=f"{OPERATOR_USER}:{OPERATOR_USER}"),
    ),
    "ray": Image(
        (f"docker.io/rayproject/ray:{RAY_VERSION}", f"docker.io/rayproject/ray:{RAY_VERSION}-py311"),
        _ray,
        Config(
            command=["/bin/bash"],
            environment={
                "PATH": f"{RAY_PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": RAY_HOME,
                "LANG": "C.UTF-8",
                "TZ": "UTC",
            },
            user="ray",
            folder=RAY_HOME,
        ),
    ),
}
