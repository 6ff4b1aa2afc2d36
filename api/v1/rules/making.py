"""Rules made of generator functions, beside those of `places`: about whole objects, updates, and job specs.

Each function yields what it found; the decorator says under which id, how grave it is, and for which kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.v1.rayjob import SubmissionMode
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import CLUSTER_PATHS, JOB_PATHS, PlacedCluster, cluster_in
from api.v1.rules.reading import Cluster, Found
from api.v1.rules.typed import child, mapping, text

__all__ = [
    "EVERY_KIND",
    "GENERATED_LENGTH",
    "QUEUE_LABEL",
    "Job",
    "job_in",
    "job_rule",
    "joined",
    "name_of",
    "object_rule",
    "placed_rule",
    "queued",
    "update_rule",
]

EVERY_KIND: Final = frozenset(CLUSTER_PATHS)
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
LONGEST_PREFIX: Final = 58  # of generateName; the API server cuts what is longer, and appends five characters
GENERATED_LENGTH: Final = 5

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """The spec of a job, the path at which it stands, and the object around it."""

    spec: Json
    path: str
    object: Json

    @property
    def mode(self) -> str:
        """submissionMode, with the schema's default."""
        return text(self.spec, "submissionMode") or SubmissionMode.K8S_JOB.value

    @property
    def cluster(self) -> Cluster | None:
        """The cluster that it brings along."""
        placed = cluster_in(self.object)
        return placed.cluster if placed is not None else None

    @property
    def selects(self) -> bool:
        """It runs on a cluster that is not its own."""
        return bool(child(self.spec, "clusterSelector"))


def job_in(object_: Json) -> Job | None:
    """The spec of the job that an object asks for; None where it asks for none."""
    steps = JOB_PATHS.get(text(object_, "kind"))
    return Job(child(object_, *steps), ".".join(steps), object_) if steps else None


def name_of(object_: Json) -> str:
    """Its name, or one like that which the server will make of its generateName."""
    metadata = child(object_, "metadata")
    prefix = text(metadata, "generateName")
    return text(metadata, "name") or (prefix[:LONGEST_PREFIX] + "x" * GENERATED_LENGTH if prefix else "")


def queued(object_: Json) -> bool:
    """Kueue decides when it starts."""
    return bool(mapping(object_, "metadata", "labels").get(QUEUE_LABEL))


ObjectCheck = Callable[[Json, Context], Iterator[Found]]
"""Finds things in an object; paths are those of the object."""

UpdateCheck = Callable[[Json, Json, Context], Iterator[Found]]
"""Finds things in a change from the first object to the second; paths are those of the object."""

PlacedCheck = Callable[[Json, PlacedCluster, Context], Iterator[Found]]
"""Finds things in a cluster spec with a look at the object around it; paths are those of the cluster spec."""

JobCheck = Callable[[Job, Context], Iterator[Found]]
"""Finds things in the spec of a job; paths are those of that spec."""


def object_rule(
    id_: str, kinds: Iterable[str] = EVERY_KIND, severity: Severity = Severity.DENY, *, of_metadata: bool = False
) -> Callable[[ObjectCheck], Rule]:
    """Make a rule of the function below, about objects of those kinds."""

    def made(search: ObjectCheck) -> Rule:
        def find(new: Json, _old: Json | None, context: Context) -> Iterator[Finding]:
            yield from (_finding(id_, one, severity) for one in search(new, context))

        return Rule(id_, severity, frozenset(kinds), find, of_metadata=of_metadata)

    return made


def update_rule(
    id_: str, kinds: Iterable[str] = EVERY_KIND, severity: Severity = Severity.WARN
) -> Callable[[UpdateCheck], Rule]:
    """Make a rule of the function below, which is asked on updates only, with the old object and the new one."""

    def made(search: UpdateCheck) -> Rule:
        def find(new: Json, old: Json | None, context: Context) -> Iterator[Finding]:
            if old is not None:
                yield from (_finding(id_, one, severity) for one in search(old, new, context))

        return Rule(id_, severity, frozenset(kinds), find)

    return made


def placed_rule(
    id_: str, severity: Severity = Severity.DENY, *, kinds: Iterable[str] = EVERY_KIND
) -> Callable[[PlacedCheck], Rule]:
    """Make a rule of the function below, about the cluster specs of those kinds and the objects around them."""

    def made(search: PlacedCheck) -> Rule:
        def find(new: Json, _old: Json | None, context: Context) -> Iterator[Finding]:
            if placed := cluster_in(new):
                yield from (placed.finding(id_, one, severity) for one in search(new, placed, context))

        return Rule(id_, severity, frozenset(kinds), find)

    return made


def job_rule(id_: str, severity: Severity = Severity.DENY) -> Callable[[JobCheck], Rule]:
    """Make a rule of the function below, about the jobs of RayJobs and RayCronJobs."""

    def made(search: JobCheck) -> Rule:
        def find(new: Json, _old: Json | None, context: Context) -> Iterator[Finding]:
            if job := job_in(new):
                yield from (_finding(id_, one, severity, job.path) for one in search(job, context))

        return Rule(id_, severity, frozenset(JOB_PATHS), find)

    return made


def joined(*rules: Rule) -> Rule:
    """One rule that finds what each of these of the same id finds, in the kinds that each is about."""
    first = rules[0]

    def find(new: Json, old: Json | None, context: Context) -> Iterator[Finding]:
        for rule in rules:
            if text(new, "kind") in rule.kinds:
                yield from rule.find(new, old, context)

    return Rule(first.id, first.severity, frozenset().union(*(rule.kinds for rule in rules)), find)


def _finding(id_: str, found: Found, severity: Severity, under: str = "") -> Finding:
    path = f"{under}.{found.path}" if under else found.path
    return Finding(
        id_,
        found.severity or severity,
        path,
        found.message,
        found.value,
        found.hint,
        item=found.item,
        inside=found.inside,
    )
