"""What is to be done about a RayCluster: from one look at it to a plan (spec raycluster §5, §8, §17, §18). Pure.

The order of the writes: what pods need (rights, token, Services) first; then the head, and beside it whatever pods
have to go; then workers. Groups are lanes of their own, so the trouble of one does not starve the others. While the
head is refused, no worker is tried: a full quota is asked once a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from api import core
from api.meta import Json, Resource, controller_of
from api.v1 import wire
from api.v1.raycluster import RayClusterCondition
from controller.ray.desired import auth, hashes, ingress, pods, rbac, services
from controller.ray.desired.facts import Facts, Group
from controller.ray.desired.names import HEAD_SLOT, Slot
from controller.ray.desired.pods import Place
from controller.ray.options import Options
from controller.ray.raycluster.replicas import Past, scale_replicas
from controller.ray.raycluster.scaling import Cause, Naming, Scaling, burned, health_note, scale, verdict_on
from controller.ray.raycluster.seen import Fresh, PodView, Seen
from controller.ray.raycluster.validation import STATUS_REASON, advice, refusal
from controller.ray.raycluster.writes import Kind, Why
from controller.runtime.diff import merge_patch
from controller.runtime.errors import RuntimeProblem
from controller.runtime.plan import Announcement, Create, Delete, MergePatch, Outcome, Plan, Result, Step, Write

__all__ = ["REPORTED", "PodStep", "Stuck", "decide", "kept_ticket", "managed_elsewhere", "new_ticket", "pod_step"]

# Key of Plan.notes: does this pass say something about the status? Never where the spec was refused.
REPORTED: Final = "reported"
IDENTITY: Final = (wire.ANNOTATION_SLOT, wire.ANNOTATION_SLOT_TICKET)

Lane = tuple[Write, ...]


class Stuck(RuntimeProblem):
    """The cluster cannot be brought on as it is; the message says what has to change."""


class PodStep(Enum):
    """What this pass does to pods."""

    KEEP_UP = "create what is missing, delete what is too much"
    HOLD = "nothing"
    DELETE_ALL = "delete all"


def decide(seen: Seen, options: Options, fresh: Fresh) -> Plan:
    """The plan for a cluster as it was seen; empty where there is nothing to do, or nothing for us to do."""
    if managed_elsewhere(seen) or seen.deleting:
        return Plan()  # what a deleted cluster owns goes by garbage collection
    complaint = refusal(seen, options)
    if complaint is not None:
        again = Stuck(complaint.note) if complaint.reason == STATUS_REASON else None  # a status may be mended unseen
        return Plan(events=(complaint,), result=Result(error=again))
    facts = seen.asks(options)
    children = _Children.of(seen, facts, options, fresh)
    if children.problem is not None:
        return Plan(
            steps=_steps(children.lanes),
            events=children.events,
            result=Result(error=children.problem),
            notes={REPORTED: True},
        )
    plan = _pods(seen, facts, options, fresh)
    if plan.record is not None:
        return plan
    return Plan(
        steps=(*_steps(children.lanes), *plan.steps),
        events=(*advice(seen, options), *children.events, *plan.events),
        result=plan.result,
        notes={REPORTED: True} | plan.notes,
    )


def managed_elsewhere(seen: Seen) -> bool:
    """Is the cluster another controller's to manage? An empty name is another's, too (spec raycluster E16)."""
    spec = seen.object.get("spec") or {}
    return spec.get("managedBy") not in (None, wire.MANAGER)


def new_ticket(seen: Seen, ticket: str) -> MergePatch:
    """Store a ticket, before any pod is named after it (design W2, W5)."""
    return MergePatch(
        wire.RAY_CLUSTERS,
        seen.namespace,
        seen.name,
        seen.uid,
        {"metadata": {"annotations": {wire.ANNOTATION_TICKET: ticket}}},
        resource_version=seen.resource_version,
    )


def kept_ticket(seen: Seen, outcomes: Iterable[Outcome]) -> MergePatch | None:
    """What to store before the first status is written while pods are still to come, or None.

    The UID stands for the ticket while the status is empty. Written down, it does so on, and the names of the pods
    that are missing stay the same, however often the server refuses them.
    """
    recorded = wire.ANNOTATION_TICKET in seen.cluster.annotations
    if recorded or not seen.status_is_empty or all(one.good for one in outcomes):
        return None
    return new_ticket(seen, seen.ticket)


def _steps(*groups: Iterable[Lane]) -> tuple[Step, ...]:
    """Steps of the lanes in which there is something to do."""
    filled = (tuple(lane for lane in lanes if lane) for lanes in groups)
    return tuple(Step(lanes) for lanes in filled if lanes)


# What pods need


@dataclass(frozen=True, slots=True)
class _Children:
    """What is to be made beside pods, each in a lane of its own, and what keeps it from being made."""

    lanes: tuple[Lane, ...] = ()
    events: tuple[Announcement, ...] = ()
    problem: Stuck | None = None

    @classmethod
    def of(cls, seen: Seen, facts: Facts, options: Options, fresh: Fresh) -> _Children:
        where = f"{seen.namespace}/{seen.name}"
        writes = [*_rights(seen, facts), *_token(seen, facts, options, fresh), *_services(seen, facts, options)]
        entrance, events = _ingress(seen, facts)
        lanes = tuple((write,) for write in (*writes, *entrance))
        account = rbac.chosen_service_account(facts)
        if facts.autoscaling and account and not seen.rights.service_account:
            problem = f"the head template names the ServiceAccount {account}, which does not exist; create it"
            note = f"Failed to reconcile RayCluster {where}. {problem[:1].upper()}{problem[1:]}"
            event = Announcement("Warning", "AutoscalerServiceAccountNotFound", "Validate", note)
            return cls(lanes, (*events, event), Stuck(problem))
        if len(seen.head_services) > 1:
            found = ", ".join(one["metadata"]["name"] for one in seen.head_services)
            return cls(lanes, events, Stuck(f"more than one Service stands for the head: {found}; delete all but one"))
        if services.asks_for_serve_service(facts) and seen.serve_service is None and services.serve(facts) is None:
            problem = "a serve Service is asked for, but the head declares ports and none is named serve or serve-*"
            return cls(lanes, events, Stuck(problem))
        return cls(lanes, events)


def _rights(seen: Seen, facts: Facts) -> list[Write]:
    if not facts.autoscaling:
        return []
    writes: list[Write] = []
    if not seen.rights.service_account and not rbac.chosen_service_account(facts):
        writes.append(_adopting(core.SERVICE_ACCOUNTS, rbac.service_account(facts), Kind.SERVICE_ACCOUNT))
    if not seen.rights.role:
        writes.append(_adopting(core.ROLES, rbac.role(facts), Kind.ROLE))
    if not seen.rights.role_binding:
        writes.append(_adopting(core.ROLE_BINDINGS, rbac.role_binding(facts), Kind.ROLE_BINDING))
    return writes


def _token(seen: Seen, facts: Facts, options: Options, fresh: Fresh) -> list[Write]:
    """Secrets are not watched: a token is made with the head, and one that is there is used as it is.

    While pods are refused it is there: it was made in the pass in which the first of them was, if the spec asked for
    one then.
    """
    of_this_spec = seen.cluster.status.observed_generation == seen.cluster.generation
    made = of_this_spec and seen.holds(RayClusterCondition.REPLICA_FAILURE)
    if made or not auth.needs_secret(facts) or not _head_is_due(seen, options):
        return []
    return [_adopting(core.SECRETS, auth.secret(facts, fresh.token), Kind.AUTH_SECRET)]


def _adopting(resource: Resource, body: Json, kind: Kind) -> Create:
    return Create(resource, body, why=Why(kind), adopt_foreign=True)


def _services(seen: Seen, facts: Facts, options: Options) -> list[Write]:
    writes: list[Write] = []
    if not seen.head_services:
        writes.append(Create(core.SERVICES, services.head(facts, options), why=Why(Kind.HEAD_SERVICE)))
    if facts.multi_host and seen.headless_service is None:
        writes.append(Create(core.SERVICES, services.headless(facts), why=Why(Kind.HEADLESS_SERVICE)))
    if services.asks_for_serve_service(facts) and seen.serve_service is None:
        body = services.serve(facts)
        if body is not None:
            writes.append(Create(core.SERVICES, body, why=Why(Kind.SERVE_SERVICE)))
    return writes


def _ingress(seen: Seen, facts: Facts) -> tuple[list[Write], tuple[Announcement, ...]]:
    """Make it, or repair it; another's is left alone, and that is no error."""
    if facts.ingress is None:
        return [], ()
    wanted, there = ingress.ingress(facts), seen.ingress
    if there is None:
        return [Create(core.INGRESSES, wanted, why=Why(Kind.CREATE_INGRESS))], ()
    name = there["metadata"]["name"]
    owner = controller_of(there["metadata"])
    if owner is None or owner["uid"] != seen.uid:
        note = f"Ingress {seen.namespace}/{name} exists and is not owned by RayCluster {seen.namespace}/{seen.name}"
        return [], (Announcement("Warning", "FailedToCreateIngress", "Create", note),)
    chosen = there["spec"].get("ingressClassName")
    if chosen and "ingressClassName" not in wanted["spec"]:
        wanted["spec"]["ingressClassName"] = chosen  # a default that the API server filled in stays
    change = merge_patch(ingress.managed(there), ingress.managed(wanted))
    if not change:
        return [], ()
    version = there["metadata"].get("resourceVersion")
    why, uid = Why(Kind.UPDATE_INGRESS), there["metadata"]["uid"]
    return [MergePatch(core.INGRESSES, seen.namespace, name, uid, change, why=why, resource_version=version)], ()


# Pods


def pod_step(seen: Seen, options: Options) -> PodStep:
    """What becomes of the pods while suspend is asked for, under way, done or undone (spec raycluster §18)."""
    asked = bool(seen.cluster.spec and seen.cluster.spec.suspend)
    if seen.holds(RayClusterCondition.SUSPENDING):
        return PodStep.DELETE_ALL  # it cannot be stopped half-way, not even by asking
    if not options.gates.ray_cluster_status_conditions:
        return PodStep.DELETE_ALL if asked else PodStep.KEEP_UP
    if asked or seen.holds(RayClusterCondition.SUSPENDED):
        return PodStep.HOLD  # the status says first what is going to happen
    return PodStep.KEEP_UP


def _pods(seen: Seen, facts: Facts, options: Options, fresh: Fresh) -> Plan:
    step = pod_step(seen, options)
    if step is PodStep.DELETE_ALL:
        return Plan(steps=_steps([_all_gone(seen, Kind.SUSPEND)]))
    if step is PodStep.HOLD or seen.predecessors:
        return Plan()  # pods of a deleted namesake still answer to the head's name: wait until they are gone
    if len(seen.heads) > 1:
        found = ", ".join(pod.name for pod in seen.heads)
        problem = Stuck(f"more than one head pod: {found}; delete all but one")
        return Plan(result=Result(error=problem), notes={REPORTED: False})
    upgrade = _upgrade(seen, options)
    if upgrade is not None and not isinstance(upgrade, MergePatch):
        return Plan(steps=_steps(*([lane] for lane in upgrade)))
    if not seen.heads and _head_is_not_replaced(seen):
        return Plan()
    return _kept_up(seen, facts, options, fresh, upgrade)


def _head_is_due(seen: Seen, options: Options) -> bool:
    """Is a head to be made now?"""
    if seen.heads or seen.predecessors or pod_step(seen, options) is not PodStep.KEEP_UP:
        return False
    return not _head_is_not_replaced(seen)


def _all_gone(seen: Seen, kind: Kind) -> Lane:
    return tuple(_delete(pod, seen, Why(kind)) for pod in seen.pods if not pod.deleting)


def _delete(pod: PodView, seen: Seen, why: Why) -> Delete:
    return Delete(core.PODS, seen.namespace, pod.name, pod.uid, why=why)


def _head_is_not_replaced(seen: Seen) -> bool:
    """A RayJob in sidecar mode runs in the head: once it was up, a second head would run the job twice."""
    asked = seen.cluster.annotations.get(wire.ANNOTATION_NO_HEAD_RESTART) == "true"
    return asked and seen.holds(RayClusterCondition.PROVISIONED)


def _upgrade(seen: Seen, options: Options) -> MergePatch | tuple[Lane, Lane] | None:
    """What `upgradeStrategy: Recreate` asks for: deletes in two steps, or only our stamp on another operator's head."""
    strategy = seen.cluster.spec.upgrade_strategy if seen.cluster.spec else None
    if strategy is None or strategy.type != "Recreate" or not seen.heads:
        return None
    head, spec_hash = seen.heads[0], hashes.spec_hash(seen.object["spec"])
    version = head.annotations.get(wire.ANNOTATION_OPERATOR_VERSION, "")
    stored = head.annotations.get(wire.ANNOTATION_RECREATE_HASH, "")
    if version and version != options.version:
        stamp = {wire.ANNOTATION_RECREATE_HASH: spec_hash, wire.ANNOTATION_OPERATOR_VERSION: options.version}
        body = {"metadata": {"annotations": stamp}}
        return MergePatch(core.PODS, seen.namespace, head.name, head.uid, body, why=Why(Kind.ADOPT_HEAD))
    if not stored or stored == spec_hash:
        return None
    # The head when all others are on their way out, so in a step of its own: the hash on it says that they are
    # outdated, also to an operator that died in between or was refused one of them.
    going = {pod.uid: _delete(pod, seen, Why(Kind.RECREATE)) for pod in seen.pods if not pod.deleting}
    last = going.pop(head.uid, None)
    return tuple(going.values()), () if last is None else (last,)


def _kept_up(seen: Seen, facts: Facts, options: Options, fresh: Fresh, stamp: MergePatch | None) -> Plan:
    may_choose = not facts.autoscaling or options.random_pod_delete
    groups = [group for group in facts.workers if facts.group(group.name) is group]  # two of a name would fight
    scalings = [_scaling(seen, group, options, may_choose=may_choose) for group in groups]
    if _ticket_is_needed(seen, facts, scalings):
        return Plan(record=new_ticket(seen, fresh.ticket))
    both = list(zip(groups, scalings, strict=True))
    going = [_going(seen, group, one) for group, one in both]
    coming = [_coming(seen, facts, group, one, options) for group, one in both]
    stamped: Lane = (stamp,) if stamp is not None else ()
    if seen.heads:
        ended = _head_gone(seen)
        lanes = [(*gone, *come) for gone, come in zip(going, coming, strict=True)]
        return Plan(steps=_steps([stamped, ended, *lanes]))
    place, spec_hash = Place(HEAD_SLOT, seen.ticket), hashes.spec_hash(seen.object["spec"])
    head = Create(core.PODS, pods.head(facts, place, spec_hash, options), why=Why(Kind.CREATE_HEAD), identity=IDENTITY)
    return Plan(steps=_steps([(head,), *going], coming))


def _scaling(seen: Seen, group: Group, options: Options, *, may_choose: bool) -> Scaling:
    workers = seen.workers_of(group.name)
    if group.hosts > 1 and options.gates.ray_multi_host_indexing:
        return scale_replicas(group, workers, Past(seen.ticket, seen.spent, seen.known), may_choose=may_choose)
    return scale(group, workers, may_choose=may_choose)


def _ticket_is_needed(seen: Seen, facts: Facts, scalings: Sequence[Scaling]) -> bool:
    filling: list[Slot] = [slot for one in scalings for slot in one.filling]
    if not seen.heads:
        filling.append(HEAD_SLOT)
    if not filling:
        return False
    dead = frozenset().union(*(group.workers_to_delete for group in facts.workers))
    return burned(filling, seen.ticket, seen.pods, seen.spent, dead, Naming(seen.name, seen.uid))


def _head_gone(seen: Seen) -> Lane:
    head = seen.heads[0]
    if head.deleting or verdict_on(head) is None:
        return ()
    return (_delete(head, seen, Why(Kind.DELETE_HEAD, tail=health_note(head))),)


KIND_OF_CAUSE: Final = {
    Cause.SUSPENDED_GROUP: Kind.SUSPEND_GROUP,
    Cause.UNHEALTHY: Kind.DELETE_UNHEALTHY,
    Cause.NAMED: Kind.DELETE_NAMED,
    Cause.SURPLUS: Kind.DELETE_SURPLUS,
}


def _going(seen: Seen, group: Group, scaling: Scaling) -> Lane:
    return tuple(_delete(pod, seen, _why(pod, group, cause, text)) for pod, cause, text in scaling.going)


def _why(pod: PodView, group: Group, cause: Cause, text: str) -> Why:
    """`text`, if any, is why a whole replica goes."""
    if text:
        return Why(Kind.DELETE_HOST, group.name, health_note(pod), text)
    return Why(KIND_OF_CAUSE[cause], group.name, health_note(pod) if cause is Cause.UNHEALTHY else "")


def _coming(seen: Seen, facts: Facts, group: Group, scaling: Scaling, options: Options) -> Lane:
    places = [Place(slot, seen.ticket) for slot in scaling.filling]
    why = Why(Kind.CREATE_WORKER, group.name)
    bodies = pods.workers(facts, group, places, options)
    return tuple(Create(core.PODS, body, why=why, identity=IDENTITY) for body in bodies)
