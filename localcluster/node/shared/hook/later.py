"""Patches for modules that may never be imported: each is done when its module comes, right after it has run.

So nothing is imported for its own sake, and `from module import name` gets what the patch has put there.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from localcluster.node.shared.hook.pod import Pod

__all__ = ["when_imported"]

# Of modules that come with Ray, which `ray.py` here knows; that one is imported with the first of them.
OF_RAY = {
    "ray._private.services": "patch_services",
    "ray._private.utils": "patch_utils",
    "psutil": "patch_psutil",
    "grpc": "patch_channels",
    "grpc.aio": "patch_channels",
    "grpc._server": "patch_servers",
    "grpc.aio._server": "patch_servers",
    "uvloop": "patch_uvloop",
}


def when_imported(pod: Pod, patches: Mapping[str, Callable[[Pod, Any], None]]) -> None:
    """Each patch gets the pod and its module; what is there already is patched at once."""
    waiting = {name: patch for name, patch in patches.items() if name not in sys.modules}
    for name, patch in patches.items():
        if name not in waiting:
            patch(pod, sys.modules[name])
    waiting |= dict.fromkeys(OF_RAY, _patch_of_ray)
    sys.meta_path.insert(0, _Finder(pod, waiting))


def _patch_of_ray(pod: Pod, module: ModuleType) -> None:
    from localcluster.node.shared.hook import ray

    getattr(ray, OF_RAY[module.__name__])(pod, module)


class _Finder:
    """Finds nothing by itself: it lets the others find, and waits until the module has run."""

    def __init__(self, pod: Pod, waiting: dict[str, Callable[[Pod, Any], None]]) -> None:
        self._pod, self._waiting = pod, waiting

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._waiting:
            return None
        for other in sys.meta_path:
            if other is self:
                continue
            spec = other.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._pod, self._waiting)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Takes the real loader's place until the module runs."""

    def __init__(self, real: Any, pod: Pod, waiting: dict[str, Callable[[Pod, Any], None]]) -> None:
        self._real, self._pod, self._waiting = real, pod, waiting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._real.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        patch = self._waiting.pop(module.__name__, None)  # not before: many find a module and do not import it
        if patch is not None:
            patch(self._pod, module)
