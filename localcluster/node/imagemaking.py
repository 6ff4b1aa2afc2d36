"""Makes one virtual environment, as a process that ends with the one that asked for it.

`python -m localcluster.node.imagemaking`. Under a lock, so that two do not make the same; the last file written says
that it is complete, and what was interrupted is made anew. Answers go to standard output, a JSON line each: {"line":
progress}, then {"done"} or {"fault"}.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from localcluster.node import kernel
from localcluster.node.images import DONE, Environment
from localcluster.node.interfaces import Fault

__all__ = ["HANDED_ON", "find_python", "is_progress", "main", "settings_for_uv", "versions_in", "why_not"]

# pip's settings and uv's names for them; hack/setup.sh has the same
HANDED_ON: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
}
# What uv says when no wheel fits the interpreter, which it found instead, and when there is no such version at all.
_NO_WHEEL: Final = re.compile(r"\bray\S* has no wheels with a matching|we only found wheels for `ray`")
_TAGS: Final = re.compile(r"we only found wheels for `ray` .* tags?: (.*)")
_NO_VERSION: Final = re.compile(r"there is no version of ray\b")
_UNREACHED: Final = re.compile(r"error sending request for url \((\S+)\)")
_CAUSE: Final = re.compile(r"^\s*(?:cause|Caused by): (.*)")
_PACKAGE: Final = re.compile(r" [-+~] \S+==")
_LISTED: Final = "Available versions:"  # how pip begins its list
_SHOWN: Final = 8  # versions
_ASKING_SECONDS: Final = 30.0
_ASK: Final = (
    "import sys; print('%d.%d' % sys.version_info[:2]); print(getattr(sys, '_base_executable', sys.executable))"
)


def main() -> int:
    """Make what standard input asks for."""
    kernel.die_with_parent()
    asked = json.load(sys.stdin)
    given = asked["wanted"]
    wanted = Environment(given["ray"], given["python"], tuple(given["packages"]))
    try:
        make(Path(asked["folder"]), wanted, os.environ)
    except Fault as fault:
        _say(fault=[fault.reason, fault.message])
        return 1
    except OSError as error:
        _say(fault=["ErrImagePull", f"cannot make {asked['folder']}: {error}"])
        return 1
    _say(done=True)
    return 0


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - this is what the other side reads


def make(folder: Path, wanted: Environment, environ: Mapping[str, str]) -> None:
    """The environment is complete in `folder` afterwards. Raises Fault, OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / DONE).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        python = _choose_python(wanted, environ)
        settings = {**environ, **settings_for_uv(_pip_settings(environ), environ), "UV_PYTHON_DOWNLOADS": "never"}
        _say(line=f"making an environment with Ray {wanted.ray} on Python {_version(python)}")
        _uv(["venv", "--seed", "--no-project", "--python", python, str(folder)], settings, wanted, _version(python))
        into = ["--python", str(folder / "bin" / "python")]
        _uv(["pip", "install", "--compile-bytecode", *into, *wanted.requirements], settings, wanted, _version(python))
        unfinished = folder / f"{DONE}.unfinished"
        unfinished.write_text(json.dumps({"ray": wanted.ray, "python": _version(python), "packages": wanted.packages}))
        unfinished.replace(folder / DONE)


def _choose_python(wanted: Environment, environ: Mapping[str, str]) -> str:
    """The one wanted if the machine has it, else the one that runs this, with a warning."""
    own = getattr(sys, "_base_executable", sys.executable)
    if not wanted.python or wanted.python == _version(sys.executable):
        return str(own)
    found = find_python(wanted.python, environ.get("PATH", os.defpath), _ask)
    if found is None:
        _say(line=f"warning: there is no python{wanted.python} on PATH; taking Python {_version(own)} instead")
        return str(own)
    return found


def find_python(version: str, path: str, ask: Callable[[str], Sequence[str]]) -> str | None:
    """An interpreter of that version on the path that really runs; its own location."""
    for folder in path.split(":"):
        candidate = Path(folder) / f"python{version}"
        if candidate.exists():
            said = ask(str(candidate))
            if len(said) == 2 and said[0] == version:
                return said[1]
    return None


def _ask(candidate: str) -> Sequence[str]:
    """Its version and location; nothing from one that does not run, such as a version manager's place holder."""
    try:
        done = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split("\n")[:2] if done.returncode == 0 else []


def _version(python: str) -> str:
    if python in (sys.executable, getattr(sys, "_base_executable", "")):
        return f"{sys.version_info[0]}.{sys.version_info[1]}"
    return next(iter(_ask(python)), "")


def settings_for_uv(pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """pip's settings in uv's variables; what the user set for uv itself stays."""
    found = {HANDED_ON[name]: value for name, value in pip.items() if name in HANDED_ON}
    return {name: value for name, value in found.items() if name not in environ}


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """By pip itself, which knows all its places; without one, from its variables."""
    settings = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_")
    }
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    for line in asked.stdout.splitlines() if asked.returncode == 0 else ():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        if section in ("global", "install"):
            settings.setdefault(key, value.strip("'\""))
    return settings


def _uv(arguments: Sequence[str], settings: Mapping[str, str], wanted: Environment, python: str) -> None:
    """Its words are passed on as they come. Raises Fault with the last of them."""
    with subprocess.Popen(
        [sys.executable, "-m", "uv", *arguments],
        env=dict(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=kernel.die_with_parent,  # noqa: PLW1509 - this process has one thread
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.rstrip())
            if is_progress(line):
                _say(line=line.rstrip())
    if process.returncode == 0:
        return
    there = _versions_there(arguments, settings) if _NO_VERSION.search(" ".join(said)) else ()
    why = why_not(said, wanted, python, there)
    raise Fault("ErrImagePull", f"cannot make an environment with Ray {wanted.ray}: {why}")


def is_progress(line: str) -> bool:
    """Whether a line of uv's tells how far it is, and is not one of the seventy packages that it names at its end."""
    return _PACKAGE.match(line) is None


def _versions_there(arguments: Sequence[str], settings: Mapping[str, str]) -> Sequence[str]:
    """The releases of Ray that the package index has for the new environment's Python; none if pip cannot tell."""
    python = arguments[arguments.index("--python") + 1]
    command = [python, "-m", "pip", "index", "versions", "ray", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            command, env=dict(settings), capture_output=True, text=True, timeout=_ASKING_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return versions_in(done.stdout)


def versions_in(said: str) -> Sequence[str]:
    """The versions that `pip index versions` lists, newest first."""
    listed = next((line for line in said.splitlines() if line.startswith(_LISTED)), _LISTED)
    return [word.strip() for word in listed.removeprefix(_LISTED).split(",") if word.strip()]


def why_not(said: Sequence[str], wanted: Environment, python: str, there: Sequence[str] = ()) -> str:
    """What uv said, as a sentence and the way out; its own last words if they are none of those known here.

    `there` are the releases that the index has, newest first, as far as anybody knows.
    """
    missing = f" (there is no python{wanted.python} on PATH)" if wanted.python not in ("", python) else ""
    words = " ".join(line.strip() for line in said if line.strip())
    if _NO_WHEEL.search(words):
        minors = sorted({int(minor) for tags in _TAGS.findall(words) for minor in re.findall(r"cp3(\d+)", tags)})
        others = ", ".join(f"3.{minor}" for minor in minors)
        way = f"Put a Python that it has wheels for on PATH ({others})" if others else "Put another Python on PATH"
        return f"it has no wheel for Python {python}{missing}. {way}, or take a Ray that has one for Python {python}"
    if _NO_VERSION.search(words):
        if not there:
            return f"the package index has no ray=={wanted.ray}. Take a version that it has"
        newest, more = ", ".join(there[:_SHOWN]), " and older ones" if len(there) > _SHOWN else ""
        have = f"for Python {python} it has {newest}{more}"
        return f"the package index has no ray=={wanted.ray}; {have}. Take one of these, as in rayproject/ray:{there[0]}"
    if unreached := _UNREACHED.search(words):
        innermost = [found[1] for line in said if (found := _CAUSE.match(line))][-1:] or ["nobody says why"]
        way = "It takes a network, once; which index, proxy and whose certificate, pip's configuration says"
        return f"{unreached[1]} cannot be reached: {innermost[0]}. {way}"
    last = " ".join(line.strip() for line in said[-6:] if line.strip())
    return f"with Python {python}{missing}: {last}"


if __name__ == "__main__":
    sys.exit(main())
