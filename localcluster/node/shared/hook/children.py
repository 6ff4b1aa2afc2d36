"""What `subprocess` starts: mount paths in the program, its arguments and its folder, which is where a Ray job's
entrypoint goes (`bash /mount/run.sh`). Programs that are not Python have no hook (spec ray-side §10.4, limits)."""

from __future__ import annotations

import os

from localcluster.node.shared.hook.mounts import real_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from localcluster.node.shared.hook.pod import Pod

__all__ = ["patch"]


def patch(pod: Pod, module: ModuleType) -> None:
    """`subprocess`, from now on."""
    if not pod.mounts:
        return
    started = module.Popen.__init__

    def __init__(self: Any, args: Any, *given: Any, **named: Any) -> None:  # noqa: N807
        if named.get("cwd") is not None:
            named["cwd"] = _path(pod, named["cwd"])
        started(self, _words(pod, args), *given, **named)

    module.Popen.__init__ = __init__
    system = os.system

    def with_paths(command: Any) -> int:
        return system(_words(pod, command))

    os.system = with_paths


def _words(pod: Pod, args: Any) -> Any:
    if isinstance(args, str):
        from localcluster.node.shared.texts import with_real_paths

        return with_real_paths(args, pod.mounts)
    if isinstance(args, (list, tuple)):
        return [_path(pod, word) for word in args]
    return args


def _path(pod: Pod, given: Any) -> Any:
    return real_path(pod, os.fspath(given)) if isinstance(given, (str, os.PathLike)) else given
