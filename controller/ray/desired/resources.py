"""What a node tells Ray it has, and what a cluster asks of Kubernetes (spec raycluster §10.5, §19.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from api.meta import Json
from api.quantity import ZERO, Quantity, total
from controller.ray.desired.facts import Facts, Group

__all__ = ["desired_resources", "is_gpu", "with_resources"]

MIG: Final = re.compile(r"nvidia\.com/mig-\d+g\.\d+gb$", re.ASCII)
TPU: Final = "google.com/tpu"
ACCELERATORS: Final[Mapping[str, str]] = {"aws.amazon.com/neuroncore": "neuron_cores", TPU: "TPU"}  # limit -> Ray's
QUOTES: Final = "'\"` "  # what surrounds the JSON in rayStartParams.resources


def is_gpu(resource: str) -> bool:
    """Is this resource of a container a GPU, or a part of one?"""
    return resource.endswith("gpu") or MIG.search(resource) is not None


def with_resources(params: Mapping[str, str], group: Group) -> dict[str, str]:
    """The parameters with what the group's `resources` and the Ray container's limits say.

    `resources` of the group override parameters; limits fill in what is still unsaid.
    """
    return _from_container(_from_group(params, group.resources), group.container)


def _from_group(params: Mapping[str, str], resources: Mapping[str, str]) -> dict[str, str]:
    completed, custom = dict(params), {}
    for name, text in sorted(resources.items()):
        amount = _parsed(text)
        if amount is None:
            continue
        if name.lower() == "cpu":
            completed["num-cpus"] = str(amount.ceil())
        elif name.lower() == "memory":
            completed["memory"] = str(amount.ceil())
        elif is_gpu(name.lower()):
            completed["num-gpus"] = str(amount.ceil())
        else:
            custom[name] = amount.ceil()  # Ray takes whole numbers only, and the autoscaler rounds up, too
    if custom:
        completed["resources"] = _rendered(custom)
    return completed


def _from_container(params: Mapping[str, str], container: Json) -> dict[str, str]:
    completed = dict(params)
    limits = _amounts(container, "limits")
    cpus = limits.get("cpu") or _amounts(container, "requests").get("cpu")
    if cpus:
        completed.setdefault("num-cpus", str(cpus.ceil()))
    if limits.get("memory"):
        completed.setdefault("memory", str(limits["memory"].ceil()))
    return _with_accelerators(completed, limits)


def _with_accelerators(params: dict[str, str], limits: Mapping[str, Quantity]) -> dict[str, str]:
    try:
        custom = json.loads(params["resources"].strip(QUOTES)) if "resources" in params else {}
    except ValueError:
        return params  # not ours to repair, and then nothing is added to it; as the reference
    if not isinstance(custom, dict):
        return params
    present = [name for name, amount in sorted(limits.items()) if amount]
    gpu = next((name for name in present if is_gpu(name)), None)
    if gpu is not None:
        params.setdefault("num-gpus", str(limits[gpu].ceil()))
    special = next((name for name in present if name in ACCELERATORS), None)
    if special is not None and not custom.keys() & set(ACCELERATORS.values()):
        params["resources"] = _rendered(custom | {ACCELERATORS[special]: limits[special].ceil()})
    return params


def _rendered(custom: Mapping[str, Any]) -> str:
    """As the shell must get it (spec ray-side S1-5)."""
    whole = {name: int(one) if isinstance(one, float) and one.is_integer() else one for name, one in custom.items()}
    return "'" + json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "'"


def desired_resources(facts: Facts) -> dict[str, Quantity]:
    """cpu, memory, gpu and tpu that the whole cluster asks for: the status' desired* (spec raycluster §19.1).

    Replicas are taken as the spec has them, not clamped, and suspended groups count for nothing.
    """
    parts = [(_of_template(facts.head.template), 1)]
    parts += [
        (_of_template(group.template), group.replicas * group.hosts) for group in facts.workers if not group.suspended
    ]
    asked = [{name: amount * times for name, amount in one.items()} for one, times in parts if times > 0]
    return {
        "cpu": total(one.get("cpu", ZERO) for one in asked),
        "memory": total(one.get("memory", ZERO) for one in asked),
        "gpu": total(amount for one in asked for name, amount in sorted(one.items()) if is_gpu(name)),
        "tpu": total(one.get(TPU, ZERO) for one in asked),
    }


def _of_template(template: Json) -> dict[str, Quantity]:
    """Per resource the sum over the containers that the user wrote: the request, else the limit."""
    summed: dict[str, Quantity] = {}
    for container in template["spec"]["containers"]:
        asked = _amounts(container, "limits") | _amounts(container, "requests")
        for name, amount in asked.items():
            summed[name] = summed.get(name, ZERO) + amount
    return summed


def _amounts(container: Json, which: str) -> dict[str, Quantity]:
    """Limits or requests; what is no quantity is left out, for the API server refuses such a pod anyway."""
    written = (container.get("resources") or {}).get(which) or {}
    parsed = {name: _parsed(text) for name, text in written.items()}
    return {name: amount for name, amount in parsed.items() if amount is not None}


@lru_cache(maxsize=1024)  # few amounts are asked for, by all clusters, in each pass
def _parsed(text: str | int) -> Quantity | None:
    try:
        return Quantity.parse(text)
    except ValueError:
        return None
