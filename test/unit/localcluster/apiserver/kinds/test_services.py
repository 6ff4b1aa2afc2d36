"""Services: addresses and ports that nobody else has."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from localcluster.addresses import IN_A_CELL
from localcluster.api import Json, Refusal
from localcluster.apiserver.local import LocalApi


def a_service(name: str = "s", **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def message(doing: Any) -> str:
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value.message


@pytest.mark.spec("kube-api:SVC-1")
async def test_a_service_is_given_an_address_of_its_own(api: LocalApi) -> None:
    """And what else it leaves open."""
    made = [(await api.create("services", "default", a_service(f"s{number}")))["spec"] for number in range(20)]

    addresses = {one["clusterIP"] for one in made}
    assert len(addresses) == 20
    assert all(ipaddress.ip_address(one) in IN_A_CELL.services for one in addresses)
    spec = made[0]
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["type"], spec["ipFamilies"], spec["ipFamilyPolicy"]) == ("ClusterIP", ["IPv4"], "SingleStack")


@pytest.mark.spec("kube-api:SVC-1")
async def test_headless_and_external_services_get_no_address(api: LocalApi) -> None:
    """A headless one without a selector is of both families."""
    headless = await api.create("services", "default", a_service("h", clusterIP="None"))
    selecting = await api.create("services", "default", a_service("c", clusterIP="None", selector={"a": "b"}))
    external = await api.create("services", "default", a_service("e", type="ExternalName", externalName="a.b"))

    assert (headless["spec"]["clusterIPs"], headless["spec"]["ipFamilies"]) == (["None"], ["IPv4", "IPv6"])
    assert selecting["spec"]["ipFamilies"] == ["IPv4"]
    assert "clusterIP" not in external["spec"]


@pytest.mark.spec("kube-api:SVC-2")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"clusterIP": "10.96.0.1"},
            (
                'spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1:'
                " provided IP is already allocated"
            ),
        ),
        (
            {"clusterIP": "10.1.2.3"},
            (
                'spec.clusterIPs: Invalid value: ["10.1.2.3"]: failed to allocate IP 10.1.2.3:'
                " the provided network does not match the current range"
            ),
        ),
        ({"ports": []}, "spec.ports: Required value"),
        (
            {"ports": [{"port": 1}, {"port": 2}]},
            "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            (
                "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range."
                " The range of valid ports is 30000-32767"
            ),
        ),
    ],
)
async def test_what_is_not_to_be_had_is_refused(api: LocalApi, spec: Json, expected: str) -> None:
    """In the server's words."""
    assert await message(api.create("services", "default", a_service(**spec))) == f'Service "s" is invalid: {expected}'


@pytest.mark.spec("kube-api:SVC-2")
async def test_a_node_port_is_given_once(api: LocalApi) -> None:
    """And stays with its service through updates."""
    first = await api.create("services", "default", a_service("a", type="NodePort"))
    port = first["spec"]["ports"][0]["nodePort"]

    again = await message(
        api.create("services", "default", a_service("b", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
    )
    kept = await api.update("services", "default", a_service("a", type="NodePort", selector={"x": "y"}))

    assert again.endswith("provided port is already allocated")
    assert kept["spec"]["ports"][0]["nodePort"] == port


@pytest.mark.spec("kube-api:SVC-2")
async def test_an_address_once_given_stays(api: LocalApi) -> None:
    """A put without one keeps it, another one is refused."""
    made = await api.create("services", "default", a_service())

    kept = await api.update("services", "default", a_service(selector={"a": "b"}))
    other = {"spec": {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]}}
    refusal = await message(api.patch("services", "default", "s", other))

    assert kept["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert refusal.endswith('spec.clusterIPs[0]: Invalid value: ["10.96.0.77"]: may not change once set')


async def test_a_deleted_service_gives_its_address_back(api: LocalApi) -> None:
    """Nothing is booked anywhere else."""
    made = await api.create("services", "default", a_service())
    await api.delete("services", "default", "s")

    again = await api.create("services", "default", a_service("t", clusterIP=made["spec"]["clusterIP"]))

    assert again["spec"]["clusterIP"] == made["spec"]["clusterIP"]


@pytest.mark.spec("kube-api:SVC-2")
async def test_the_name_of_a_service_begins_with_a_letter(api: LocalApi) -> None:
    """It is a name in DNS."""
    refusal = await message(api.create("services", "default", a_service("9x")))

    assert 'metadata.name: Invalid value: "9x": a DNS-1035 label must consist of' in refusal
