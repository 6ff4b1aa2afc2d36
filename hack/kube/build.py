#!/usr/bin/env python3
"""Builds the programs of a real control plane from their published Go modules, each only when it is asked for.

    python hack/kube/build.py                                 what there is, and where
    python hack/kube/build.py kube-apiserver etcd kubectl     build these, once, into the user's cache

A program stands in the cache under the version of its module, so a new pin in go.mod makes a new folder and two
checkouts can share one. With KUBEBUILDER_ASSETS set, the programs of that folder are used and nothing is built.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "CannotBuild", "Program", "cached", "find", "main"]

HERE = Path(__file__).parent
SHOWN_EVERY = 250  # packages compiled between two lines of progress: some ten seconds on two cores


class CannotBuild(Exception):
    """The programs cannot be had here; the message says what is missing and what works without them."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program: the folder of the go.mod that pins it, its module and its package."""

    name: str
    folder: str
    module: str
    package: str

    @property
    def version(self) -> str:
        """As pinned in go.mod: "v1.36.3"."""
        text = (HERE / self.folder / "go.mod").read_text()
        found = re.search(rf"^(?:require)?\s+{re.escape(self.module)} (v\S+)", text, re.MULTILINE)
        if found is None:
            raise CannotBuild(f"hack/kube/{self.folder}/go.mod does not require {self.module}")
        return found[1]


def _kubernetes(name: str) -> Program:
    return Program(name, "kubernetes", "k8s.io/kubernetes", f"k8s.io/kubernetes/cmd/{name}")


PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
        Program("coredns", "coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
        *map(
            _kubernetes,
            ("kube-apiserver", "kube-controller-manager", "kubectl", "kube-scheduler", "kubelet", "kube-proxy"),
        ),
        Program("kind", "kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind"),
    )
}


def find(names: Sequence[str], report: Callable[[str], None] = print) -> dict[str, Path]:
    """The programs' paths; what is missing in the cache is built first, which takes minutes.

    Raises CannotBuild where there is no Go, or where KUBEBUILDER_ASSETS lacks one of them.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        return {name: _given(Path(given), name) for name in names}
    return {name: _built(PROGRAMS[name], report) for name in names}


def cached(program: Program) -> Path:
    """Where the cache has, or would have, the program."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return cache / "manta" / "kube" / f"{program.version}-{platform.system().lower()}-{machine}" / program.name


def _given(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise CannotBuild(f"KUBEBUILDER_ASSETS={folder} has no {name}; unset it to have {name} built")
    return folder / name


def _built(program: Program, report: Callable[[str], None]) -> Path:
    target = cached(program)
    if target.is_file():
        return target
    go = shutil.which("go")
    if go is None:
        raise CannotBuild(
            f"there is no {program.name} in {target.parent} and no Go to build it with (`go` is not on PATH). Install"
            " Go 1.26, or set KUBEBUILDER_ASSETS to a folder that has it. Without it, everything runs but what is"
            " marked `judge`: the conformance tests still run on the local API server."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target.parent / ".lock"):
        if not target.is_file():  # somebody else may have built it while we waited
            _build(go, program, target, report)
    return target


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, program: Program, target: Path, report: Callable[[str], None]) -> None:
    """Build beside the target and move: a build that is killed leaves no half program under the name."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    stamp = " ".join(
        f"-X {package}.gitVersion={program.version}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    )
    command = [go, "build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {stamp}"]
    report(f"building {program.name} {program.version}: some minutes, once")
    with subprocess.Popen(
        ["nice", "-n", "10", *command, "-o", str(unfinished), program.package],
        cwd=HERE / program.folder,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""},
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        last = _follow(program, build, report)
    if build.returncode != 0:
        raise CannotBuild(f"building {program.name} {program.version} failed:\n" + "".join(last))
    unfinished.replace(target)
    report(f"built {target}")


def _follow(program: Program, build: subprocess.Popen[str], report: Callable[[str], None]) -> list[str]:
    """Say now and then how far it is; the last lines, for when it fails."""
    last: list[str] = []
    compiled = 0
    for line in build.stderr or ():
        last = [*last[-30:], line]
        compiled += not line.startswith("go: ")
        if compiled and compiled % SHOWN_EVERY == 0:
            report(f"  {program.name}: {compiled} packages compiled")
    return last


def main(arguments: Sequence[str]) -> int:
    """The command line; 1 when a program cannot be had."""
    if not arguments:
        for program in PROGRAMS.values():
            path = cached(program)
            print(f"{program.name:24} {program.version:10} {path if path.is_file() else 'not built'}")
        return 0
    unknown = [name for name in arguments if name not in PROGRAMS]
    if unknown:
        print(f"no such program: {', '.join(unknown)}; there are {', '.join(PROGRAMS)}", file=sys.stderr)
        return 1
    try:
        find(arguments, lambda line: print(line, flush=True))
    except CannotBuild as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
