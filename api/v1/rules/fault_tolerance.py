"""Rules about GCS fault tolerance: C17 to C30 (spec admission §2.2, raycluster §6.2.5-8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.meta import Json
from api.v1.rules.model import Context
from api.v1.rules.reading import Cluster, Found, check, children, env_named, env_path, object_or_none
from api.v1.rules.typed import child
from api.v1.wire import ANNOTATION_EXTERNAL_STORAGE_NAMESPACE, ANNOTATION_FT_ENABLED

__all__ = ["CHECKS"]

GATE: Final = "GCSFaultToleranceEmbeddedStorage"
VOLUME: Final = "gcs-storage"
MOUNT_PATH: Final = "/data/gcs"
OPTIONS: Final = "gcsFaultToleranceOptions"


def _options(cluster: Cluster) -> Json | None:
    """None: not set. An empty object is set."""
    return object_or_none(cluster.spec, OPTIONS)


def _rocksdb(cluster: Cluster) -> Json | None:
    """The options if they name the embedded backend."""
    options = _options(cluster)
    return options if options is not None and options.get("backend") == "rocksdb" else None


@check("C17")
def annotation_beside_options(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Whatever the annotation says."""
    value = cluster.annotations.get(ANNOTATION_FT_ENABLED)
    if value and _options(cluster) is not None:
        yield Found(
            f"metadata.annotations[{ANNOTATION_FT_ENABLED}]",
            f"{ANNOTATION_FT_ENABLED} annotation and GcsFaultToleranceOptions are both set. Use the options only",
            value,
        )


@check("C18")
def redis_address_without_options(cluster: Cluster, _: Context) -> Iterator[Found]:
    """It would turn fault tolerance on behind the operator's back."""
    enabled = cluster.annotations.get(ANNOTATION_FT_ENABLED, "").lower() == "true" or _options(cluster) is not None
    if not enabled:
        yield from _head_env(
            cluster,
            "RAY_REDIS_ADDRESS",
            "RAY_REDIS_ADDRESS in the head Pod implicitly enables GCS fault tolerance; set GcsFaultToleranceOptions "
            "instead",
        )


@check("C19")
def redis_password_param(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The options say it."""
    if _options(cluster) is not None and cluster.head.start_params.get("redis-password"):
        yield Found(
            "headGroupSpec.rayStartParams[redis-password]",
            "cannot set `redis-password` in rayStartParams when GcsFaultToleranceOptions is set; use "
            "GcsFaultToleranceOptions.RedisPassword",
        )


@check("C20")
def redis_password_env(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The options say it."""
    if _options(cluster) is not None:
        yield from _head_env(
            cluster,
            "REDIS_PASSWORD",
            "cannot set `REDIS_PASSWORD` env var in head Pod when GcsFaultToleranceOptions is set; use "
            "GcsFaultToleranceOptions.RedisPassword",
        )


@check("C21")
def redis_address_env(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The options say it."""
    if _options(cluster) is not None:
        yield from _head_env(
            cluster,
            "RAY_REDIS_ADDRESS",
            "cannot set `RAY_REDIS_ADDRESS` env var in head Pod when GcsFaultToleranceOptions is set; use "
            "GcsFaultToleranceOptions.RedisAddress",
        )


@check("C22")
def storage_namespace_annotation(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The options say it."""
    value = cluster.annotations.get(ANNOTATION_EXTERNAL_STORAGE_NAMESPACE)
    if value and _options(cluster) is not None:
        yield Found(
            f"metadata.annotations[{ANNOTATION_EXTERNAL_STORAGE_NAMESPACE}]",
            f"cannot set `{ANNOTATION_EXTERNAL_STORAGE_NAMESPACE}` annotation when GcsFaultToleranceOptions is set; "
            "use GcsFaultToleranceOptions.ExternalStorageNamespace",
            value,
        )


@check("C23")
def rocksdb_needs_gate(cluster: Cluster, context: Context) -> Iterator[Found]:
    """An alpha feature."""
    if _rocksdb(cluster) is not None and not context.gate(GATE):
        yield Found(
            f"{OPTIONS}.backend",
            f"the embedded RocksDB backend requires the {GATE} feature gate to be enabled",
            "rocksdb",
        )


@check("C24")
def redis_fields_with_rocksdb(cluster: Cluster, _: Context) -> Iterator[Found]:
    """They would be ignored."""
    options = _rocksdb(cluster) or {}
    given = {
        "redisAddress": bool(options.get("redisAddress")),
        "redisUsername": options.get("redisUsername") is not None,
        "redisPassword": options.get("redisPassword") is not None,
        "externalStorageNamespace": bool(options.get("externalStorageNamespace")),
    }
    for field in (name for name, is_given in given.items() if is_given):
        yield Found(
            f"{OPTIONS}.{field}",
            f"cannot set GcsFaultToleranceOptions.{field[0].upper()}{field[1:]} when backend is 'rocksdb'",
        )


@check("C25")
def claim_beside_its_recipe(cluster: Cluster, _: Context) -> Iterator[Found]:
    """An existing claim has its own size and class."""
    storage = child(_rocksdb(cluster) or {}, "storage")
    recipe = storage.get("size") is not None or storage.get("storageClassName") is not None
    if storage.get("claimName") and (recipe or storage.get("accessModes")):
        yield Found(
            f"{OPTIONS}.storage.claimName",
            "GcsFaultToleranceOptions.Storage.ClaimName is mutually exclusive with size, storageClassName, and "
            "accessModes",
            storage["claimName"],
        )


@check("C26")
def rocksdb_env(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator sets them."""
    if _rocksdb(cluster) is not None:
        for name in ("RAY_gcs_storage", "RAY_gcs_storage_path"):
            yield from _head_env(
                cluster,
                name,
                "cannot set `RAY_gcs_storage` or `RAY_gcs_storage_path` env var in head Pod when backend is "
                "'rocksdb': they are managed by KubeRay",
            )


@check("C27")
def rocksdb_mount(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator mounts the volume."""
    if _rocksdb(cluster) is None:
        return
    for index, mount in enumerate(children(cluster.head.ray_container, "volumeMounts")):
        if mount.get("name") == VOLUME or mount.get("mountPath") == MOUNT_PATH:
            yield Found(
                f"{cluster.head.container_path}.volumeMounts[{index}]",
                f'cannot set a volume mount named "{VOLUME}" or mounted at {MOUNT_PATH} in the head Pod when backend '
                "is 'rocksdb'",
                mount.get("name"),
            )


@check("C28")
def rocksdb_volume(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator adds the volume."""
    if _rocksdb(cluster) is None:
        return
    for index, volume in enumerate(children(cluster.head.spec, "template", "spec", "volumes")):
        if volume.get("name") == VOLUME:
            yield Found(
                f"headGroupSpec.template.spec.volumes[{index}]",
                f"cannot set a volume named \"{VOLUME}\" in the head Pod when backend is 'rocksdb'",
                VOLUME,
            )


@check("C29")
def storage_with_redis(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Redis brings its own."""
    options = _options(cluster)
    if options is not None and _rocksdb(cluster) is None and options.get("storage") is not None:
        yield Found(
            f"{OPTIONS}.storage",
            "cannot set GcsFaultToleranceOptions.Storage when backend is 'redis' (also when unset)",
        )


@check("C30")
def redis_username(cluster: Cluster, _: Context) -> Iterator[Found]:
    """With or without fault tolerance."""
    message = "cannot set redis username in rayStartParams or the head Pod's env; use "
    message += "GcsFaultToleranceOptions.RedisUsername"
    if cluster.head.start_params.get("redis-username"):
        yield Found("headGroupSpec.rayStartParams[redis-username]", message)
    yield from _head_env(cluster, "REDIS_USERNAME", message)


CHECKS: Final = (
    annotation_beside_options,
    redis_address_without_options,
    redis_password_param,
    redis_password_env,
    redis_address_env,
    storage_namespace_annotation,
    rocksdb_needs_gate,
    redis_fields_with_rocksdb,
    claim_beside_its_recipe,
    rocksdb_env,
    rocksdb_mount,
    rocksdb_volume,
    storage_with_redis,
    redis_username,
)


def _head_env(cluster: Cluster, name: str, message: str) -> Iterator[Found]:
    """A finding if the head's Ray container has that variable."""
    if env_named(cluster.head.env, name) is not None:
        yield Found(f"{cluster.head.container_path}.{env_path(cluster.head.env, name)}", message)
