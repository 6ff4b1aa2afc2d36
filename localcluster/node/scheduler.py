"""The scheduler: finds a node for each pod, or says why there is none (in the words of kube-scheduler).

`fit` and what it calls are pure; `Scheduler` keeps count of what is taken and binds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, TypeAlias

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Key, Mirrors, key_of
from localcluster.quantities import quantity
from localcluster.recorder import Recorder
from localcluster.worklist import Worklist

__all__ = ["Scheduler", "misfits", "requests_of", "too_large", "unschedulable_message"]

Amounts: TypeAlias = Mapping[str, Fraction]

NAME = "default-scheduler"
BINDINGS_AT_ONCE = 4
_FINAL = ("Succeeded", "Failed")


def requests_of(pod: Json) -> dict[str, Fraction]:
    """What the pod takes of a node: its main containers and sidecars together, or its largest init container."""
    spec = pod["spec"]
    total: dict[str, Fraction] = {}
    for container in spec["containers"]:
        _add(total, _requests(container))
    beside: dict[str, Fraction] = {}  # sidecars that run already while an init container does
    peak: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(beside, _requests(container))
            _most(peak, beside)
        else:
            _most(peak, _sum(beside, _requests(container)))
    _add(total, beside)
    _most(total, peak)
    _add(total, {name: quantity(value) for name, value in (spec.get("overhead") or {}).items()})
    return {"pods": Fraction(1), **{name: amount for name, amount in total.items() if amount}}


def _requests(container: Json) -> dict[str, Fraction]:
    resources = container.get("resources") or {}
    given = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(value) for name, value in given.items()}


def _add(total: dict[str, Fraction], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _sum(one: Amounts, other: Amounts) -> dict[str, Fraction]:
    total = dict(one)
    _add(total, other)
    return total


def _most(total: dict[str, Fraction], other: Amounts) -> None:
    for name, amount in other.items():
        total[name] = max(total.get(name, Fraction(0)), amount)


def misfits(pod: Json, wanted: Amounts, node: Json, taken: Amounts) -> tuple[str, ...]:
    """Why the pod cannot run there; empty if it can. What more room could not mend comes alone."""
    fixed = _untolerated(pod, node) or _unmatched(pod, node)
    if fixed:
        return (fixed,)
    has = (node.get("status") or {}).get("allocatable") or {}
    reasons = []
    for name, amount in wanted.items():
        free = quantity(has.get(name, "0")) - taken.get(name, Fraction(0))
        if amount > free:
            reasons.append("Too many pods" if name == "pods" else f"Insufficient {name}")
    return tuple(reasons)


def _untolerated(pod: Json, node: Json) -> str:
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        return "node(s) were unschedulable"
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in spec.get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not any(_tolerates(one, taint) for one in tolerations):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if not toleration.get("key"):
        return bool(toleration.get("operator") == "Exists")
    if toleration["key"] != taint["key"]:
        return False
    return bool(toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""))


def _unmatched(pod: Json, node: Json) -> str:
    labels = node["metadata"].get("labels") or {}
    selector = pod["spec"].get("nodeSelector") or {}
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    selected = all(labels.get(key) == value for key, value in selector.items())
    terms = (affinity or {}).get("nodeSelectorTerms") or ()
    liked = not affinity or any(_term_matches(term, labels, node["metadata"]["name"]) for term in terms)
    return "" if selected and liked else "node(s) didn't match Pod's node affinity/selector"


def _term_matches(term: Json, labels: Mapping[str, str], name: str) -> bool:
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_matches(one, labels) for one in expressions) and all(
        _matches(one, {"metadata.name": name}) for one in fields
    )


def _matches(expression: Json, labels: Mapping[str, str]) -> bool:
    operator: str = expression["operator"]
    values: Sequence[str] = expression.get("values") or ()
    value = labels.get(expression["key"])
    if operator in ("In", "NotIn"):
        return (value in values) == (operator == "In")
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (operator == "Exists")
    if value is None or not value.lstrip("-").isdigit():
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def too_large(wanted: Amounts, node: Json) -> bool:
    """The pod wants more than the whole node has: nothing that goes from there makes room enough."""
    has = (node.get("status") or {}).get("allocatable") or {}
    return any(amount > quantity(has.get(name, "0")) for name, amount in wanted.items())


def unschedulable_message(reasons: Sequence[tuple[str, ...]], hopeless: int) -> str:
    """One sentence about all nodes, each of which gave its reasons; `hopeless` are those that are too small by far."""
    if not reasons:
        return "no nodes available to schedule pods"
    count = len(reasons)
    tally = Counter(reason for of_node in reasons for reason in of_node)
    listed = ", ".join(sorted(f"{times} {reason}" for reason, times in tally.items()))
    helpless = hopeless + sum(1 for of_node in reasons if any(reason.startswith("node(s)") for reason in of_node))
    preemption = []
    if count - helpless:
        preemption.append(f"{count - helpless} No preemption victims found for incoming pod")
    if helpless:
        preemption.append(f"{helpless} Preemption is not helpful for scheduling")
    head = f"0/{count} nodes are available"
    return f"{head}: {listed}. no new claims to deallocate, preemption: {head}: {', '.join(preemption)}."


class Scheduler:
    """Binds pods that have no node yet. Those without a place are tried again whenever something became free."""

    def __init__(
        self,
        api: Api,
        mirrors: Mirrors,
        *,
        now: Callable[[], datetime],
        tell_events: bool = True,
        workers: int = BINDINGS_AT_ONCE,
    ) -> None:
        self._api, self._mirrors, self._now, self._tell_events = api, mirrors, now, tell_events
        self._recorder = Recorder(api, NAME, now=now, new_style="Scheduling")
        self._work: Worklist[Key] = Worklist(self._schedule, workers=workers)
        self._placed: dict[str, tuple[str, dict[str, Fraction]]] = {}  # pod uid -> its node, and what it takes there
        self._taken: dict[str, dict[str, Fraction]] = {}
        self._homeless: set[Key] = set()

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            await self._mirrors.synced("nodes")
            self._mirrors.of("nodes").subscribe(self._node_changed)
            self._mirrors.of("pods").subscribe(self._pod_changed)
            group.create_task(self._work.run())

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if old is None or new is None or _offer(old) != _offer(new):
            self._try_again()

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        if pod is None:
            return
        key, uid = key_of(pod), pod["metadata"]["uid"]
        if new is None or (new.get("status") or {}).get("phase") in _FINAL:
            self._homeless.discard(key)
            if self._release(uid):
                self._try_again()
        elif node := new["spec"].get("nodeName"):
            self._homeless.discard(key)
            if uid not in self._placed:
                self._reserve(uid, node, requests_of(new))
        elif old is None or old["spec"].get("schedulingGates"):
            self._work.add(key)

    def _try_again(self) -> None:
        for key in self._homeless:
            self._work.add(key)

    def _reserve(self, uid: str, node: str, wanted: dict[str, Fraction]) -> None:
        self._placed[uid] = node, wanted
        _add(self._taken.setdefault(node, {}), wanted)

    def _release(self, uid: str) -> bool:
        node, wanted = self._placed.pop(uid, ("", {}))
        if node:
            _add(self._taken[node], {name: -amount for name, amount in wanted.items()})
        return bool(node)

    async def _schedule(self, key: Key) -> float | None:
        pod = self._mirrors.of("pods").objects.get(key)
        if pod is None or not _waits_for_us(pod) or pod["metadata"]["uid"] in self._placed:
            return None
        wanted = requests_of(pod)
        refused: list[tuple[str, ...]] = []
        hopeless = 0
        best, most_free = "", Fraction(-1)
        for (_, name), node in self._mirrors.of("nodes").objects.items():
            taken = self._taken.get(name, {})
            reasons = misfits(pod, wanted, node, taken)
            if reasons:
                refused.append(reasons)
                hopeless += not reasons[0].startswith("node(s)") and too_large(wanted, node)
            elif (free := _free_share(node, taken)) > most_free:
                best, most_free = name, free
        if best:
            await self._bind(pod, best, wanted)
        else:
            self._homeless.add(key)
            await self._tell_unschedulable(pod, unschedulable_message(refused, hopeless))
        return None

    async def _bind(self, pod: Json, node: str, wanted: dict[str, Fraction]) -> None:
        metadata = pod["metadata"]
        self._reserve(metadata["uid"], node, wanted)  # before the request: nobody else may count on this room
        self._homeless.discard(key_of(pod))
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"kind": "Node", "name": node},
        }
        try:
            await self._api.create("pods", metadata["namespace"], body, subresource="binding")
        except Refusal as refusal:
            self._release(metadata["uid"])
            if refusal.code in (404, 409):
                return  # gone, or somebody else was quicker: the watch tells
            raise
        except OSError:
            self._release(metadata["uid"])
            raise
        self._say(
            pod, "Normal", "Scheduled", f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        )

    async def _tell_unschedulable(self, pod: Json, message: str) -> None:
        status = pod.get("status") or {}
        before = next((one for one in status.get("conditions") or () if one["type"] == "PodScheduled"), None)
        if before is not None and before.get("message") == message:
            return
        moment = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "observedGeneration": pod["metadata"].get("generation"),
            "lastProbeTime": None,
            "lastTransitionTime": before["lastTransitionTime"] if before else moment,
        }
        others = [one for one in status.get("conditions") or () if one["type"] != "PodScheduled"]
        metadata = pod["metadata"]
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [*others, condition]}}
        try:
            await self._api.patch("pods", metadata["namespace"], metadata["name"], body, subresource="status")
        except Refusal as refusal:
            if refusal.code not in (404, 409, 422):
                raise
        self._say(pod, "Warning", "FailedScheduling", message)

    def _say(self, pod: Json, type_: Any, reason: str, message: str) -> None:
        if self._tell_events:
            about = {"kind": "Pod", "apiVersion": "v1", "metadata": pod["metadata"]}
            self._recorder.say(about, type_, reason, message)


def _offer(node: Json) -> tuple[Any, ...]:
    """What of a node decides who fits."""
    return node.get("spec"), node["metadata"].get("labels"), (node.get("status") or {}).get("allocatable")


def _waits_for_us(pod: Json) -> bool:
    spec = pod["spec"]
    return not (
        spec.get("nodeName")
        or pod["metadata"].get("deletionTimestamp")
        or spec.get("schedulingGates")
        or spec.get("schedulerName", NAME) != NAME
    )


def _free_share(node: Json, taken: Amounts) -> Fraction:
    """The free part of the node's CPUs: the emptiest node is taken."""
    total = quantity(((node.get("status") or {}).get("allocatable") or {}).get("cpu", "0"))
    return (total - taken.get("cpu", Fraction(0))) / total if total else Fraction(0)
