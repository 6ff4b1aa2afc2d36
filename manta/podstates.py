"""A pod in a word, and what keeps it from running: read from what node and scheduler put on it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CRASHING", "IMAGE_TROUBLE", "UNSCHEDULABLE", "PodState", "state_of", "why_nowhere"]

IMAGE_TROUBLE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CRASHING: Final = "CrashLoopBackOff"
NO_CONFIG: Final = "CreateContainerConfigError"  # what its environment names is not there
OTHER_TROUBLE: Final = frozenset({NO_CONFIG, "CreateContainerError", "RunContainerError"})
UNSCHEDULABLE: Final = "Unschedulable"
# What the scheduler says of each node, before it goes on about preemption, which helps nobody on a single one.
NO_NODE: Final = re.compile(r"0/\d+ nodes are available: (?P<why>.*?)\.(?: no new claims| preemption:|$)", re.DOTALL)
TALLY: Final = re.compile(r"\b1 (?=Insufficient|Too many|node\(s\))")  # of one node it says nothing
LACKED: Final = re.compile(r"\bInsufficient ([^\s,]+)")
WAYS: Final = (  # words of the scheduler -> the way out
    ("Insufficient ", "The one node is this machine; ask for less in resources.requests, or say that it has more: "),
    ("affinity/selector", "The one node is this machine; leave nodeSelector and node affinity out"),
    ("untolerated taint", "The one node is this machine; tolerate its taint, or take that away"),
    ("Too many pods", "The one node is this machine; ask for fewer replicas"),
)


@dataclass(frozen=True, slots=True)
class PodState:
    """`trouble` says what keeps the pod from running, or ""; pods with the same trouble have the same words."""

    word: str
    trouble: str = ""
    container: str = ""  # the one that is in trouble

    @property
    def stuck(self) -> bool:
        """It cannot start as things are, however long one waits."""
        return self.word in (UNSCHEDULABLE, NO_CONFIG) or self.word in IMAGE_TROUBLE


def state_of(pod: Mapping[str, Any]) -> PodState:
    """What is the matter with it just now."""
    status: Mapping[str, Any] = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return PodState("Terminating")
    phase = status.get("phase", "Pending")
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return PodState(UNSCHEDULABLE, f"cannot be scheduled: {why_nowhere(scheduled.get('message', ''))}")
    for container in containers(status):
        if (troubled := in_trouble(container)) is not None:
            return troubled
    if phase == "Running" and (conditions.get("Ready") or {}).get("status") == "True":
        return PodState("Ready")
    return PodState(starting(status) if phase == "Pending" else phase)


def why_nowhere(message: str) -> str:
    """What the scheduler says, as far as it matters here, and as a sentence of its own the way out."""
    found = NO_NODE.match(message)
    why = TALLY.sub("", found["why"]) if found else message
    way = next((f". {way}" for words, way in WAYS if words in why), "")
    more = " ".join(f"--node-resources {name}=AMOUNT" for name in LACKED.findall(why)) if way else ""
    return f"{why}{way}{more}"


def containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Init containers first: they run first."""
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def in_trouble(container: Mapping[str, Any]) -> PodState | None:
    """A container that waits for what does not come by itself, or None."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, name = waiting.get("reason", ""), container["name"]
    if reason == CRASHING:  # its message counts the seconds until the next try, and names the pod: news every time
        return PodState(reason, f"{reason}: {how_it_ended(container)}", name)
    if reason in IMAGE_TROUBLE or reason in OTHER_TROUBLE:
        return PodState(reason, f"{reason}: {waiting.get('message', '')}", name)
    return None


def how_it_ended(container: Mapping[str, Any]) -> str:
    """The last run of a container that crashes."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if "exitCode" not in ended:
        return "it ends again and again"
    reason = ended.get("reason", "")
    return f"exit code {ended['exitCode']}{f' ({reason})' if reason not in ('', 'Error') else ''}"


def starting(status: Mapping[str, Any]) -> str:
    """A Pending pod: which of its init containers runs, if one does."""
    for container in status.get("initContainerStatuses") or ():
        if "running" in (container.get("state") or {}):
            return f"Init: {container['name']}"
    return "Pending"
