"""Webhook, reconcile loop and lint say the same of an object, whatever it is (spec admission §4.1 P1).

Objects are made at random along their schemas, until the API server would store them. Lint gets them as they were
written, the webhook as the server hands them on, the loop as they are stored.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import pytest
from prometheus_client import CollectorRegistry

from api.v1.gates import DEFAULT_GATES
from api.v1.raycluster import RayCluster
from api.v1.raycronjob import RayCronJobSpec
from api.v1.rayservice import RayServiceSpec
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.settings import AdmissionSettings, Profile
from api.v1.wire import MANAGER
from controller.admission import context_of
from controller.ray.concerns import concern_of
from controller.ray.options import Options
from controller.ray.raycluster import validation as raycluster
from controller.ray.raycluster.seen import Seen
from controller.ray.raycronjob import seen as cron
from controller.ray.raycronjob import validation as raycronjob
from controller.ray.rayjob import validation as rayjob
from controller.ray.rayservice import seen as service
from controller.ray.rayservice import validation as rayservice
from controller.runtime.plan import Announcement
from controller.settings import options_from
from localcluster.testing.rayjob_history import RayJobHistory
from localcluster.testing.ruled import good
from localcluster.testing.shaped import KINDS, shaped_object, spoilt
from manta.documents import Document, steps_in
from manta.doubts import without
from manta.findings import Target, findings
from manta.served import Nowhere, served_kind
from webhooks.kinds import DOORS
from webhooks.server import hooks

OBJECTS: Final = int(os.environ.get("MANTA_FUZZ", "30"))  # of each kind and way of being strict
SEED: Final = os.environ.get("MANTA_FUZZ_SEED", "")  # another one makes other objects
TRIES: Final = 5  # rounds of taking away what the schema refuses
NAMES: Final = ("small", "a-b", "x" * 40, "x" * 60)
MOST_CAUSES: Final = 100
LARGEST: Final = 2**53
ID: Final = re.compile(r"\[([A-Z]+\d+)\]")

Json: TypeAlias = dict[str, Any]

REFUSALS: Final[Mapping[str, Callable[[Json, Options], Announcement | None]]] = {
    "RayCluster": lambda new, options: raycluster.refusal(Seen(object=new, cluster=RayCluster.from_json(new)), options),
    "RayJob": lambda new, options: rayjob.complaint(RayJobHistory(new, options).see()),
    "RayService": lambda new, options: rayservice.complaint(of_service(new, options)),
    "RayCronJob": lambda new, options: raycronjob.complaint(of_cron(new, options)),
}


def of_service(new: Json, options: Options) -> service.Seen:
    """A look at it, alone in the world."""
    spec, malformed = service.spec_of(new)
    return service.Seen(new, spec or RayServiceSpec.model_construct(), options, malformed=malformed)


def of_cron(new: Json, options: Options) -> cron.Seen:
    spec, malformed = cron.spec_of(new)
    return cron.Seen(new, spec or RayCronJobSpec.model_construct(), options, malformed)


@dataclass(frozen=True, slots=True)
class Pair:
    """An object as somebody wrote it, and as the server stores it."""

    written: Json
    stored: Json


def an_object(kind: str, chance: random.Random) -> Pair | None:
    """One that the API server stores; None if none was made of it in a few rounds."""
    served = served_kind("ray.io/v1", kind)
    assert served is not None
    made = shaped_object(kind, chance) if chance.random() < 0.5 else nearly_good(kind, chance)
    written: Json = {**in_json(made), "metadata": metadata_of(chance)}
    for _ in range(TRIES):
        stored, pruned = served.rules.decode(written)
        places = {steps_in(written, cause.field) for cause in served.rules.validate(stored, Nowhere())} - {()}
        if not places and not pruned:
            return Pair(written, stored)
        for steps in sorted(places, key=str, reverse=True):
            written = without(written, steps)
    return None


def nearly_good(kind: str, chance: random.Random) -> Json:
    """A good one with something else in a few places: most of what rules beyond the reference's are about."""
    made: Json = json.loads(json.dumps(good(kind)))
    for _ in range(chance.randrange(5)):
        node, key = chance.choice(leaves(made["spec"]))
        node[key] = spoilt(chance)
    return made


def in_json(node: Any) -> Any:
    """The same without what no server is ever sent: halves of characters, and numbers that are none or too large."""
    match node:
        case dict():
            return {key: in_json(one) for key, one in node.items()}
        case list():
            return [in_json(one) for one in node]
        case str():
            return node.encode(errors="ignore").decode()
        case int() | float() if not -LARGEST < node < LARGEST:  # nor is what is no number
            return 0
        case _:
            return node


def leaves(node: Any) -> list[tuple[Any, Any]]:
    """Where values stand that hold no others, as the node around them and the key."""
    found: list[tuple[Any, Any]] = []
    for key, one in node.items() if isinstance(node, dict) else enumerate(node):
        found += leaves(one) if isinstance(one, dict | list) and one else [(node, key)]
    return found


def metadata_of(chance: random.Random) -> Json:
    """What the server would let in, some of which rules look at."""
    annotations = {
        name: chance.choice(values)
        for name, values in {
            "ray.io/ft-enabled": ("true", "false", "maybe"),
            "ray.io/admission-skip": ("RV02,GPU05", "C9"),
            "ray.io/initializing-timeout": ("5m", "-1", "soon"),
        }.items()
        if chance.random() < 0.2
    }
    return {
        "name": chance.choice(NAMES),
        "namespace": "default",
        "uid": "u",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"kueue.x-k8s.io/queue-name": "q"} if chance.random() < 0.2 else {},
        "annotations": annotations,
    }


@dataclass(frozen=True, slots=True)
class Said:
    """What was refused, by place and rule, and all rules that spoke."""

    refused: list[tuple[str, str]]
    rules: set[str]


def ids_in(text: str) -> list[str]:
    return ID.findall(text)


@dataclass(frozen=True, slots=True)
class Operator:
    """One with these gates, and as strict as that."""

    gates: Mapping[str, bool]
    options: Options
    settings: AdmissionSettings

    @classmethod
    def of(cls, *, gates: bool, profile: Profile) -> Operator:
        said = dict.fromkeys(DEFAULT_GATES, gates)
        options = options_from({}, {}, said, cron_backfill_limit=0)
        return cls(said, options, AdmissionSettings(profile=profile))

    def by_lint(self, written: Json) -> Said:
        """As `manta lint` tells it, by lines of the file."""
        context = replace(context_of(self.options, self.settings), gates=self.gates)  # those of its own flag
        found = findings([Document("one.yaml", written)], Target(context))
        refused = [(one.path, one.rule) for one in found if one.denies]
        return Said(refused, {one.rule for one in found if one.weight != "note"})

    def by_webhook(self, kind: str, stored: Json) -> Said:
        """As the server is told it."""
        (door,) = [one for one in DOORS if one.resource.kind == kind]
        context = context_of(self.options, self.settings)
        serving = hooks(context, lambda _kind, new, _old, _context: new, CollectorRegistry())
        names = {"group": "ray.io", "version": "v1", "kind": kind}
        request = {"operation": "CREATE", "kind": names, "name": "x", "namespace": "default", "object": stored}
        response = serving[door.validating_path](request)
        causes = response.get("status", {}).get("details", {}).get("causes", [])
        refused = [(one["field"], ids_in(one["message"])[-1]) for one in causes]
        assert response["allowed"] is not bool(refused)
        return Said(refused, set(response.get("auditAnnotations", {}).get("rules", "").split()))

    def by_loop(self, kind: str, stored: Json) -> tuple[Announcement | None, str]:
        """The event of a refusal, and what is told of an object that is run."""
        return REFUSALS[kind](stored, self.options), concern_of(kind, stored, context_of(self.options, self.settings))


@pytest.mark.parametrize(
    "operator",
    [Operator.of(gates=True, profile=Profile.STRICT), Operator.of(gates=False, profile=Profile.STANDARD)],
    ids=["open-and-strict", "shut-and-standard"],
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.spec("admission:P1")
def test_the_three_callers_say_the_same(kind: str, operator: Operator) -> None:
    chance = random.Random(f"{kind} {operator.settings.profile}{SEED}")
    rules = {rule.id: rule for rule in RULES_BY_KIND[kind]}
    judged = 0
    for _ in range(OBJECTS):
        pair = an_object(kind, chance)
        if pair is None:
            continue
        judged += 1

        lint, webhook = operator.by_lint(pair.written), operator.by_webhook(kind, pair.stored)

        assert webhook.rules == lint.rules
        assert sorted(webhook.refused) == sorted(lint.refused) or len(webhook.refused) == MOST_CAUSES
        assert set(webhook.refused) <= set(lint.refused)
        if managed_here(pair.stored):
            event, concern = operator.by_loop(kind, pair.stored)
            enforced = [rule for _, rule in webhook.refused if rules[rule].enforced]
            says_the_first(event, enforced, {rules[one].reason for one in enforced[:1]})
            says_those(concern, {rule for _, rule in webhook.refused if not rules[rule].fixed})
    assert judged > OBJECTS // 3


def managed_here(stored: Json) -> bool:
    spec: Json = stored.get("spec", {})
    worked_on: Json = spec.get("jobTemplate", {}) if stored["kind"] == "RayCronJob" else spec
    return bool(worked_on.get("managedBy", MANAGER) == MANAGER)


def says_the_first(event: Announcement | None, enforced: Sequence[str], reasons: set[str]) -> None:
    """The loop stops at the first thing that is wrong; an object without a spec, which the schema lets pass, is one."""
    if not enforced:
        assert event is None or "not supported yet" in event.note
        return
    assert event is not None
    assert {event.reason} == reasons
    assert ids_in(event.note)[-1:] == enforced[:1] or "cannot read" in event.note


def says_those(concern: str, beyond: set[str]) -> None:
    """All of them, or the first few and that there are more."""
    assert bool(concern) == bool(beyond)
    assert set(ids_in(concern)) <= beyond
    assert set(ids_in(concern)) == beyond or " more" in concern
