"""Rules about what a RayService deploys, and how (spec admission §4.7; SV01 to SV12).

serveConfigV2 is YAML as text, so that all findings in it have its path; the message names the place inside. V3 to V12
are enforced, and of SV10 only V13 is left. What is denied here Ray Serve would refuse as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from api.v1.rayservice import RayServiceUpgradeType
from api.v1.rules.hardware import hardware_of, spoken
from api.v1.rules.making import object_rule, queued
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.offered import ANY_NODE, OF_THEIR_OWN, may_offer
from api.v1.rules.places import cluster_in
from api.v1.rules.rayservice import ServiceSpec
from api.v1.rules.reading import Cluster, Found
from api.v1.rules.replicas import upper_bound
from api.v1.rules.service_ports import declared_ports
from api.v1.rules.typed import child, entries, is_true, number, text, whole
from api.v1.serve_config import (
    DEFAULT_APPLICATION,
    DEFAULT_ROUTE,
    Limits,
    ServeConfigError,
    ServeConfigTooLarge,
    parse_serve_config,
)
from api.v1.wire import PORT_SERVE

__all__ = ["KIND", "PATH", "RULES", "applications_of", "deployments_of", "snake_case"]

Json = Mapping[str, Any]

_HUMP: Final = re.compile(r"(?<=[a-z0-9])[A-Z]", re.ASCII)
KIND: Final = ("RayService",)
PATH: Final = "spec.serveConfigV2"
SERVE: Final = "serve"
LOCATIONS: Final = ("Disabled", "HeadOnly", "EveryNode")
LIMITS: Final = Limits(length=256 * 1024, values=30_000, of_unusual=32 * 1024)  # some 60 ms of a slow core
KEYS: Final = frozenset(
    {
        "applications",
        "deploy_mode",
        "grpc_options",
        "http_options",
        "logging_config",
        "proxy_location",
        "target_capacity",
    }
)


def _config(new: Json) -> Json:
    """What is deployed; {} where it cannot be read, which SV01 says."""
    read = _read(text(child(new, "spec"), "serveConfigV2"))
    return {} if isinstance(read, ServeConfigError) else read


@lru_cache(maxsize=8)  # each rule asks for it, and most reviews are of a text that was judged before
def _read(written: str) -> Json | ServeConfigError:
    try:
        return parse_serve_config(written, LIMITS)
    except ServeConfigError as error:
        return error


def snake_case(key: str) -> str:
    """As Ray Serve would spell a key that somebody wrote as Kubernetes does."""
    return _HUMP.sub(lambda found: f"_{found[0]}", key).lower()


def applications_of(new: Json) -> Sequence[tuple[str, Json]]:
    """Each application with its place."""
    return [(f"applications[{index}]", one) for index, one in entries(_config(new), "applications")]


def deployments_of(new: Json) -> Iterator[tuple[str, Json]]:
    """Each deployment of each application with its place."""
    for place, application in applications_of(new):
        for index, one in entries(application, "deployments"):
            yield f"{place}.deployments[{index}]", one


@object_rule("SV01", KIND)
def config_unreadable(new: Json, _: Context) -> Iterator[Found]:
    """Nothing could be deployed."""
    written = text(child(new, "spec"), "serveConfigV2")
    read = _read(written)
    if isinstance(read, ServeConfigError) and not isinstance(read, ServeConfigTooLarge):
        hint = "check indentation and quotes of the text under serveConfigV2"
        yield Found(PATH, str(read), written, hint, inside=read.mark or "")


@object_rule("SV02", KIND)
def no_applications(new: Json, _: Context) -> Iterator[Found]:
    """An empty list deploys nothing; anything but a list is refused."""
    config = _config(new)
    given = config.get("applications")
    if isinstance(_read(text(child(new, "spec"), "serveConfigV2")), ServeConfigError):
        return
    if given is None and "import_path" in config:
        hint = "move it into the list applications, as `- import_path: ...`"
        yield Found(
            PATH, "import_path stands beside applications, not in it", config["import_path"], hint, inside="import_path"
        )
    elif given is not None and not isinstance(given, list):
        hint = "begin each application with `- `, as in `- name: app`"
        yield Found(PATH, "applications should be a list", given, hint, inside="applications")
    elif not given:
        message = "there are no applications: nothing will be deployed"
        hint = "list them under applications"
        yield Found(PATH, message, None, hint, severity=Severity.WARN, inside="applications")
    elif strange := [index for index, one in enumerate(given) if not isinstance(one, dict)]:
        first = f"applications[{strange[0]}]"
        yield Found(PATH, f"{first} should be a mapping", given[strange[0]], inside=first)


@object_rule("SV03", KIND)
def import_path_wrong(new: Json, _: Context) -> Iterator[Found]:
    """Where Serve finds the application."""
    for place, application in applications_of(new):
        path = text(application, "import_path")
        if not path:
            message, hint = f"{place} has no import_path", "as in module:app"
            yield Found(PATH, message, application.get("import_path"), hint, inside=f"{place}.import_path")
        elif not _names_attribute(path):
            message = f"{place}.import_path {path} is neither module:attribute nor module.attribute"
            hint = "not as a file: src/model.py is src.model" if _names_file(path) else "as in module:app"
            severity = Severity.WARN if _is_taken(path) else Severity.DENY
            yield Found(PATH, message, path, hint, severity=severity, inside=f"{place}.import_path")


def _names_attribute(path: str) -> bool:
    """Serve takes what stands behind the colon, or else behind the last dot, for an attribute of a module."""
    module, separator, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    relative = separator == "." and module.startswith(".")
    return bool(module and attribute) and ":" not in attribute and not relative and not _names_file(path)


def _is_taken(path: str) -> bool:
    """Serve refuses what cannot be split at one colon, or else at a dot; what it splits it tries to import."""
    module, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    return bool(module and attribute) and ":" not in attribute


def _names_file(path: str) -> bool:
    return any(slash in path for slash in "/\\") or path.partition(":")[0].endswith(".py")


@object_rule("SV04", KIND)
def applications_collide(new: Json, _: Context) -> Iterator[Found]:
    """Names and routes are unique, the default ones too."""
    names: set[str] = set()
    routes: set[str] = set()
    for place, application in applications_of(new):
        name = application.get("name", DEFAULT_APPLICATION)
        if name is None or name == "":
            hint = f"leave it out, to call it {DEFAULT_APPLICATION}"
            yield Found(PATH, f"{place} has an empty name", name, hint, inside=f"{place}.name")
        elif isinstance(name, str):
            if name in names:
                message = f"{place}: two applications are called {name}"
                yield Found(PATH, message, name, "give each a name of its own", inside=f"{place}.name")
            names.add(name)
        route = application.get("route_prefix", DEFAULT_ROUTE)
        if isinstance(route, str):
            where = f"{place}.route_prefix"
            if problem := _route_problem(route):
                hint = "" if "{" in route or "}" in route else f"write /{route.strip('/')}"
                yield Found(PATH, f"{where} {route} {problem}", route, hint, inside=where)
            elif route in routes:
                hint = f"give each a route_prefix of its own; without one it is {DEFAULT_ROUTE}"
                message = f"{place}: two applications have the route_prefix {route}"
                yield Found(PATH, message, route, hint, inside=where)
            routes.add(route)


def _route_problem(route: str) -> str:
    if not route.startswith("/"):
        return "should start with /"
    if len(route) > 1 and route.endswith("/"):
        return "should not end with /"
    return "cannot have wildcards" if "{" in route or "}" in route else ""


@object_rule("SV06", KIND, Severity.WARN)
def nobody_offers_it(new: Json, context: Context) -> Iterator[Found]:
    """Such a replica waits for ever. What a group offers and nobody can tell counts as enough."""
    nodes = [one for one in hardware_of(_cluster(new), context) if one.group.is_head or upper_bound(one.group) > 0]
    offers = [one.announced_gpus for one in nodes]
    most = None if None in offers else max((one for one in offers if one is not None), default=Fraction(0))
    bare = most == 0 and not any(one.accelerated or one.group.resources for one in nodes)
    for place, deployment in deployments_of(new):
        options, where = child(deployment, "ray_actor_options"), f"{place}.ray_actor_options"
        wanted = number(options, "num_gpus") or 0
        if most is not None and wanted > most:
            message = f"{place} wants {wanted} GPUs for a replica; the largest group offers {spoken(most)}"
            hint = "raise the GPU limit of a worker group, or lower num_gpus"
            yield Found(PATH, message, wanted, hint, inside=f"{where}.num_gpus")
        type_ = text(options, "accelerator_type")
        if type_ and bare:
            message = f"{place} wants a {type_}; no group has an accelerator"
            yield Found(PATH, message, type_, inside=f"{where}.accelerator_type")
        for name in child(options, "resources"):
            known = name.startswith((*ANY_NODE, "TPU-")) or name in OF_THEIR_OWN
            if not known and not any(may_offer(node, name) for node in nodes):
                message = f"{place} wants the resource {name}; no group offers it"
                hint = "name it in a group's resources"
                yield Found(PATH, message, name, hint, inside=f"{where}.resources.{name}")


@object_rule("SV07", KIND, Severity.WARN)
def proxies_unreachable(new: Json, _: Context) -> Iterator[Found]:
    """The serve Service sends requests where nobody listens."""
    config = _config(new)
    declared = declared_ports(_cluster(new).head)
    serving = next((port.number for port in declared if port.name == SERVE), None if declared else PORT_SERVE)
    listening = whole(child(config, "http_options"), "port")
    if serving is not None and (PORT_SERVE if listening is None else listening) != serving:
        message = f"Serve listens at {listening or PORT_SERVE}; the head's port serve is {serving}"
        hint = "let http_options.port and the container port agree"
        yield Found(PATH, message, listening, hint, inside="http_options.port")
    location = text(config, "proxy_location")
    if location and location not in LOCATIONS:
        message, hint = f"there is no proxy_location {location}", f"one of {', '.join(LOCATIONS)}"
        yield Found(PATH, message, location, hint, severity=Severity.DENY, inside="proxy_location")
    if location in ("Disabled", "HeadOnly") and is_true(new.get("spec"), "excludeHeadPodFromServeSvc"):
        message = f"proxy_location {location} and excludeHeadPodFromServeSvc leave nobody to take requests"
        yield Found(PATH, message, location, "use proxy_location: EveryNode", inside="proxy_location")


@object_rule("SV08", KIND, Severity.WARN)
def config_keys_unknown(new: Json, _: Context) -> Iterator[Found]:
    """Serve ignores them, or refuses the whole."""
    config = _config(new)
    for key in sorted(config.keys() - KEYS - {"import_path"}):  # SV02 speaks of that
        meant = snake_case(key)
        hint = f"write {meant}" if meant in KEYS else ""
        yield Found(PATH, f"Ray Serve knows no top-level field {key}", key, hint, inside=key)


@object_rule("SV09", KIND)
def capacity_of_the_operator(new: Json, context: Context) -> Iterator[Found]:
    """It shifts the traffic by it."""
    config = _config(new)
    if config.get("target_capacity") is not None and ServiceSpec(new).shifts_traffic(context):
        message = "target_capacity is the operator's to set in an incremental upgrade"
        yield Found(PATH, message, config["target_capacity"], "leave it out", inside="target_capacity")


@object_rule("SV10", KIND, Severity.WARN)
def incremental_without_gate(new: Json, context: Context) -> Iterator[Found]:
    """V13: accepted, and no new cluster is ever made (AC-1)."""
    service = ServiceSpec(new)
    if service.upgrade_type == RayServiceUpgradeType.INCREMENTAL and not service.shifts_traffic(context):
        yield Found(
            "spec.upgradeStrategy.type",
            "without the gate RayServiceIncrementalUpgrade this behaves as None: no upgrade",
            service.upgrade_type,
            "use NewCluster, or turn the gate on",
        )


@object_rule("SV11", KIND, Severity.WARN)
def suspended_by_hand(new: Json, _: Context) -> Iterator[Found]:
    """Kueue sets it, and takes it back."""
    if is_true(child(new, "spec", "rayClusterConfig"), "suspend") and not queued(new):
        hint = "use spec.suspend for the whole service"
        yield Found("spec.rayClusterConfig.suspend", "the service's clusters would stay suspended", True, hint)


@object_rule("SV12", KIND, Severity.WARN)
def nobody_to_work(new: Json, context: Context) -> Iterator[Found]:
    """No CPU anywhere for a replica."""
    cluster = _cluster(new)
    idle = any(one.group.is_head and one.announced_cpus == 0 for one in hardware_of(cluster, context))
    if idle and all(upper_bound(group) <= 0 for group in cluster.groups):
        yield Found(
            "spec.rayClusterConfig.workerGroupSpecs",
            "no worker may start, and the head offers no CPU: no replica can run",
            None,
            "raise maxReplicas of a worker group, or num-cpus of the head",
        )


@object_rule("SV13", KIND, Severity.WARN)
def too_large_to_check(new: Json, _: Context) -> Iterator[Found]:
    """Whoever applied it waits, and so does the API server."""
    read = _read(text(child(new, "spec"), "serveConfigV2"))
    if isinstance(read, ServeConfigTooLarge):
        message = f"{read}: nothing in it is checked here"
        yield Found(PATH, message, None, "let Ray Serve judge it, or make several RayServices of it")


def _cluster(new: Json) -> Cluster:
    placed = cluster_in(new)
    return placed.cluster if placed is not None else Cluster({}, {})


RULES: Final[tuple[Rule, ...]] = (
    config_unreadable,
    no_applications,
    import_path_wrong,
    applications_collide,
    nobody_offers_it,
    proxies_unreachable,
    config_keys_unknown,
    capacity_of_the_operator,
    incremental_without_gate,
    suspended_by_hand,
    nobody_to_work,
    too_large_to_check,
)
