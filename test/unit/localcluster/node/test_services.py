"""What stands behind a service's address."""

from __future__ import annotations

from typing import Any

from localcluster.node.services import backends


def a_service(*ports: dict[str, Any], name: str = "web", namespace: str = "ns", **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name}
    return {"metadata": metadata, "spec": {"clusterIP": "10.96.0.9", "ports": list(ports), **spec}}


def endpoint(address: str, *, ready: bool = True) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": ready}}


def test_each_port_leads_to_the_port_of_that_name_at_ready_endpoints() -> None:
    """Named ports may have other numbers in other pods: one slice for each set."""
    service = a_service({"name": "http", "port": 80}, {"name": "admin", "port": 81})
    slices = [
        {"ports": [{"name": "http", "port": 8000}], "endpoints": [endpoint("10.244.0.2"), endpoint("10.244.0.3")]},
        {"ports": [{"name": "http", "port": 9000}], "endpoints": [endpoint("10.244.0.4", ready=False)]},
        {"ports": [{"name": "admin", "port": 8001}], "endpoints": [endpoint("10.244.0.2")]},
    ]

    assert backends(service, slices) == {
        ("10.96.0.9", 80): (("10.244.0.2", 8000), ("10.244.0.3", 8000)),
        ("10.96.0.9", 81): (("10.244.0.2", 8001),),
    }


def test_a_port_that_nobody_serves_has_nobody_behind_it() -> None:
    """The proxy then closes it, and a connection is refused."""
    assert backends(a_service({"port": 80}), []) == {("10.96.0.9", 80): ()}


def test_headless_services_and_other_protocols_need_no_proxy() -> None:
    """Their addresses are the pods' own; UDP is not carried."""
    slices = [{"ports": [{"port": 53}], "endpoints": [endpoint("10.244.0.2")]}]

    assert backends(a_service({"port": 53}, clusterIP="None"), slices) == {}
    assert backends(a_service({"port": 53, "protocol": "UDP"}), slices) == {}


def test_the_api_servers_own_service_leads_to_the_cells_loopback() -> None:
    """It has no pods: the local cluster is no pod."""
    service = a_service({"name": "https", "port": 443, "targetPort": 6443}, name="kubernetes", namespace="default")

    assert backends(service, []) == {("10.96.0.9", 443): (("127.0.0.1", 6443),)}
