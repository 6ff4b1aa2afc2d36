"""NM12: the ports of the head, and of the Services before it (spec admission §4.5, raycluster §2.3, §7.5).

A Service offers each port that the head's Ray container declares under its name. Kubernetes refuses a Service with two
ports of one name or one number, and then nobody finds the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from api.v1.rules.making import joined, object_rule, placed_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import PlacedCluster
from api.v1.rules.reading import Found, Group
from api.v1.rules.typed import entries, mapping, text, whole
from api.v1.wire import (
    ANNOTATION_SERVE_SERVICE,
    PORT_CLIENT,
    PORT_DASHBOARD,
    PORT_GCS,
    PORT_METRICS,
    PORT_SERVE,
)

__all__ = ["RULES", "declared_ports", "is_serving"]

Json = Mapping[str, Any]

SERVE: Final = "serve"
METRICS: Final = "metrics"
LONGEST_PORT_NAME: Final = 15
# Name of a port -> the start parameter that moves it, and where Ray listens without that.
KNOWN_PORTS: Final[Mapping[str, tuple[str, int]]] = {
    "gcs-server": ("port", PORT_GCS),
    "dashboard": ("dashboard-port", PORT_DASHBOARD),
    "client": ("ray-client-server-port", PORT_CLIENT),
    METRICS: ("metrics-export-port", PORT_METRICS),
    "as-metrics": ("", 44217),
    "dash-metrics": ("", 44227),
}
DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "client": PORT_CLIENT,
    "gcs-server": PORT_GCS,
    "dashboard": PORT_DASHBOARD,
    METRICS: PORT_METRICS,
    SERVE: PORT_SERVE,
}


class Port(NamedTuple):
    """A port as somebody wrote it down."""

    place: int  # in its list
    name: str
    number: int | None
    protocol: str = "TCP"  # that of the head Service's own ports, whatever a container says


def declared_ports(group: Group) -> Sequence[Port]:
    """The ports of the Ray container."""
    return [
        Port(index, text(port, "name"), whole(port, "containerPort"))
        for index, port in entries(group.ray_container, "ports")
    ]


def is_serving(name: str) -> bool:
    """Does a port of that name answer the requests of Serve's users?"""
    return name == SERVE or name.startswith(f"{SERVE}-")


def _offered(head: Group) -> Mapping[str, int]:
    """Name -> number of what the head Service offers without the user's own entries in it."""
    declared = {port.name or f"{port.number}-port": port.number or 0 for port in declared_ports(head)}
    return {METRICS: PORT_METRICS} | (declared or dict(DEFAULT_PORTS))


@placed_rule("NM12")
def _of_cluster(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    head = placed.cluster.head
    at_container = f"{head.container_path}.ports"
    ports = declared_ports(head)
    yield from _doubled(ports, at_container, "containerPort", {})
    yield from _metrics_taken(ports, at_container)
    own = _service_ports(head.spec, "headService")
    yield from _doubled(own, "headGroupSpec.headService.spec.ports", "port", _offered(head))
    for group in placed.cluster.all_groups:
        declared, path = declared_ports(group), f"{group.container_path}.ports"
        yield from _oddly_named(declared, path, group)
        if not group.is_head:
            yield from _named_twice(declared, path, group)
    if _serve_expected(new) and ports and not any(is_serving(port.name) for port in ports):
        yield Found(
            at_container,
            "the head declares ports, but none is called serve: there will be no serve Service",
            None,
            f"add {{name: serve, containerPort: {PORT_SERVE}}}",
            severity=Severity.WARN,
        )


@object_rule("NM12", ["RayService"])
def _of_serve_service(new: Json, _: Context) -> Iterator[Found]:
    own = _service_ports(new.get("spec"), "serveService")
    yield from _doubled(own, "spec.serveService.spec.ports", "port", {})


def _service_ports(node: Any, field: str) -> Sequence[Port]:
    return [
        Port(index, text(port, "name"), whole(port, "port"), text(port, "protocol") or "TCP")
        for index, port in entries(node, field, "spec", "ports")
    ]


def _serve_expected(new: Json) -> bool:
    """Somebody asked for the Service, and did not list its ports himself."""
    if text(new, "kind") == "RayService":
        return not _service_ports(new.get("spec"), "serveService")
    return mapping(new, "metadata", "annotations").get(ANNOTATION_SERVE_SERVICE) == "true"


def _doubled(ports: Iterable[Port], path: str, field: str, offered: Mapping[str, int]) -> Iterator[Found]:
    """Two ports of one name, or of one number and protocol, or one beside the same that the operator adds."""
    names, numbers = set(offered), {(number, "TCP") for number in offered.values()}
    for port in ports:
        if port.name and port.name in names:
            message = f"two ports are called {port.name}"
            yield Found(f"{path}[{port.place}].name", message, port.name, "a Service needs a name for each port")
        if port.number is not None and (port.number, port.protocol) in numbers:
            message = f"port {port.number} is offered twice"
            hint = "the operator adds the head's own ports" if offered else "a Service offers a port once"
            yield Found(f"{path}[{port.place}].{field}", message, port.number, hint)
        names.add(port.name)
        numbers.add((port.number or 0, port.protocol))


def _named_twice(ports: Iterable[Port], path: str, group: Group) -> Iterator[Found]:
    """No Service lists the ports of workers, but such a pod is refused."""
    names: set[str] = set()
    for port in ports:
        if port.name and port.name in names:
            message = f"{group.called}: two ports are called {port.name}"
            yield Found(f"{path}[{port.place}].name", message, port.name, "rename one of them", group.index)
        names.add(port.name)


def _metrics_taken(ports: Sequence[Port], path: str) -> Iterator[Found]:
    """The head Service always offers `metrics`, by default at a port of its own."""
    if any(port.name == METRICS for port in ports):
        return
    for port in ports:
        if port.number == PORT_METRICS:
            message = f"port {PORT_METRICS} is offered twice: the operator adds it as {METRICS}"
            hint = f"call it {METRICS}, or give {METRICS} another number"
            yield Found(f"{path}[{port.place}].containerPort", message, port.number, hint)


def _oddly_named(ports: Iterable[Port], path: str, group: Group) -> Iterator[Found]:
    for port in ports:
        if len(port.name) > LONGEST_PORT_NAME:
            message = f"the port name {port.name} is longer than {LONGEST_PORT_NAME} characters: such a pod is refused"
            yield Found(f"{path}[{port.place}].name", message, port.name, "", group.index)
        parameter, number = KNOWN_PORTS.get(port.name, ("", port.number))
        expected = group.start_params.get(parameter) or str(number)
        if group.is_head and port.number is not None and str(port.number) != expected:
            message = f"port {port.name} is {port.number} here, but Ray listens at {expected}"
            hint = f"set rayStartParams {parameter}: '{port.number}', or change the port" if parameter else ""
            yield Found(f"{path}[{port.place}].containerPort", message, port.number, hint, severity=Severity.WARN)


RULES: Final[tuple[Rule, ...]] = (joined(_of_cluster, _of_serve_service),)
