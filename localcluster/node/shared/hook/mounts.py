"""Mount paths lead to the files behind them, in Python: there is no mount namespace to do it (spec ray-side §10.4).

Covered: `open`, what `os` does with a path, certificates that `ssl` reads, a script that is run by its mount path, and
imports from a mounted folder. Not covered: C libraries that open files by themselves. What comes back (names that
`os.scandir` answers, `__file__`) tells the real path.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from localcluster.node.shared.hook.pod import Pod

__all__ = ["patch", "patch_ssl", "real_path", "run_the_real_script"]

# Of `os`: how many of the first parameters are paths.
_PATHS = {
    **dict.fromkeys(("access", "chdir", "chmod", "chown", "lchown", "execv", "execve", "lstat", "listdir"), 1),
    **dict.fromkeys(("mkdir", "mkfifo", "open", "pathconf", "readlink", "remove", "rmdir", "scandir", "stat"), 1),
    **dict.fromkeys(("statvfs", "truncate", "unlink", "utime", "listxattr", "getxattr", "setxattr"), 1),
    **dict.fromkeys(("link", "rename", "replace", "symlink"), 2),
}


def real_path(pod: Pod, path: str) -> str:
    """Where a path of the container is on the machine."""
    for target, real in pod.mounts:
        if path.startswith(target) and (len(path) == len(target) or path[len(target)] == "/"):
            return real + path[len(target) :]
    return path


def patch(pod: Pod) -> None:
    """From now on, in this interpreter."""
    if not pod.mounts:
        return

    def mapped(given: Any) -> Any:
        if isinstance(given, int) or given is None:
            return given
        path = os.fspath(given)
        if isinstance(path, bytes):
            return os.fsencode(real_path(pod, os.fsdecode(path)))
        found = real_path(pod, path)
        return given if found is path else found

    import builtins
    import io

    for name, count in _PATHS.items():
        original = getattr(os, name, None)
        if original is not None:
            _replace(os, name, _with_paths(original, count, mapped))
    opened = _with_paths(builtins.open, 1, mapped)
    builtins.open = opened
    io.open = opened
    _import_from_mounts(pod)


def _with_paths(original: Callable[..., Any], count: int, mapped: Callable[[Any], Any]) -> Callable[..., Any]:
    if count == 1:

        def wrapped(*given: Any, **named: Any) -> Any:
            if given and not isinstance(given[0], int):  # nearly every call
                return original(mapped(given[0]), *given[1:], **named)
            for name in ("path", "file"):
                if name in named:
                    named[name] = mapped(named[name])
            return original(*given, **named)

    else:

        def wrapped(*given: Any, **named: Any) -> Any:
            for name in ("src", "dst"):
                if name in named:
                    named[name] = mapped(named[name])
            return original(*(mapped(one) for one in given[:count]), *given[count:], **named)

    wrapped.__name__ = wrapped.__qualname__ = original.__name__
    return staticmethod(wrapped)  # in a class it stays a function, as the original does (pathlib of 3.10 has some)


def _replace(where: ModuleType, name: str, by: Callable[..., Any]) -> None:
    """`os.supports_fd` and its like hold functions: whoever asks of ours gets the original's answer."""
    original = getattr(where, name)
    for group in ("supports_fd", "supports_dir_fd", "supports_follow_symlinks", "supports_effective_ids"):
        if original in getattr(where, group, ()):
            getattr(where, group).add(by)
    setattr(where, name, by)


def _import_from_mounts(pod: Pod) -> None:
    """The import system stats and reads by itself; a finder for the real folder does it for a mounted one."""

    def finder(path: str) -> Any:
        found = real_path(pod, path)
        if found is path:
            raise ImportError("not mounted", path=path)
        for one in sys.path_hooks:
            if one is not finder:
                try:
                    return one(found)
                except ImportError:
                    continue
        raise ImportError("nothing imports from there", path=path)

    sys.path_hooks.insert(0, finder)
    for path in [path for path in sys.path_importer_cache if real_path(pod, path) is not path]:
        del sys.path_importer_cache[path]


def run_the_real_script(pod: Pod) -> None:
    """`python /mount/x.py`: the interpreter opens its script itself, so this process begins again with the real path.

    A relative path needs nothing: the working directory is a real one already.
    """
    place = len(sys.orig_argv) - len(sys.argv)
    if place < 1 or not sys.argv or sys.orig_argv[place] != sys.argv[0]:
        return  # -m and -c, or no script at all
    found = real_path(pod, sys.argv[0])
    if found != sys.argv[0]:
        os.execv(sys.executable, [*sys.orig_argv[:place], found, *sys.orig_argv[place + 1 :]])  # noqa: S606


def patch_ssl(pod: Pod, module: ModuleType) -> None:
    """Certificates are read by OpenSSL: a service account's ca.crt is a mounted file."""
    context = module.SSLContext
    trust, show = context.load_verify_locations, context.load_cert_chain

    def load_verify_locations(self: Any, cafile: Any = None, capath: Any = None, cadata: Any = None) -> Any:
        return trust(self, _or_none(pod, cafile), _or_none(pod, capath), cadata)

    def load_cert_chain(self: Any, certfile: Any, keyfile: Any = None, password: Any = None) -> Any:
        return show(self, _or_none(pod, certfile), _or_none(pod, keyfile), password)

    context.load_verify_locations = load_verify_locations
    context.load_cert_chain = load_cert_chain


def _or_none(pod: Pod, path: Any) -> Any:
    return path if path is None else real_path(pod, os.fsdecode(path))
