"""JSON as rules read it: nulls, absences and values of a wrong type are the same, and the parts of a spec have names.

Rules meet JSON of any shape (offline, or of an older CRD), and what is wrong with its types is the schema's to say:
so a rule reads through these functions, and those of `typed`, and never raises (spec admission §4.1 P1, §4.13).

`check` makes a rule of a generator function over a `Cluster`; the same checks serve RayCluster and the cluster specs
inside RayJob and RayService, with the parent's annotations and paths (spec admission §2.2, P12).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar, overload

from api.meta import Json
from api.quantity import Quantity
from api.v1.rules.model import Block, Context, Finding, Inside, Severity
from api.v1.rules.typed import child, is_true, mapping, text

__all__ = [
    "Check",
    "Cluster",
    "ClusterCheck",
    "Found",
    "Group",
    "amount",
    "amounts",
    "check",
    "children",
    "env_named",
    "env_path",
    "object_or_none",
    "once",
    "template_containers",
]

AUTOSCALER_V2_ENV: Final = "RAY_enable_autoscaler_v2"
LONGEST_AMOUNT: Final = 64  # characters of a quantity that are remembered; longer ones are read anew

T = TypeVar("T")
Owner = TypeVar("Owner")


class once(Generic[Owner, T]):  # noqa: N801 - it stands where `cached_property` would
    """A property that is worked out when it is first asked for; functools' takes a lock each time in Python 3.11."""

    def __init__(self, make: Callable[[Owner], T]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[Owner, T]: ...

    @overload
    def __get__(self, instance: Owner, owner: type) -> T: ...

    def __get__(self, instance: Owner | None, owner: type) -> once[Owner, T] | T:
        if instance is None:
            return self
        made = instance.__dict__[self.name] = self.make(instance)
        return made


def object_or_none(node: Mapping[str, Any], name: str) -> Json | None:
    """The object of that name, even an empty one; None where there is none."""
    inner = node.get(name)
    return inner if isinstance(inner, dict) else None


def children(node: Mapping[str, Any], *path: str) -> Sequence[Json]:
    """The list of objects under a path; empty where any step is missing. What is no object in it reads as an empty one.

    So the numbers of the entries stay what they are in the object.
    """
    *parents, last = path
    found = child(node, *parents).get(last)
    if not isinstance(found, list):
        return ()
    if all(isinstance(one, dict) for one in found):
        return found
    return [one if isinstance(one, dict) else {} for one in found]


def amount(written: Any) -> Fraction | None:
    """The exact amount of a quantity ("500m", "2Gi", 4); None for what is none."""
    if isinstance(written, str):
        return _parsed(written) if len(written) <= LONGEST_AMOUNT else _parsed.__wrapped__(written)
    if isinstance(written, float):
        return _parsed(repr(written))
    return Fraction(written) if isinstance(written, int) and not isinstance(written, bool) else None


@lru_cache(maxsize=2048)  # few amounts are asked for, by all objects, and each is asked about by ten rules
def _parsed(written: str) -> Fraction | None:
    try:
        return Quantity.parse(written).value
    except ValueError:
        return None


def amounts(container: Mapping[str, Any], which: str) -> Mapping[str, Fraction]:
    """A container's limits or requests, exactly; what is no quantity is left out."""
    written: Mapping[Any, Any] = child(container, "resources", which)
    return {name: much for name, one in written.items() if (much := amount(one)) is not None and isinstance(name, str)}


def template_containers(template: Mapping[str, Any]) -> Sequence[Json]:
    """The containers of a pod template."""
    return children(template, "spec", "containers")


def env_named(variables: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The environment variable of that name, whether by value or valueFrom; envFrom is not looked at."""
    return next((variable for variable in variables if variable.get("name") == name), None)


def env_path(variables: Sequence[Mapping[str, Any]], name: str) -> str:
    """The path of that variable in what has it: `env[2]`; `env` where it is missing."""
    return next((f"env[{index}]" for index, one in enumerate(variables) if one.get("name") == name), "env")


@dataclass(frozen=True)
class Group:
    """The head or a worker group: what both have. What it read once it remembers."""

    spec: Mapping[str, Any]
    path: str  # headGroupSpec, workerGroupSpecs[2]
    name: str  # as messages name it: Head, or the group's name
    index: int = -1  # of worker groups

    @property
    def is_head(self) -> bool:
        """Not a worker group."""
        return self.index < 0

    @property
    def called(self) -> str:
        """As a sentence begins with it."""
        return "head" if self.is_head else f"worker group {self.name}"

    @once
    def pod_spec(self) -> Json:
        """The spec of the pod template."""
        return child(self.spec, "template", "spec")

    @once
    def pod_metadata(self) -> Json:
        """The metadata of the pod template."""
        return child(self.spec, "template", "metadata")

    @once
    def containers(self) -> Sequence[Json]:
        """All containers of the template but init containers."""
        return template_containers(child(self.spec, "template"))

    @once
    def ray_container(self) -> Json:
        """Container 0; empty where there is none."""
        return self.containers[0] if self.containers else {}

    @once
    def env(self) -> Sequence[Json]:
        """The literal environment of container 0."""
        return children(self.ray_container, "env")

    @once
    def start_params(self) -> Mapping[str, str]:
        """rayStartParams"""
        return mapping(self.spec, "rayStartParams")

    @once
    def resources(self) -> Mapping[str, str]:
        """The group-level resources."""
        return mapping(self.spec, "resources")

    @once
    def limits(self) -> Mapping[str, Fraction]:
        """The limits of container 0, as far as they are quantities."""
        return amounts(self.ray_container, "limits")

    @once
    def requests(self) -> Mapping[str, Fraction]:
        """The requests of container 0, as far as they are quantities."""
        return amounts(self.ray_container, "requests")

    @property
    def restart_policy(self) -> str:
        """The template's restartPolicy; "" when unset."""
        return text(self.pod_spec, "restartPolicy")

    @property
    def container_path(self) -> str:
        """The path of container 0."""
        return f"{self.path}.template.spec.containers[0]"


@dataclass(frozen=True)
class Cluster:
    """A cluster spec and the metadata that counts for it: its own, or that of the RayJob around it.

    What it read once it remembers; `remembered` does the same for what rules make of it.
    """

    spec: Mapping[str, Any]
    annotations: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    _memory: dict[Any, tuple[Context, Any]] = field(default_factory=dict, compare=False, repr=False)

    def remembered(self, make: Callable[[Cluster, Context], T], context: Context) -> T:
        """What `make` makes of the cluster in that context; made once."""
        known = self._memory.get(make)
        if known is None or known[0] is not context:
            known = self._memory[make] = (context, make(self, context))
        made: T = known[1]
        return made

    @once
    def head(self) -> Group:
        """The head group."""
        return Group(child(self.spec, "headGroupSpec"), "headGroupSpec", "Head")

    @once
    def groups(self) -> Sequence[Group]:
        """The worker groups in order."""
        return [
            Group(spec, f"workerGroupSpecs[{index}]", text(spec, "groupName"), index)
            for index, spec in enumerate(children(self.spec, "workerGroupSpecs"))
        ]

    @once
    def all_groups(self) -> Sequence[Group]:
        """The head, then the worker groups."""
        return [self.head, *self.groups]

    @property
    def autoscaling(self) -> bool:
        """enableInTreeAutoscaling is true"""
        return is_true(self.spec, "enableInTreeAutoscaling")

    @property
    def autoscaler(self) -> Json:
        """autoscalerOptions"""
        return child(self.spec, "autoscalerOptions")

    @property
    def v2_by_option(self) -> bool:
        """The autoscaler's version is set to v2."""
        return self.autoscaler.get("version") == "v2"

    @once
    def v2_by_env(self) -> bool:
        """The head's environment asks for autoscaler v2, in the only two spellings that count."""
        variable = env_named(self.head.env, AUTOSCALER_V2_ENV)
        return variable is not None and variable.get("value") in ("1", "true")

    @property
    def ray_version(self) -> str:
        """rayVersion; "" when unset"""
        return text(self.spec, "rayVersion")


class Found(NamedTuple):
    """What a check yields: the path inside the cluster spec (or one that starts with "metadata."), and the rest."""

    path: str
    message: str
    value: Any = None
    hint: str = ""
    item: int = 0
    severity: Severity | None = None  # None: the rule's own
    inside: Inside = ""  # in the YAML text that stands at the path


ClusterCheck = Callable[[Cluster, Context], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Check:
    """A denying rule about a cluster spec, wherever that stands."""

    id: str
    search: ClusterCheck
    block: Block | None = None

    def findings(self, cluster: Cluster, context: Context, *, at: str, prefix: str = "") -> Iterator[Finding]:
        """Its findings for the cluster spec that stands at the path `at`; messages begin with `prefix`."""
        for found in self.search(cluster, context):
            path = found.path if found.path.startswith("metadata.") else f"{at}.{found.path}"
            yield Finding(
                self.id, Severity.DENY, path, prefix + found.message, found.value, found.hint, item=found.item
            )


def check(id_: str, block: Block | None = None) -> Callable[[ClusterCheck], Check]:
    """Make a Check of the function below."""
    return lambda search: Check(id_, search, block)
