"""Flags, config file and environment, read once into one frozen Settings; nothing below main looks at either again.

Names, types and defaults are the reference's (spec deployment §1.2-1.5) but for what docs/parity.md lists.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, TypeVar

from api.v1.rules.settings import AdmissionSettings
from controller.admission import webhook_settings
from controller.admissionfile import admission_settings
from controller.configfile import FILE_KEYS, BadSettings, is_unset, mappings, of_the_type, read_config, strings
from controller.flags import Duration, Flag, Value, parse_flags
from controller.gates import parse_gates
from controller.ray.options import Gates, Options
from controller.runtime.election.lease import Timing, fault_of
from webhooks.settings import WebhookSettings

__all__ = ["FLAGS", "VERSION", "BadSettings", "Settings", "load"]

Default = TypeVar("Default", timedelta, None)
Encoder: TypeAlias = Literal["json", "console"]

VERSION: Final = "0.1.0"

METRICS_ADDRESS: Final = ":8080"  # also where the flag is empty: only 0 switches it off (DC-23)

FLAGS: Final = (
    Flag("metrics-addr", METRICS_ADDRESS, "The address the metric endpoint binds to; 0 disables it."),
    Flag("health-probe-bind-address", ":8082", "The address /healthz and /readyz bind to; 0 disables them."),
    Flag("debug-address", "", "The loopback address of /debug pages, for developers; empty: none."),
    Flag("enable-leader-election", True, "Only one replica at a time may write."),
    Flag("leader-election-namespace", "", "Namespace of the lease; empty: the operator's own."),
    Flag("leader-election-lease-duration", Duration("15s"), "How long others wait before they take over a lease."),
    Flag("leader-election-renew-deadline", Duration("10s"), "Without a renewal for so long, a leader stops writing."),
    Flag("leader-election-retry-period", Duration("2s"), "How often a lease is renewed, and tried for."),
    Flag("reconcile-concurrency", 16, "Workers per controller."),
    Flag("watch-namespace", "", "Comma-separated namespaces to watch; empty: all."),
    Flag("forced-cluster-upgrade", False, "Deprecated, without effect."),
    Flag("log-file-path", "", "Log to this file, too."),
    Flag("log-file-encoder", "json", "Encoder of the log file: json or console."),
    Flag("log-stdout-encoder", "json", "Encoder of standard output: json or console."),
    Flag("enable-batch-scheduler", False, "Deprecated: the same as -batch-scheduler=volcano."),
    Flag("batch-scheduler", "", "volcano, yunikorn, scheduler-plugins or kai-scheduler."),
    Flag("config", "", "A configuration file (config.ray.io/v1alpha1); most other flags are then ignored."),
    Flag("use-kubernetes-proxy", False, "Reach Ray through the API server's service and pod proxy."),
    Flag("feature-gates", "", "A=true,B=false"),
    Flag("enable-metrics", False, "Emit the kuberay_* metrics."),
    Flag(
        "cron-backfill-limit",
        0,
        "How many missed ticks of a RayCronJob are made up for, the latest ones; 0: all of them.",
    ),
    Flag("qps", 100.0, "Requests per second of the client; not limited by default."),
    Flag("burst", 200, "Burst of the client."),
    Flag("zap-devel", False, "Development logging: debug level."),
    Flag("zap-encoder", "", "Overridden by -log-stdout-encoder."),
    Flag("zap-log-level", "info", "debug, info, error, panic, or a verbosity."),
    Flag(
        "zap-stacktrace-level", "error", "Accepted, without effect: stack traces come with bugs of the operator alone."
    ),
    Flag("zap-time-encoding", "", "epoch, millis, nanos, iso8601, rfc3339 or rfc3339nano; always ISO 8601."),
    Flag("kubeconfig", "", "A kubeconfig, for runs outside a cluster."),
    Flag("webhook-bind-address", ":9443", "The address the webhooks bind to, where ENABLE_WEBHOOKS is true."),
    Flag("webhook-certificates", "auto", "files, self-managed, or auto: files where -webhook-cert-dir is there."),
    Flag("webhook-cert-dir", WebhookSettings().folder, "The folder of the webhooks' tls.crt and tls.key."),
    Flag("webhook-client-ca-file", "", "Only clients with a certificate of these authorities may ask the webhooks."),
    Flag("webhook-service", WebhookSettings().service, "The Service by which the API server reaches the webhooks."),
    Flag("webhook-lame-duck", Duration("3s"), "How long webhooks still answer when the operator ends."),
    Flag("webhook-url", "", "https://host:port instead of a Service: the operator registers its webhooks itself."),
)

# Gate on the wire -> (its default, our field; None: its feature is not there yet)
GATES: Final[Mapping[str, tuple[bool, str | None]]] = {
    "RayClusterStatusConditions": (True, "ray_cluster_status_conditions"),
    "RayJobDeletionPolicy": (True, "ray_job_deletion_policy"),
    "RayMultiHostIndexing": (True, "ray_multi_host_indexing"),
    "RayServiceIncrementalUpgrade": (True, "ray_service_incremental_upgrade"),
    "RayCronJob": (False, "ray_cron_job"),
    "SidecarSubmitterRestart": (False, "sidecar_submitter_restart"),
    "RayClusterNetworkPolicy": (False, "ray_cluster_network_policy"),
    "GCSFaultToleranceEmbeddedStorage": (False, "gcs_fault_tolerance_embedded_storage"),
    "RayClusterMTLS": (False, "ray_cluster_mtls"),
    "RayClusterHistoryServer": (False, "ray_cluster_history_server"),
    "KubernetesWAS": (False, None),
}
NOT_THERE_YET: Final = (
    "RayServiceIncrementalUpgrade",
    "SidecarSubmitterRestart",
    "RayClusterNetworkPolicy",
    "GCSFaultToleranceEmbeddedStorage",
    "RayClusterMTLS",
    "RayClusterHistoryServer",
    "KubernetesWAS",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's whole configuration."""

    options: Options = field(default_factory=Options)
    metrics_address: str = METRICS_ADDRESS
    health_address: str = ":8082"
    debug_address: str = ""  # none
    leader_election: bool = True
    leader_election_namespace: str = ""
    lease_timing: Timing = field(default_factory=Timing)
    concurrency: int = 16
    namespaces: tuple[str, ...] = ()  # empty: all
    log_encoder: Encoder = "json"
    log_file: str = ""  # a copy of the log
    log_file_encoder: Encoder = "json"
    log_level: int = logging.INFO
    kubeconfig: str = ""
    use_kubernetes_proxy: bool = False
    enable_metrics: bool = False
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    webhooks: WebhookSettings | None = None  # off
    notices: tuple[str, ...] = ()  # what was accepted but does nothing yet: one log line each


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, the config file it names, and the environment. Raises UsageError, BadSettings."""
    given = parse_flags(FLAGS, arguments)
    file = read_config(str(given["config"])) if given.get("config") else {}
    flags = combined(given, file)
    gates = parse_gates(str(flags["feature-gates"]))
    check(flags)
    options = options_from(environment, file, gates, cron_backfill_limit=int(flags["cron-backfill-limit"]))
    namespaces = namespaces_of(str(flags["watch-namespace"]))
    return Settings(
        options=options,
        metrics_address=str(flags["metrics-addr"]),
        health_address=str(flags["health-probe-bind-address"]),
        debug_address=str(flags["debug-address"]),
        leader_election=bool(flags["enable-leader-election"]),
        leader_election_namespace=str(flags["leader-election-namespace"]),
        lease_timing=lease_timing(flags),
        concurrency=max(1, int(flags["reconcile-concurrency"])),
        namespaces=namespaces,
        log_encoder="console" if flags["log-stdout-encoder"] == "console" else "json",
        log_file=str(flags["log-file-path"]),
        log_file_encoder="console" if flags["log-file-encoder"] == "console" else "json",
        log_level=logging.DEBUG if flags["zap-devel"] else level_of(str(flags["zap-log-level"])),
        kubeconfig=str(flags["kubeconfig"]) or environment.get("KUBECONFIG", ""),
        use_kubernetes_proxy=bool(flags["use-kubernetes-proxy"]),
        enable_metrics=bool(flags["enable-metrics"]),
        admission=admission_settings(file.get("admission")),
        webhooks=webhook_settings(flags, environment, domain=options.cluster_domain, namespaces=namespaces),
        notices=(*ignored_flags(given), *notices(flags, gates)),
    )


# What client-go calls LeaseDuration, RenewDeadline and RetryPeriod; the reference has no flags for them.
LEASE_TIMES: Final = (
    "leader-election-lease-duration",
    "leader-election-renew-deadline",
    "leader-election-retry-period",
)
# Flags that count beside a config file; all others are then the file's business (spec deployment §1.2)
BESIDE_A_FILE: Final = frozenset(
    {"config", "feature-gates", "kubeconfig", "log-stdout-encoder", "log-file-encoder"}
    | {"zap-devel", "zap-log-level", "zap-stacktrace-level", "debug-address", *LEASE_TIMES}
    | {flag.name for flag in FLAGS if flag.name.startswith("webhook-")}
)


def lease_timing(flags: Mapping[str, Any]) -> Timing:
    """The lease's times. Raises BadSettings for what could give two leaders."""
    seconds = [float(flags[name]) for name in LEASE_TIMES]
    fault = fault_of(*seconds, names=[f"-{name}" for name in LEASE_TIMES])
    if fault:
        raise BadSettings(fault)
    return Timing(*seconds)


def combined(given: Mapping[str, Value], file: Mapping[str, Any]) -> dict[str, Any]:
    """Every flag's value; one given beside the file wins over it. Raises BadSettings for a field of another type."""
    counts = {name: value for name, value in given.items() if not given.get("config") or name in BESIDE_A_FILE}
    flags: dict[str, Any] = {flag.name: flag.default for flag in FLAGS} | counts
    for key, name in FILE_KEYS.items():
        if name not in counts and not is_unset(file.get(key)):
            flags[name] = of_the_type(key, file[key], flags[name])
    flags["metrics-addr"] = flags["metrics-addr"] or METRICS_ADDRESS
    return flags


NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def namespaces_of(text: str) -> tuple[str, ...]:
    """The namespaces to watch, each once; () for all."""
    return tuple(dict.fromkeys(name for name in map(str.strip, text.split(",")) if name))


def check_namespaces(flags: Mapping[str, Any]) -> None:
    """A name that no namespace can have, an unexpanded variable say, would be watched for ever. Raises BadSettings."""
    election = flags["leader-election-namespace"]
    named = {
        "watch-namespace": namespaces_of(flags["watch-namespace"]),
        "leader-election-namespace": (election,) if election else (),  # one, no list
    }
    for flag, names in named.items():
        for name in names:
            if not NAMESPACE.fullmatch(name):
                raise BadSettings(f"-{flag} names {name!r}, which no namespace can be called")


SCHEDULERS: Final = ("volcano", "yunikorn", "scheduler-plugins", "kai-scheduler")


ENCODINGS: Final = ("json", "console")
TRACED: Final = ("info", "error", "panic")
TIMES: Final = ("epoch", "millis", "nanos", "iso8601", "rfc3339", "rfc3339nano")  # checked, and without effect (DC-6)


LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


def check_addresses(flags: Mapping[str, Any]) -> None:
    """Two servers, each on a port of its own or switched off, and pages for developers. Raises BadSettings."""
    check_debug_address(flags["debug-address"])
    addresses = {name: flags[name] for name in ("metrics-addr", "health-probe-bind-address")}
    for name, address in addresses.items():
        if address == "" and name == "health-probe-bind-address":
            continue  # off (DC-23)
        host, _, port = address.rpartition(":")
        bare = ":" in host and not host.startswith("[")  # of fd00::1, the last 1 is no port
        if bare or not port.isdecimal() or int(port) > 65535:
            raise BadSettings(f"-{name} must be [host]:port, or 0 to switch it off, not {address!r}")
    if len(set(addresses.values())) == 1 and addresses["metrics-addr"] != "0":
        raise BadSettings(f"-metrics-addr and -health-probe-bind-address are both {addresses['metrics-addr']}")


def check_debug_address(address: str) -> None:
    """The pages show stacks and the names of objects, and ask nobody who he is. Raises BadSettings."""
    host, _, port = address.rpartition(":")
    if address and not (host in LOOPBACK and port.isdecimal() and int(port) <= 65535):
        raise BadSettings(f"-debug-address must be on loopback, such as 127.0.0.1:6060, not {address!r}")


def check_logs(flags: Mapping[str, Any]) -> None:
    """Encoders, of the file where there is one (DC-8), and what -zap-* name, in any case. Raises BadSettings."""
    for name in ("log-stdout-encoder", *(["log-file-encoder"] if flags["log-file-path"] else [])):
        if flags[name] not in ("", *ENCODINGS):  # empty: json
            raise BadSettings(f"-{name} must be json or console, not {flags[name]!r}")
    for name, known in (("zap-encoder", ENCODINGS), ("zap-time-encoding", TIMES), ("zap-stacktrace-level", TRACED)):
        if flags[name] and flags[name].lower() not in known:
            raise BadSettings(f"-{name} must be one of {', '.join(known)}, not {flags[name]!r}")


def check(flags: Mapping[str, Any]) -> None:
    """Refuse what cannot work. Raises BadSettings."""
    check_addresses(flags)
    check_namespaces(flags)
    check_logs(flags)
    if int(flags["reconcile-concurrency"]) < 0:
        raise BadSettings(f"-reconcile-concurrency must be positive, not {flags['reconcile-concurrency']}")
    if int(flags["cron-backfill-limit"]) < 0:
        raise BadSettings("-cron-backfill-limit must not be negative; 0 is no limit")
    if int(flags["burst"]) < 0:
        raise BadSettings("-burst must not be negative")
    scheduler = flags["batch-scheduler"]
    if scheduler and scheduler not in SCHEDULERS:
        raise BadSettings(f"-batch-scheduler {scheduler!r} is none of {', '.join(SCHEDULERS)}")
    if scheduler and flags["enable-batch-scheduler"]:
        raise BadSettings("-enable-batch-scheduler means -batch-scheduler=volcano: give one of them, not both")


LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "error": logging.ERROR, "panic": logging.CRITICAL}


def level_of(text: str) -> int:
    """A level by name, in any case, or a verbosity above 0, which is debug. Raises BadSettings."""
    if text.isdecimal() and int(text) > 0:
        return logging.DEBUG
    if text.lower() not in LEVELS:
        raise BadSettings(f"-zap-log-level must be debug, info, error, panic or a number above 0, not {text!r}")
    return LEVELS[text.lower()]


def options_from(
    environment: Mapping[str, str], file: Mapping[str, Any], gates: Mapping[str, bool], *, cron_backfill_limit: int
) -> Options:
    """What builders and rules may ask for."""
    from controller.runtime.clock import local_zone  # it brings asyncio, and --version answers before that

    def on(name: str) -> bool:
        return environment.get(name, "").lower() == "true"

    def not_off(name: str) -> bool:
        return environment.get(name, "").lower() != "false"

    return Options(
        version=f"manta-{VERSION}",
        gates=Gates(**{ours: gates[name] for name, (_, ours) in GATES.items() if ours}),
        cluster_domain=environment.get("CLUSTER_DOMAIN") or "cluster.local",
        inject_probes=not_off("ENABLE_PROBES_INJECTION"),
        inject_init_container=not_off("ENABLE_INIT_CONTAINER_INJECTION"),
        head_cluster_ip_service=on("ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE"),
        deterministic_head_name=on("ENABLE_DETERMINISTIC_HEAD_POD_NAME"),
        login_shell=on("ENABLE_LOGIN_SHELL"),
        random_pod_delete=on("ENABLE_RANDOM_POD_DELETE"),
        zero_downtime=not_off("ENABLE_ZERO_DOWNTIME"),
        redis_cleanup=not_off("ENABLE_GCS_FT_REDIS_CLEANUP"),
        delete_rayjob_after_finish=on("DELETE_RAYJOB_CR_AFTER_JOB_FINISHES")
        or bool(of_the_type("deleteRayJobAfterJobFinishes", file.get("deleteRayJobAfterJobFinishes") or False, False)),
        requeue=seconds(environment, "RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV", default=None, least=1),
        transition_grace=seconds(
            environment, "RAYJOB_DEPLOYMENT_STATUS_TRANSITION_GRACE_PERIOD_SECONDS", default=timedelta(seconds=300)
        ),
        status_check_timeout=seconds(
            environment, "RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS", default=timedelta(seconds=300), least=1
        ),
        cron_backfill_limit=cron_backfill_limit,
        time_zone=local_zone(environment),
        default_container_envs=mappings(file, "defaultContainerEnvs"),
        head_sidecars=mappings(file, "headSidecarContainers"),
        worker_sidecars=mappings(file, "workerSidecarContainers"),
        default_pod_annotations=strings(file, "defaultPodAnnotations"),
        default_pod_labels=strings(file, "defaultPodLabels"),
    )


def seconds(
    environment: Mapping[str, str], name: str, *, default: Default, least: int | None = None
) -> timedelta | Default:
    """A variable in whole seconds; what is no number, or below `least`, counts as unset, else below 0 as 0 (DC-24)."""
    try:
        value = int(environment[name])
        return default if least is not None and value < least else timedelta(seconds=max(0, value))
    except (KeyError, ValueError, OverflowError):  # the last: more than two million years
        return default


def ignored_flags(given: Mapping[str, Any]) -> list[str]:
    """One sentence for the flags that do not count because there is a config file."""
    ignored = sorted(set(given) - BESIDE_A_FILE) if given.get("config") else ()
    return [f"with -config these flags do not count: {', '.join(f'-{name}' for name in ignored)}"] if ignored else []


# Flags that are accepted for the sake of charts and do nothing yet
WITHOUT_EFFECT: Final = ("batch-scheduler", "enable-batch-scheduler", "qps", "burst", "use-kubernetes-proxy")


def notices(flags: Mapping[str, Any], gates: Mapping[str, bool]) -> list[str]:
    """One sentence for each setting that is accepted and does nothing yet."""
    defaults = {flag.name: flag.default for flag in FLAGS}
    lines = [f"-{name} is accepted and has no effect yet" for name in WITHOUT_EFFECT if flags[name] != defaults[name]]
    if flags["forced-cluster-upgrade"]:
        lines.append("-forced-cluster-upgrade is deprecated and has no effect")
    lines += [
        f"feature gate {name} is on, and its feature is not there yet"
        for name in NOT_THERE_YET
        if gates[name] and not GATES[name][0]  # by somebody's wish
    ]
    return lines
