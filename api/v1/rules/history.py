"""Rules about the history server's collector: C39 to C49 (spec admission §2.2, raycluster §6.2.13).

C48 is no check: any other word in STORAGE_BACKEND is accepted, the collector may know it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from api.meta import Json
from api.v1.rules.model import Context
from api.v1.rules.reading import Cluster, Found, check, children, env_named, env_path, object_or_none
from api.v1.rules.typed import child, text

__all__ = ["CHECKS"]

GATE: Final = "RayClusterHistoryServer"
COLLECTOR: Final = "ray-history-collector"
OPTIONS: Final = "historyServerOptions.collectorOptions"
RESERVED_ENV: Final = (
    "POD_IP",
    "FQ_RAY_IP",
    "RAY_CLUSTER_NAME",
    "RAY_CLUSTER_NAMESPACE",
    "RAY_ROLE",
    "OWNER_KIND",
    "OWNER_NAME",
    "EVENTS_PORT",
)
BACKEND_ENV: Final = "STORAGE_BACKEND"
AZURE_MODE_ENV: Final = "AZURE_STORAGE_AUTH_MODE"
AZURE_CONNECTION_ENV: Final = "AZURE_STORAGE_CONNECTION_STRING"
AZURE_URL_ENV: Final = "AZURE_STORAGE_ACCOUNT_URL"


def _asked(cluster: Cluster) -> bool:
    return cluster.spec.get("historyServerOptions") is not None


def _collector(cluster: Cluster) -> Json | None:
    return object_or_none(child(cluster.spec, "historyServerOptions"), "collectorOptions")


def _env(cluster: Cluster) -> Sequence[Json]:
    return children(cluster.spec, "historyServerOptions", "collectorOptions", "env")


def _literal(cluster: Cluster, name: str) -> str:
    """The literal value of a collector's variable; "" when it has none."""
    return text(env_named(_env(cluster), name) or {}, "value")


def _given(cluster: Cluster, name: str) -> bool:
    """Does the collector get that variable, by value or from somewhere?"""
    variable = env_named(_env(cluster), name) or {}
    return bool(variable.get("value")) or variable.get("valueFrom") is not None


def _backend(cluster: Cluster) -> str:
    return _literal(cluster, BACKEND_ENV).upper()


@check("C39")
def history_needs_gate(cluster: Cluster, context: Context) -> Iterator[Found]:
    """An alpha feature."""
    if _asked(cluster) and not context.gate(GATE):
        yield Found(
            "historyServerOptions", f"{GATE} feature gate is not enabled, so historyServerOptions cannot be set"
        )


@check("C40")
def collector_missing(cluster: Cluster, _: Context) -> Iterator[Found]:
    """There is nothing else in the options."""
    if _asked(cluster) and _collector(cluster) is None:
        yield Found(OPTIONS, f"{OPTIONS} must be set")


@check("C41")
def collector_image_missing(cluster: Cluster, _: Context) -> Iterator[Found]:
    """There is no default image."""
    options = _collector(cluster)
    if options is not None and not options.get("image"):
        yield Found(f"{OPTIONS}.image", f"{OPTIONS}.image must be set")


@check("C42")
def reserved_env(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator sets them."""
    for name in RESERVED_ENV:
        if env_named(_env(cluster), name) is not None:
            yield Found(
                f"{OPTIONS}.{env_path(_env(cluster), name)}",
                f"{OPTIONS}.env must not contain {name}: it is set by the operator",
            )


@check("C43")
def backend_not_literal(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator reads it to know what else is needed."""
    if _collector(cluster) is not None and not _backend(cluster):
        yield Found(
            f"{OPTIONS}.{env_path(_env(cluster), BACKEND_ENV)}",
            f"{BACKEND_ENV} environment variable must be set to a literal string value in {OPTIONS}.env",
        )


@check("C44")
def gcs_incomplete(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Google Cloud Storage."""
    yield from _needed(cluster, "GCS", ("GCS_BUCKET",))


@check("C45")
def s3_incomplete(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Amazon S3."""
    yield from _needed(cluster, "S3", ("S3_REGION",))


@check("C46")
def azure_incomplete(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Azure: what is needed depends on how it authenticates."""
    if _backend(cluster) != "AZUREBLOB":
        return
    mode = _literal(cluster, AZURE_MODE_ENV).strip().lower()
    wanted = {
        "connection_string": AZURE_CONNECTION_ENV,
        "workload_identity": AZURE_URL_ENV,
        "default": AZURE_URL_ENV,
    }.get(mode)
    where = f"must be set when {BACKEND_ENV} is AZUREBLOB"
    if wanted is not None:
        if not _given(cluster, wanted):
            yield Found(
                f"{OPTIONS}.{env_path(_env(cluster), wanted)}",
                f"{wanted} environment variable {where} and {AZURE_MODE_ENV} is {mode}",
            )
    elif not (_given(cluster, AZURE_CONNECTION_ENV) or _given(cluster, AZURE_URL_ENV)):
        yield Found(f"{OPTIONS}.env", f"either {AZURE_CONNECTION_ENV} or {AZURE_URL_ENV} {where}")


@check("C47")
def aliyun_incomplete(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Alibaba Cloud OSS."""
    yield from _needed(cluster, "ALIYUNOSS", ("OSS_BUCKET", "OSS_ENDPOINT", "OSS_REGION"))


@check("C49")
def collector_name_taken(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator adds a container of that name."""
    if not _asked(cluster):
        return
    for group in (cluster.head, *cluster.groups):
        where = "head pod template" if group.index < 0 else f"worker group {group.name} pod template"
        for index, container in enumerate(group.containers):
            if container.get("name") == COLLECTOR:
                yield Found(
                    f"{group.path}.template.spec.containers[{index}].name",
                    f"{where} must not define a container with name '{COLLECTOR}' when historyServerOptions is set",
                    COLLECTOR,
                )


CHECKS: Final = (
    history_needs_gate,
    collector_missing,
    collector_image_missing,
    reserved_env,
    backend_not_literal,
    gcs_incomplete,
    s3_incomplete,
    azure_incomplete,
    aliyun_incomplete,
    collector_name_taken,
)


def _needed(cluster: Cluster, backend: str, names: Sequence[str]) -> Iterator[Found]:
    """A finding for each variable that the backend needs and the collector lacks."""
    if _backend(cluster) != backend:
        return
    for name in names:
        if not _given(cluster, name):
            yield Found(
                f"{OPTIONS}.{env_path(_env(cluster), name)}",
                f"{name} environment variable must be set when {BACKEND_ENV} is {backend}",
            )
