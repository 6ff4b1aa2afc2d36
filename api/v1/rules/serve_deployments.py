"""Rules about the deployments of a RayService's applications: SV05 (spec admission §4.7).

What is denied Ray Serve refuses, either the whole configuration at once or the application when it is deployed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.v1.rules.making import object_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.reading import Found
from api.v1.rules.serve_content import KIND, PATH, applications_of, snake_case
from api.v1.rules.typed import child, entries, number, text, whole
from api.v1.runtime_env import is_local

__all__ = ["RULES"]

Json = Mapping[str, Any]

AUTO: Final = "auto"
NO_LIMIT: Final = -1  # of max_queued_requests
# The least that a field may be; None: anything above zero.
DEPLOYMENT_LEAST: Final[Mapping[str, int | None]] = {
    "num_replicas": 1,
    "max_ongoing_requests": 1,
    "max_concurrent_queries": 1,
    "max_replicas_per_node": 1,
    "graceful_shutdown_timeout_s": 0,
    "graceful_shutdown_wait_loop_s": 0,
    "health_check_period_s": None,
    "health_check_timeout_s": None,
}
SCALING_LEAST: Final[Mapping[str, int | None]] = {
    "min_replicas": 0,
    "max_replicas": 1,
    "initial_replicas": 0,
    "target_ongoing_requests": None,
}
OPTION_LEAST: Final[Mapping[str, int | None]] = {"num_cpus": 0, "num_gpus": 0, "memory": 0}
# Keys of which a camelCase spelling is a mistake; user_config and args may hold anything.
APPLICATION_KEYS: Final = frozenset(
    {
        "args",
        "autoscaling_policy",
        "deployments",
        "external_scaler_enabled",
        "import_path",
        "logging_config",
        "route_prefix",
        "runtime_env",
    }
)
DEPLOYMENT_KEYS: Final = frozenset(
    {
        "autoscaling_config",
        "graceful_shutdown_timeout_s",
        "graceful_shutdown_wait_loop_s",
        "health_check_period_s",
        "health_check_timeout_s",
        "logging_config",
        "max_concurrent_queries",
        "max_ongoing_requests",
        "max_queued_requests",
        "max_replicas_per_node",
        "num_replicas",
        "placement_group_bundles",
        "placement_group_strategy",
        "ray_actor_options",
        "request_router_config",
        "user_config",
    }
)
SCALING_KEYS: Final = frozenset(
    {
        "downscale_delay_s",
        "downscale_smoothing_factor",
        "downscaling_factor",
        "initial_replicas",
        "look_back_period_s",
        "max_replicas",
        "metrics_interval_s",
        "min_replicas",
        "smoothing_factor",
        "target_num_ongoing_requests_per_replica",
        "target_ongoing_requests",
        "upscale_delay_s",
        "upscale_smoothing_factor",
        "upscaling_factor",
    }
)
ACTOR_KEYS: Final = frozenset({"accelerator_type", "num_cpus", "num_gpus", "object_store_memory", "runtime_env"})


@object_rule("SV05", KIND)
def deployments_wrong(new: Json, _: Context) -> Iterator[Found]:
    """What Serve refuses of a deployment, and keys as Kubernetes would spell them."""
    for place, application in applications_of(new):
        yield from _humps(place, application, APPLICATION_KEYS)
        yield from _folders(place, child(application, "runtime_env"))
        given, where = application.get("deployments", ()), f"{place}.deployments"
        if not isinstance(given, list | tuple):
            hint = "begin each deployment with `- `, as in `- name: Model`"
            yield Found(PATH, f"{where} should be a list", given, hint, inside=where)
        seen: set[str] = set()
        for index, deployment in entries(application, "deployments"):
            yield from _named(f"{where}[{index}]", deployment, seen)
            yield from _counted(f"{where}[{index}]", deployment)
            yield from _within(f"{where}[{index}]", deployment)


def _named(place: str, deployment: Json, seen: set[str]) -> Iterator[Found]:
    """By it Serve finds what to change. Of two of one name it takes both, the second over the first."""
    name = text(deployment, "name")
    if not name:
        hint = "the name of the class or function that is deployed"
        yield Found(PATH, f"{place} has no name", deployment.get("name"), hint, inside=f"{place}.name")
    elif name in seen:
        message = f"{place}: two deployments of the application are called {name}, and the last one counts"
        yield Found(PATH, message, name, "keep one of them", severity=Severity.WARN, inside=f"{place}.name")
    seen.add(name)


def _counted(place: str, deployment: Json) -> Iterator[Found]:
    """How many replicas there are to be."""
    scaling, wanted = child(deployment, "autoscaling_config"), deployment.get("num_replicas")
    if scaling and whole(deployment, "num_replicas") is not None:
        hint = "leave num_replicas out, or set it to auto"
        message, inside = f"{place} has both num_replicas and autoscaling_config", f"{place}.num_replicas"
        yield Found(PATH, message, wanted, hint, inside=inside)
    if isinstance(wanted, str) and wanted != AUTO and not wanted.strip().isdecimal():
        message, inside = f"{place}: num_replicas should be a number or {AUTO}, not {wanted}", f"{place}.num_replicas"
        yield Found(PATH, message, wanted, f"write {AUTO}, or a number", inside=inside)
    low, high = number(scaling, "min_replicas"), number(scaling, "max_replicas")
    most = 1 if high is None and wanted != AUTO else high
    if low is not None and most is not None and low > most:
        message = f"{place}: min_replicas {low} is more than max_replicas {most}"
        hint = "set max_replicas, which is 1 otherwise" if high is None else "exchange them, or raise max_replicas"
        yield Found(PATH, message, low, hint, inside=f"{place}.autoscaling_config.min_replicas")


def _within(place: str, deployment: Json) -> Iterator[Found]:
    """Numbers that are too small, texts for numbers, and keys that are spelt as Kubernetes spells its own."""
    scaling, options = child(deployment, "autoscaling_config"), child(deployment, "ray_actor_options")
    parts = (
        (place, deployment, DEPLOYMENT_LEAST, DEPLOYMENT_KEYS),
        (f"{place}.autoscaling_config", scaling, SCALING_LEAST, SCALING_KEYS),
        (f"{place}.ray_actor_options", options, OPTION_LEAST, ACTOR_KEYS),
    )
    for where, node, least, _ in parts:
        yield from _too_small(place, where, node, least)
    queued = number(deployment, "max_queued_requests")
    if queued is not None and queued < 1 and queued != NO_LIMIT:
        message, inside = f"{place}: max_queued_requests cannot be {queued}", f"{place}.max_queued_requests"
        yield Found(PATH, message, queued, f"{NO_LIMIT} is no limit", inside=inside)
    if memory := text(options, "memory"):
        message, inside = f"{place}: memory should be a number of bytes, not {memory}", f"{parts[-1][0]}.memory"
        yield Found(PATH, message, memory, "4 GiB are 4294967296", inside=inside)
    yield from _folders(f"{place}.ray_actor_options", child(options, "runtime_env"))
    for where, node, _, keys in parts:
        yield from _humps(where, node, keys)


def _too_small(place: str, where: str, node: Json, least: Mapping[str, int | None]) -> Iterator[Found]:
    for field, bound in least.items():
        value = number(node, field)
        if value is not None and (value <= 0 if bound is None else value < bound):
            hint = "more than 0" if bound is None else f"{bound} or more"
            yield Found(PATH, f"{place}: {field} cannot be {value}", value, hint, inside=f"{where}.{field}")


def _folders(place: str, env: Json) -> Iterator[Found]:
    """Nobody is there to upload one: Serve reads the configuration on the cluster."""
    modules = env.get("py_modules")
    given = [("working_dir", env.get("working_dir"))]
    given += [("py_modules", one) for one in modules] if isinstance(modules, list) else []
    for field, folder in given:
        if is_local(folder):
            message = f"{place}.runtime_env: {field} {folder} is a local path, and Serve takes URIs alone"
            hint = "give a URI of an archive (https://, s3://, gs://), or put the code into the image"
            yield Found(PATH, message, folder, hint, inside=f"{place}.runtime_env.{field}")


def _humps(place: str, node: Json, known: frozenset[str]) -> Iterator[Found]:
    for key in node:
        meant = snake_case(key)
        if meant in known and meant != key:
            where = f"{place}.{key}"
            message = f"{where} is not known to Ray Serve"
            yield Found(PATH, message, key, f"write {meant}", severity=Severity.WARN, inside=where)


RULES: Final[tuple[Rule, ...]] = (deployments_wrong,)
