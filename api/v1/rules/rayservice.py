"""All rules about a RayService, in the order in which the reconcile loop reports them (spec rayservice §6).

The cluster spec inside is judged by the rules of RayCluster with the RayService's annotations (V2); those findings keep
the cluster rule's id, under the path where the field really stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from api.v1.rayservice import RayServiceUpgradeType
from api.v1.rules.durations import go_duration
from api.v1.rules.metadata import name_rules
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import cluster_of
from api.v1.rules.raycluster import CLUSTER_CHECKS
from api.v1.rules.reading import Check, Cluster, object_or_none
from api.v1.rules.security import k8s_token_auth
from api.v1.rules.typed import child, mapping, whole
from api.v1.wire import ANNOTATION_INITIALIZING_TIMEOUT

__all__ = ["ENFORCED", "METADATA", "RULES", "initializing_timeout"]

KIND: Final = frozenset({"RayService"})
METADATA_REASON: Final = "InvalidRayServiceMetadata"
SPEC_REASON: Final = "InvalidRayServiceSpec"
METADATA_PREFIX: Final = "The RayService metadata is invalid: "
PREFIX: Final = "The RayService spec is invalid: "
CONFIG: Final = ("spec", "rayClusterConfig")
TIMEOUT_PATH: Final = f"metadata.annotations[{ANNOTATION_INITIALIZING_TIMEOUT}]"
OPTIONS: Final = "spec.upgradeStrategy.clusterUpgradeOptions"
WHOLE: Final = 100  # percent
LONGEST_TIMEOUT: Final = (2**63 - 1) // 10**9  # seconds: what a Go duration can hold
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A RayService as its rules read it."""

    object: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        """spec, perhaps empty."""
        return child(self.object, "spec")

    @property
    def cluster(self) -> Cluster:
        """spec.rayClusterConfig with the RayService's annotations."""
        return cluster_of(self.object, *CONFIG)

    @property
    def upgrade_type(self) -> str | None:
        """spec.upgradeStrategy.type; None when unset."""
        type_ = child(self.spec, "upgradeStrategy").get("type")
        return type_ if isinstance(type_, str) else None

    def shifts_traffic(self, context: Context) -> bool:
        """Incremental mode: by strategy, and only with its gate (spec rayservice §4.3)."""
        asked = self.upgrade_type == RayServiceUpgradeType.INCREMENTAL
        return asked and context.gate("RayServiceIncrementalUpgrade")

    @property
    def upgrade_options(self) -> Mapping[str, Any] | None:
        """spec.upgradeStrategy.clusterUpgradeOptions; None when unset."""
        return object_or_none(child(self.spec, "upgradeStrategy"), "clusterUpgradeOptions")


ServiceCheck = Callable[[ServiceSpec, Context], Iterator[Finding]]


def initializing_timeout(annotations: Mapping[str, str]) -> timedelta | None:
    """How long a service may take to become ready the first time; None for no limit, or for a value that is wrong.

    A Go duration or whole seconds, above zero (spec rayservice §8).
    """
    text = annotations.get(ANNOTATION_INITIALIZING_TIMEOUT) or ""
    limit, seconds = go_duration(text), _seconds(text)
    if limit is None and seconds is not None:
        limit = timedelta(seconds=min(seconds, LONGEST_TIMEOUT))
    return limit if limit is not None and limit > timedelta(0) else None


def _seconds(text: str) -> int | None:
    """The integer that stands there, as Go reads one: 64 bits at most."""
    if not _INTEGER.fullmatch(text):
        return None
    seconds = int(text)
    return seconds if -(2**63) <= seconds < 2**63 else None


def _timeout(id_: str, wrong: Callable[[str], str]) -> Rule:
    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
        text = mapping(child(new, "metadata"), "annotations").get(ANNOTATION_INITIALIZING_TIMEOUT) or ""
        if text and (problem := wrong(text)):
            message = (
                f"{METADATA_PREFIX}RayService annotations is invalid: annotation {ANNOTATION_INITIALIZING_TIMEOUT} "
            )
            yield Finding(id_, Severity.DENY, TIMEOUT_PATH, message + problem, text)

    return Rule(id_, Severity.DENY, KIND, find, METADATA_REASON, enforced=True, of_metadata=True)


def duration_not_positive(text: str) -> str:
    """M8"""
    limit = go_duration(text)
    return f"must be a positive duration, got: {text}" if limit is not None and limit <= timedelta(0) else ""


def seconds_not_positive(text: str) -> str:
    """M9: "0" is a duration, too, and M8's."""
    seconds = _seconds(text)
    if go_duration(text) is None and seconds is not None and seconds <= 0:
        return f"must be a positive integer (seconds), got: {text}"
    return ""


def no_duration(text: str) -> str:
    """M10"""
    if go_duration(text) is None and _seconds(text) is None:
        return (
            f"has invalid format: {text}. Expected Go duration format (e.g. 30s, 5m, 1h30m) or positive integer seconds"
        )
    return ""


def _deny(id_: str, path: str, message: str, value: Any = None, hint: str = "") -> Finding:
    return Finding(id_, Severity.DENY, path, PREFIX + message, value, hint)


def k8s_tokens(service: ServiceSpec, _: Context) -> Iterator[Finding]:
    """V1: nobody gives the proxies a token."""
    if k8s_token_auth(service.cluster):
        path = "spec.rayClusterConfig.authOptions.enableK8sTokenAuth"
        yield _deny("V1", path, "K8s token auth is not supported for RayService", True)


def head_service_named(service: ServiceSpec, _: Context) -> Iterator[Finding]:
    """V3: two clusters of one service stand side by side during an upgrade."""
    name = child(service.spec, "rayClusterConfig", "headGroupSpec", "headService", "metadata").get("name")
    if name:
        yield _deny(
            "V3",
            "spec.rayClusterConfig.headGroupSpec.headService.metadata.name",
            "spec.rayClusterConfig.headGroupSpec.headService.metadata.name should not be set",
            name,
            "two clusters stand side by side during an upgrade, and would share it: leave it out",
        )


def upgrade_type_unknown(service: ServiceSpec, _: Context) -> Iterator[Finding]:
    """V4: the schema has no enum."""
    valid = [one.value for one in RayServiceUpgradeType]
    if service.upgrade_type is not None and service.upgrade_type not in valid:
        yield _deny(
            "V4",
            "spec.upgradeStrategy.type",
            f"Spec.UpgradeStrategy.Type value {service.upgrade_type} is invalid, valid options are {', '.join(valid)}",
            service.upgrade_type,
        )


def delay_negative(service: ServiceSpec, _: Context) -> Iterator[Finding]:
    """V5: the schema has the same bound."""
    delay = whole(service.spec, "rayClusterDeletionDelaySeconds")
    if delay is not None and delay < 0:
        path = "spec.rayClusterDeletionDelaySeconds"
        yield _deny("V5", path, f"Spec.RayClusterDeletionDelaySeconds should be non-negative, got {delay}", delay)


def incremental_without_autoscaler(service: ServiceSpec, context: Context) -> Iterator[Finding]:
    """V6: the new cluster grows as the traffic does."""
    if service.shifts_traffic(context) and not service.cluster.autoscaling:
        yield _deny(
            "V6",
            "spec.rayClusterConfig.enableInTreeAutoscaling",
            "Ray Autoscaler is required for NewClusterWithIncrementalUpgrade",
        )


def incremental_without_options(service: ServiceSpec, context: Context) -> Iterator[Finding]:
    """V7: how far, how fast, and through which Gateway."""
    if service.shifts_traffic(context) and service.upgrade_options is None:
        yield _deny("V7", OPTIONS, "ClusterUpgradeOptions are required for NewClusterWithIncrementalUpgrade")


def surge_out_of_range(options: Mapping[str, Any]) -> Iterator[Finding]:
    """V8"""
    surge = _surge(options)
    if not 0 <= surge <= WHOLE:
        yield _deny("V8", f"{OPTIONS}.maxSurgePercent", "maxSurgePercent must be between 0 and 100", surge)


def step_out_of_range(options: Mapping[str, Any]) -> Iterator[Finding]:
    """V9"""
    step = whole(options, "stepSizePercent")
    if step is None or not 0 <= step <= WHOLE:
        yield _deny("V9", f"{OPTIONS}.stepSizePercent", "stepSizePercent must be between 0 and 100", step)


def step_beyond_surge(options: Mapping[str, Any]) -> Iterator[Finding]:
    """V10: traffic may not outrun capacity."""
    step = whole(options, "stepSizePercent")
    if step is not None and step > _surge(options):
        message = "stepSizePercent must be less than or equal to maxSurgePercent"
        yield _deny("V10", f"{OPTIONS}.stepSizePercent", message, step)


def interval_not_positive(options: Mapping[str, Any]) -> Iterator[Finding]:
    """V11"""
    interval = whole(options, "intervalSeconds")
    if interval is None or interval <= 0:
        yield _deny("V11", f"{OPTIONS}.intervalSeconds", "intervalSeconds must be greater than 0", interval)


def no_gateway_class(options: Mapping[str, Any]) -> Iterator[Finding]:
    """V12"""
    if not options.get("gatewayClassName"):
        path = f"{OPTIONS}.gatewayClassName"
        yield _deny("V12", path, "gatewayClassName is required for NewClusterWithIncrementalUpgrade")


def _surge(options: Mapping[str, Any]) -> int:
    """The CRD's default where it is missing: the reference relies on that, and crashes without it."""
    surge = whole(options, "maxSurgePercent")
    return WHOLE if surge is None else surge


def _about_options(id_: str, search: Callable[[Mapping[str, Any]], Iterator[Finding]]) -> Rule:
    """A rule about the options of an incremental upgrade, where there is one and has options."""

    def find(service: ServiceSpec, context: Context) -> Iterator[Finding]:
        options = service.upgrade_options
        if service.shifts_traffic(context) and options is not None:
            yield from search(options)

    return _rule(id_, find)


def _rule(id_: str, search: ServiceCheck) -> Rule:
    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
        return search(ServiceSpec(new), context)

    return Rule(id_, Severity.DENY, KIND, find, SPEC_REASON, enforced=True)


def _nested(one: Check) -> Rule:
    """A rule about a RayCluster, for the cluster spec inside a RayService (V2)."""

    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
        return one.findings(cluster_of(new, *CONFIG), context, at="spec.rayClusterConfig", prefix=PREFIX)

    return Rule(one.id, Severity.DENY, KIND, find, SPEC_REASON, enforced=True, block=one.block)


METADATA: Final[tuple[Rule, ...]] = (
    *name_rules("RayService", "M5", "M6", prefix=METADATA_PREFIX),
    _timeout("M8", duration_not_positive),
    _timeout("M9", seconds_not_positive),
    _timeout("M10", no_duration),
)
ENFORCED: Final[tuple[Rule, ...]] = (
    *METADATA,
    _rule("V1", k8s_tokens),
    *(_nested(one) for one in CLUSTER_CHECKS),
    _rule("V3", head_service_named),
    _rule("V4", upgrade_type_unknown),
    _rule("V5", delay_negative),
    _rule("V6", incremental_without_autoscaler),
    _rule("V7", incremental_without_options),
    _about_options("V8", surge_out_of_range),
    _about_options("V9", step_out_of_range),
    _about_options("V10", step_beyond_surge),
    _about_options("V11", interval_not_positive),
    _about_options("V12", no_gateway_class),
)
RULES: Final = ENFORCED
