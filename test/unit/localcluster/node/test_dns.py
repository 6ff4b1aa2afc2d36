"""The cell's name server: which names there are, and how it says so."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from localcluster.node.dns import BadQuery, answer, names_of, question

A, AAAA = 1, 28


def a_service(name: str, address: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name}, "spec": {"clusterIP": address}}


def a_slice(service: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service}
    return {"metadata": {"namespace": "ns", "name": f"{service}-x", "labels": labels}, "endpoints": list(endpoints)}


def endpoint(address: str, *, ready: bool = True, hostname: str = "") -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": ready}, **({"hostname": hostname} if hostname else {})}


def a_query(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


SERVICES = {("ns", "web"): a_service("web", "10.96.0.9"), ("ns", "head"): a_service("head", "None")}
SLICES = {
    ("ns", "head-x"): a_slice(
        "head", endpoint("10.244.0.2", hostname="one"), endpoint("10.244.0.3"), endpoint("10.244.0.4", ready=False)
    )
}


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("web.ns.svc.cluster.local", ["10.96.0.9"]),
        ("WEB.ns.svc.Cluster.Local.", ["10.96.0.9"]),
        ("head.ns.svc.cluster.local", ["10.244.0.2", "10.244.0.3"]),
        ("one.head.ns.svc.cluster.local", ["10.244.0.2"]),
        ("10-244-0-3.head.ns.svc.cluster.local", ["10.244.0.3"]),
        ("10-244-0-3.ns.pod.cluster.local", ["10.244.0.3"]),
        ("web.other.svc.cluster.local", None),
        ("four.head.ns.svc.cluster.local", None),
        ("x-y.ns.pod.cluster.local", None),
        ("web.ns", None),
        ("example.com", None),
        ("cluster.local", None),
    ],
)
def test_names_lead_to_the_addresses_that_are_ready(name: str, addresses: list[str] | None) -> None:
    """A ClusterIP where there is one, ready endpoints where there is none."""
    assert names_of(SERVICES, SLICES)(name) == addresses


def test_a_headless_service_that_nobody_serves_has_no_name() -> None:
    """A worker then tries again, instead of taking an empty answer for good."""
    nobody = {("ns", "head-x"): a_slice("head", endpoint("10.244.0.4", ready=False))}

    assert names_of(SERVICES, nobody)("head.ns.svc.cluster.local") is None


def test_an_answer_repeats_the_question_and_adds_the_addresses() -> None:
    """What a resolver checks before it believes one."""
    query = question(a_query("web.ns.svc.cluster.local"))

    said = answer(query, ["10.96.0.9"])

    id_, flags, questions, answers, *_ = struct.unpack_from(">HHHHHH", said)
    assert (query.name, query.type) == ("web.ns.svc.cluster.local", A)
    assert (id_, questions, answers, flags & 0xF) == (7, 1, 1, 0)
    assert said.endswith(bytes([10, 96, 0, 9]))
    assert a_query("web.ns.svc.cluster.local")[12:] in said


def test_a_name_without_addresses_of_that_kind_exists_nevertheless() -> None:
    """AAAA of a service: no records, and no NXDOMAIN, which would hide its A."""
    said = answer(question(a_query("web.ns.svc.cluster.local", AAAA)), ["10.96.0.9"])

    _, flags, _, answers, *_ = struct.unpack_from(">HHHHHH", said)
    assert (flags & 0xF, answers) == (0, 0)


def test_an_unknown_name_is_denied() -> None:
    """NXDOMAIN."""
    said = answer(question(a_query("example.com")), None)

    assert struct.unpack_from(">HH", said)[1] & 0xF == 3


def test_an_answer_too_long_for_a_datagram_says_that_it_is_cut() -> None:
    """The resolver asks again over TCP, and gets all."""
    query, addresses = question(a_query("head.ns.svc.cluster.local")), [f"10.244.0.{n}" for n in range(2, 60)]

    cut, whole = answer(query, addresses, limit=512), answer(query, addresses)

    assert struct.unpack_from(">HH", cut)[1] & 0x200
    assert struct.unpack_from(">HHHH", whole)[3] == 58


@pytest.mark.parametrize("message", [b"", b"\0" * 12, a_query("a.b")[:-5], answer(question(a_query("a.b")), None)])
def test_what_is_no_query_is_refused(message: bytes) -> None:
    """Answers above all: two servers would talk for ever."""
    with pytest.raises(BadQuery):
        question(message)
