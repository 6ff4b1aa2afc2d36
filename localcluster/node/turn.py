"""One step of a pod's life while it is being taken. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from localcluster.node.model import Action, Announce, ContainerKind, ContainerLife, ContainerSpec, Life

__all__ = ["Turn"]


class Turn:
    """One step being taken: the life as it changes, and the actions so far."""

    __slots__ = ("actions", "containers", "life", "now")

    def __init__(self, life: Life, now: float) -> None:
        self.life, self.now = life, now
        self.containers = list(life.containers)
        self.actions: list[Action] = []

    def pod(self, **changes: Any) -> None:
        """Change the pod's own state."""
        self.life = replace(self.life, **changes)

    def set(self, index: int, **changes: Any) -> None:
        """Change a container's state."""
        self.containers[index] = replace(self.containers[index], **changes)

    def do(self, action: Action) -> None:
        """This is to be done."""
        self.actions.append(action)

    def say(self, type_: str, reason: str, message: str, container: str = "") -> None:
        """An event for the user."""
        self.do(Announce("Warning" if type_ == "Warning" else "Normal", reason, message, container))

    def index(self, name: str) -> int:
        """The place of a container by its name. Raises StopIteration."""
        return next(i for i, spec in enumerate(self.life.spec.containers) if spec.name == name)

    def each(self, *kinds: ContainerKind) -> Iterator[tuple[int, ContainerSpec, ContainerLife]]:
        """Place, spec and state of the containers of these kinds; of all, if none is named."""
        for index, spec in enumerate(self.life.spec.containers):
            if not kinds or spec.kind in kinds:
                yield index, spec, self.containers[index]

    @property
    def alive(self) -> bool:
        """Some container may have a process."""
        return any(one.alive for one in self.containers)

    def result(self) -> Life:
        """The life as it is now."""
        return replace(self.life, containers=tuple(self.containers))
