"""What the pods of a group ask of Kubernetes, and what their nodes tell Ray they have (spec admission §4.4, §3).

The families of accelerators are the operator's lists; amounts are exact. Container 0 runs Ray, and only what that one
has limits for is announced to Ray.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple

from api.v1.rules.model import Context
from api.v1.rules.reading import Cluster, Group, amount, amounts, children, once
from api.v1.rules.settings import AdmissionSettings
from api.v1.rules.typed import child, mapping, text

__all__ = [
    "GPUS",
    "USUAL",
    "Container",
    "Family",
    "Hardware",
    "StartResources",
    "compared",
    "expands",
    "family_of",
    "hardware_of",
    "is_gpu_key",
    "is_plain_mig",
    "number_of",
    "spoken",
]


class Family(Enum):
    """What kind of resource a key names."""

    GPU = "gpu"
    MIG = "mig"  # a slice of one
    SHARED = "shared"  # memory or cores of one, dealt out by a scheduler
    OTHER = "other"  # another accelerator
    PLAIN = "plain"  # none: cpu, memory, ...


USUAL: Final = frozenset({"cpu", "memory"})  # most keys are these two, and a thousand are asked about per object
NONE: Final = Fraction(0)
NOTHING: Final = r"(?!)"  # matches no text
GPUS: Final = frozenset({Family.GPU, Family.MIG})  # what counts as one
_MIG: Final = re.compile(r"nvidia\.com/mig-[0-9]+g\.[0-9]+gb(?P<suffix>\..+)?", re.ASCII)
_NUMBER: Final = re.compile(r"\s*[-+]?[0-9]{1,30}(\.[0-9]{0,30})?\s*", re.ASCII)
# Pod annotations and labels by which sharing schedulers are asked for a part of a GPU.
SHARING: Final = frozenset({"gpu-fraction", "gpu-memory", "nvidia.com/gpu.sharing-strategy"})
SHARING_PREFIX: Final = "hami.io/"


@lru_cache(maxsize=16)  # a few operators' lists
def _any_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    """What matches any of them. Keys are not remembered: a hostile object has more of them than any memory holds."""
    return re.compile("|".join(translate(glob) for glob in globs) or NOTHING)


def family_of(key: str, settings: AdmissionSettings) -> Family:
    """What kind of resource that is, by the operator's lists."""
    if key in USUAL:
        return Family.PLAIN
    if _any_of(settings.shared_gpu_keys).match(key):
        return Family.SHARED
    if _MIG.fullmatch(key):
        return Family.MIG
    if key.endswith("gpu") or _any_of(settings.gpu_keys).match(key):
        return Family.GPU
    return Family.OTHER if _any_of(settings.accelerator_keys).match(key) else Family.PLAIN


def is_gpu_key(key: str, context: Context) -> bool:
    """A GPU, or a slice of one?"""
    return family_of(key, context.admission) in GPUS


def is_plain_mig(key: str) -> bool:
    """A MIG profile without suffix: one that the operator announces as a GPU."""
    match = _MIG.fullmatch(key)
    return match is not None and match["suffix"] is None


def expands(written: str) -> bool:
    """Does the shell put something else in its place? Start parameters are rendered into a command line."""
    return "$" in written or "`" in written


def number_of(written: str) -> Fraction | None:
    """The number of a start parameter; None for what is none."""
    return Fraction(written.strip()) if _NUMBER.fullmatch(written) else None


class Container(NamedTuple):
    """A container of a pod template, and what it asks for."""

    path: str
    name: str
    limits: Mapping[str, Fraction]
    requests: Mapping[str, Fraction]
    written: Mapping[str, Any]  # its resources as they stand there


@dataclass(frozen=True)
class StartResources:
    """`rayStartParams.resources`: quoted JSON, since it goes through a shell and the autoscaler cuts off the quotes."""

    offered: Mapping[str, Any]
    problem: str = ""  # why it is none
    unquoted: bool = False  # a shell makes JSON of it, and the autoscaler, which looks for the quotes, does not


@dataclass(frozen=True)
class Hardware:
    """A group, as rules about its resources see it."""

    group: Group
    settings: AdmissionSettings

    @once
    def containers(self) -> Sequence[Container]:
        """All containers of the pod, init containers last; the first runs Ray."""
        return list(self._containers())

    def _containers(self) -> Iterator[Container]:
        for kind in ("containers", "initContainers"):
            for index, one in enumerate(children(self.group.pod_spec, kind)):
                path = f"{self.group.path}.template.spec.{kind}[{index}]"
                ray = index == 0 and kind == "containers"
                limits = self.group.limits if ray else amounts(one, "limits")
                requests = self.group.requests if ray else amounts(one, "requests")
                yield Container(path, text(one, "name"), limits, requests, child(one, "resources"))

    def keys(self, *families: Family) -> Sequence[str]:
        """The keys of those families that the Ray container has a limit for, sorted."""
        return sorted(key for key, family in self._families.items() if family in families)

    @once
    def _families(self) -> Mapping[str, Family]:
        extended = [key for key, much in self.group.limits.items() if key not in USUAL and much.numerator > 0]
        families = {key: family_of(key, self.settings) for key in extended}
        return {key: family for key, family in families.items() if family is not Family.PLAIN}

    @property
    def accelerated(self) -> bool:
        """The Ray container has a limit for some accelerator."""
        return bool(self._families)

    @once
    def gpu_keys(self) -> Sequence[str]:
        """The keys of GPUs and their slices."""
        return self.keys(*GPUS)

    @once
    def gpus(self) -> Fraction:
        """How many GPUs, or slices, the Ray container has a limit for."""
        return sum((self.group.limits[key] for key in self.gpu_keys), NONE) if self.gpu_keys else NONE

    @property
    def gpu_param(self) -> str:
        """num-gpus as it stands there; "" when unset."""
        return self.group.start_params.get("num-gpus", "")

    @once
    def told_gpus(self) -> Fraction | None:
        """num-gpus as a number; None where it is unset or none."""
        return number_of(self.gpu_param) if self.gpu_param else None

    @property
    def gpu_path(self) -> str:
        """Where num-gpus stands."""
        return f"{self.group.path}.rayStartParams[num-gpus]"

    @once
    def offered_gpus(self) -> Mapping[str, Fraction]:
        """GPUs in the group-level resources."""
        found = {key: amount(much) for key, much in self.group.resources.items() if self._like_gpu(key)}
        return {key: much for key, much in found.items() if much is not None}

    def _like_gpu(self, key: str) -> bool:
        """The reference compares without regard to case."""
        return family_of(key.lower(), self.settings) in GPUS

    @property
    def says_gpus(self) -> bool:
        """The user says how many GPUs there are, by parameter or group-level resource."""
        return bool(self.gpu_param) or bool(self.offered_gpus)

    @property
    def says_no_gpus(self) -> bool:
        """The user says that Ray is to use none."""
        return self.told_gpus == 0 or (bool(self.offered_gpus) and not any(self.offered_gpus.values()))

    @once
    def shares(self) -> bool:
        """A sharing scheduler deals out the GPU (GPU12)."""
        if not self.group.pod_metadata:
            return False
        keys = {*mapping(self.group.pod_metadata, "annotations"), *mapping(self.group.pod_metadata, "labels")}
        return bool(keys & SHARING) or any(key.startswith(SHARING_PREFIX) for key in keys)

    @once
    def claims(self) -> bool:
        """Devices come by resource claims, which Ray cannot see (GPU13)."""
        of_container = children(self.group.ray_container, "resources", "claims")
        return bool(children(self.group.pod_spec, "resourceClaims")) or bool(of_container)

    @property
    def uses_none(self) -> bool:
        """Nothing about the group speaks of a GPU or another accelerator."""
        elsewhere = self.accelerated or self.shares or self.claims
        return not elsewhere and self.announced_gpus == 0

    @once
    def announced_gpus(self) -> Fraction | None:
        """How many GPUs the node tells Ray it has; None where that cannot be told from the spec."""
        if self.offered_gpus:
            return max(self.offered_gpus.values())
        if self.gpu_param:
            return self.told_gpus
        if self.claims or self.shares:
            return None
        return self.group.limits[self.gpu_keys[0]] if self.gpu_keys else Fraction(0)

    @property
    def announced_cpus(self) -> Fraction | None:
        """How many CPUs the node tells Ray it has; None where that cannot be told from the spec."""
        for key, written in self.group.resources.items():
            if key.lower() == "cpu":
                return amount(written)
        if "num-cpus" in self.group.start_params:
            return number_of(self.group.start_params["num-cpus"])
        found = self.group.limits.get("cpu") or self.group.requests.get("cpu")
        return None if found is None else Fraction(-(-found.numerator // found.denominator))

    @once
    def start_resources(self) -> StartResources | None:
        """`rayStartParams.resources`; None where there are none, or the shell is to fill them in."""
        written = self.group.start_params.get("resources")
        return None if written is None or expands(written) else _start_resources(written)


@lru_cache(maxsize=256)
def _start_resources(written: str) -> StartResources:
    bare = written.strip()
    if len(bare) < 2 or bare[0] != bare[-1] or bare[0] not in "'\"":
        return _as_a_shell_reads(bare)
    inner = bare[1:-1]
    if bare[0] == '"' and '"' in inner.replace('\\"', ""):
        return StartResources({}, 'inside double quotes each quote needs a backslash: \\"')
    try:
        found = json.loads(inner.replace("\\", ""))
    except (ValueError, RecursionError):
        return StartResources({}, "it is no JSON")
    if not isinstance(found, dict):
        return StartResources({}, "it is no JSON object")
    return StartResources(found)


def _as_a_shell_reads(written: str) -> StartResources:
    r"""Each quote escaped by itself, as in {\"a\":1}: one word, unless commas let the braces expand."""
    try:
        words = [] if "," in written else shlex.split(written)
        found = json.loads(words[0]) if len(words) == 1 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return StartResources({}, "it must be a JSON object inside quotes of its own")
    return StartResources(found, unquoted=True)


def hardware_of(cluster: Cluster, context: Context) -> Sequence[Hardware]:
    """The head and the worker groups that have containers; read once."""
    return cluster.remembered(_hardware, context)


def _hardware(cluster: Cluster, context: Context) -> Sequence[Hardware]:
    return [Hardware(group, context.admission) for group in cluster.all_groups if group.containers]


def compared(cluster: Cluster, context: Context) -> Sequence[Hardware]:
    """The groups whose limits and start parameters speak of the same devices (GPU12, GPU13)."""
    return cluster.remembered(_compared, context)


def _compared(cluster: Cluster, context: Context) -> Sequence[Hardware]:
    return [one for one in hardware_of(cluster, context) if not one.shares and not one.claims]


def spoken(number: Fraction) -> str:
    """A number for people."""
    return str(number.numerator) if number.denominator == 1 else str(float(number))
