"""Which addresses stand behind a Service."""

from __future__ import annotations

from typing import Any

from localcluster.controllers.endpoints import behind, slices, subsets


def a_service(**spec: Any) -> dict[str, Any]:
    """Selects app=x on port 80 -> 8000."""
    defaults: dict[str, Any] = {"selector": {"app": "x"}, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]}
    return {"metadata": {"name": "s", "namespace": "ns", "uid": "su", "labels": {"l": "v"}}, "spec": defaults | spec}


def a_pod(name: str, ip: str, *, ready: bool = True, phase: str = "Running", **more: Any) -> dict[str, Any]:
    """A pod of app x."""
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "x"}, **more.get("metadata", {})},
        "spec": {"nodeName": "n", "containers": more.get("containers", [])},
        "status": {
            "phase": phase,
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def test_ready_and_unready_pods_stand_in_different_lists() -> None:
    """With the Service's target port."""
    service = a_service()
    found = behind(service, [a_pod("b", "10.0.0.2", ready=False), a_pod("a", "10.0.0.1")])

    (subset,) = subsets(service, found)

    assert [one["ip"] for one in subset["addresses"]] == ["10.0.0.1"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["10.0.0.2"]
    assert subset["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP"}]
    reference = {"kind": "Pod", "namespace": "ns", "name": "a", "uid": "a"}
    assert subset["addresses"][0] == {"ip": "10.0.0.1", "nodeName": "n", "targetRef": reference}


def test_publishing_unready_addresses_makes_all_ready() -> None:
    """As the head Service has it."""
    service = a_service(publishNotReadyAddresses=True, clusterIP="None")
    found = behind(service, [a_pod("a", "10.0.0.1", ready=False)])

    assert len(subsets(service, found)[0]["addresses"]) == 1
    (made,) = slices(service, found)
    assert made["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}
    assert made["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_a_pod_that_goes_is_not_ready_but_still_serving() -> None:
    """Slices tell it; Endpoints leave it out."""
    service = a_service()
    found = behind(service, [a_pod("a", "10.0.0.1", metadata=GOING)])

    assert subsets(service, found) == []
    assert slices(service, found)[0]["endpoints"][0]["conditions"] == {
        "ready": False,
        "serving": True,
        "terminating": True,
    }


def test_finished_pods_and_those_without_an_address_are_left_out() -> None:
    """Also those of other labels and namespaces."""
    pods = [
        a_pod("done", "10.0.0.1", phase="Succeeded"),
        a_pod("new", ""),
        a_pod("other", "10.0.0.3", metadata={"labels": {"app": "y"}}),
        a_pod("far", "10.0.0.4", metadata={"namespace": "elsewhere"}),
    ]

    assert behind(a_service(), pods) == []


def test_a_named_target_port_is_looked_up_in_the_pod() -> None:
    """A pod without it has no such port."""
    service = a_service(ports=[{"name": "dash", "port": 80, "targetPort": "dashboard"}])
    ports = [{"name": "dashboard", "containerPort": 8265}]
    having = a_pod("a", "10.0.0.1", containers=[{"ports": ports}])

    assert behind(service, [having])[0].ports == (("dash", 8265, "TCP"),)
    assert behind(service, [a_pod("b", "10.0.0.2")])[0].ports == ()


def test_a_name_stands_for_a_port_of_its_protocol() -> None:
    """DNS has both under one name."""
    service = a_service(ports=[{"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}])
    ports = [
        {"name": "dns", "containerPort": 5353, "protocol": "TCP"},
        {"name": "dns", "containerPort": 5354, "protocol": "UDP"},
    ]

    (found,) = behind(service, [a_pod("a", "10.0.0.1", containers=[{"ports": ports}])])

    assert found.ports == (("dns", 5354, "UDP"),)


def test_a_service_without_pods_has_one_empty_slice() -> None:
    """Owned by the Service, so that it goes with it."""
    (made,) = slices(a_service(), [])

    assert made["endpoints"] == []
    assert made["metadata"]["ownerReferences"][0]["uid"] == "su"
    assert made["metadata"]["labels"] == {
        "l": "v",
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }


def test_a_slice_holds_a_hundred_endpoints_and_names_do_not_depend_on_them() -> None:
    """A stale view writes the same names again."""
    service = a_service()
    many = behind(service, [a_pod(f"p{number:03}", f"10.0.1.{number}") for number in range(150)])

    made = slices(service, many)

    assert [len(one["endpoints"]) for one in made] == [100, 50]
    assert made[0]["metadata"]["name"] == slices(service, many[:1])[0]["metadata"]["name"]
    assert made[0]["metadata"]["name"] != made[1]["metadata"]["name"]
