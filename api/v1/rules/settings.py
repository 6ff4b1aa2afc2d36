"""What an operator's owner may set about admission (config file: `admission`; spec admission §4.1 P3, P4, §4.2, §4.4).

All of it is data: rules read the lists, `judging` reads the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

__all__ = ["AdmissionSettings", "ImageVersion", "Profile"]


class Profile(Enum):
    """How strict admission is as a whole (P3)."""

    COMPAT = "compat"  # only what the reference refuses is refused; everything else warns
    STANDARD = "standard"  # each rule as its table says
    STRICT = "strict"  # every warning is a refusal


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """What an image that says nothing by its tag holds."""

    ray: str  # "2.52.0"
    python: str = ""  # "3.10"; "" where nobody said


SEVERITIES: Final = ("deny", "warn", "off")


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """Defaults are those of an operator whose config file says nothing of admission.

    `rules` sets one rule's severity for everybody ("RV02" -> "warn"; "off" silences it); it never weakens what the
    reference enforces. Globs are those of shells: `*` also crosses slashes.
    """

    profile: Profile = Profile.STANDARD
    rules: Mapping[str, str] = field(default_factory=dict)  # rule id -> deny | warn | off
    skips_allowed: bool = True  # the annotation ray.io/admission-skip counts
    trusted_users: tuple[str, ...] = ()  # user names whose requests are only checked by the schema: the operator itself
    ray_image_repositories: tuple[str, ...] = ()  # globs of repositories that are believed as rayproject/ray is
    image_versions: Mapping[str, ImageVersion] = field(default_factory=dict)  # image or digest -> what is in it
    lowest_ray: str = "2.9.0"  # MV16
    gpu_keys: tuple[str, ...] = ("gpu.intel.com/i915", "gpu.intel.com/xe")  # beside every key that ends in "gpu"
    shared_gpu_keys: tuple[str, ...] = (
        "aliyun.com/gpu-mem",
        "nvidia.com/gpu.shared",
        "nvidia.com/gpumem",
        "nvidia.com/gpumem-percentage",
        "nvidia.com/gpucores",
        "tencent.com/vcuda-*",
        "volcano.sh/vgpu-*",
    )
    accelerator_keys: tuple[str, ...] = (
        "google.com/tpu",
        "aws.amazon.com/neuroncore",
        "aws.amazon.com/neuron",
        "habana.ai/gaudi",
        "huawei.com/Ascend*",
    )
    gpu_taints: tuple[str, ...] = ()  # GPU24: keys of taints that GPU nodes carry; empty: the rule is off
    gpu_products: tuple[str, ...] = ()  # GPU26: names of the products that the nodes have; empty: the rule is off
    most_pods: int = 0  # RP13: desired pods of one cluster; 0: no cap
    default_ray_version: bool = True  # D01
    default_start_params: bool = True  # D02
    default_head_num_gpus: bool = False  # D05
    default_autoscaler_v2_from: str = ""  # D06: a Ray version; "": off
    default_replicas: bool = False  # D04
    default_shutdown_when_queued: bool = False  # D08
    default_requests: bool = False  # D09
    # D10: key of a device -> the tolerations that pods with a limit for it get
    accelerator_tolerations: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    default_labels: Mapping[str, str] = field(default_factory=dict)  # D11

    def __post_init__(self) -> None:
        """Raises ValueError for a severity that there is not: at the operator's start, not at the first request."""
        for id_, severity in self.rules.items():
            if severity not in SEVERITIES:
                raise ValueError(f"admission.rules.{id_} must be {', '.join(SEVERITIES)}, not {severity!r}")
