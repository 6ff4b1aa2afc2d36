"""What is posted to a subresource of a pod: a binding to a node, an eviction (spec kube-api §15)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.core import Core
from localcluster.apiserver.incoming import check_options, conformed, is_dry
from localcluster.apiserver.metadata import wire_time
from localcluster.apiserver.refusals import bad_request, not_found
from localcluster.apiserver.removing import Remover
from localcluster.apiserver.requests import Answer, Body, Request
from localcluster.apiserver.selectors import parse_labels
from localcluster.apiserver.subresources import selector_text

__all__ = ["bind", "evict"]

_SUCCESS: Final = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_BUDGETS: Final = "poddisruptionbudgets.policy"


def bind(core: Core, request: Request, body: Body) -> Answer:
    """Give a pod to a node, once (SUB-1). Raises Refusal."""
    check_options("CreateOptions", request.options)
    value = conformed("core.v1.Binding", "Binding", body.value)
    entry = core.get(request.resource, request.namespace, request.name)
    if entry is None:
        raise not_found(request.resource, request.name)
    pod = core.decoded(request.resource, entry)
    node = (value.get("target") or {}).get("name", "")
    if not node:
        raise Refusal(422, "Invalid", 'Binding "" is invalid: target.name: Required value')
    if assigned := pod["spec"].get("nodeName"):
        why = f'pod {request.name} is already assigned to node "{assigned}"'
        message = f'Operation cannot be fulfilled on pods/binding "{request.name}": {why}'
        raise Refusal(409, "Conflict", message, {"name": request.name, "kind": "pods/binding"})
    pod["spec"]["nodeName"] = node
    for key in ("labels", "annotations"):
        if added := (value.get("metadata") or {}).get(key):
            pod["metadata"][key] = {**(pod["metadata"].get(key) or {}), **added}
    _set_scheduled(pod, wire_time(core.now()))
    if not is_dry(request.options):
        core.put(request.resource, pod)
    return Answer(201, orjson.dumps(_SUCCESS))


def _set_scheduled(pod: Json, now: str) -> None:
    status = pod.setdefault("status", {})
    others = [one for one in status.get("conditions") or () if one["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status["conditions"] = [*others, scheduled]


async def evict(core: Core, remover: Remover, request: Request, body: Body) -> Answer:
    """Delete a pod unless a disruption budget forbids it (SUB-6). Raises Refusal."""
    check_options("CreateOptions", request.options)
    value = conformed("policy.v1.Eviction", "Eviction", body.value)
    if (value.get("metadata") or {}).get("name", request.name) != request.name:
        raise bad_request("name in URL does not match name in Eviction object")
    entry = core.get(request.resource, request.namespace, request.name)
    if entry is None:
        raise not_found(request.resource, request.name)
    pod = core.decoded(request.resource, entry)
    if (pod.get("status") or {}).get("phase") in {"Pending", "Running"}:
        _check_budgets(core, pod)
    asked = value.get("deleteOptions") or {}
    conditions = asked.get("preconditions") or {}
    options = replace(
        request.options,
        dry_run=request.options.dry_run or asked.get("dryRun") or (),
        grace_seconds=asked.get("gracePeriodSeconds"),
        propagation=asked.get("propagationPolicy") or "",
        precondition_uid=conditions.get("uid") or "",
        precondition_version=conditions.get("resourceVersion") or "",
    )
    await remover.delete(replace(request, subresource="", options=options), asking=False)  # an eviction is no DELETE
    return Answer(201, orjson.dumps(_SUCCESS))


def _check_budgets(core: Core, pod: Json) -> None:
    """A budget's own status says how many disruptions it still allows."""
    metadata = pod["metadata"]
    for entry in core.store.snapshot(_BUDGETS).range(metadata["namespace"]):
        budget = orjson.loads(entry.raw)
        test = parse_labels(selector_text((budget.get("spec") or {}).get("selector")))
        if test is not None and not test(metadata.get("labels") or {}):
            continue
        status = budget.get("status") or {}
        if status.get("disruptionsAllowed", 0) > 0:
            continue
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        text = f"The disruption budget {entry.name} needs {needs} healthy pods and has {has} currently"
        message = "Cannot evict pod as it would violate the pod's disruption budget."
        raise Refusal(429, "TooManyRequests", message, {"causes": [{"reason": "DisruptionBudget", "message": text}]})
