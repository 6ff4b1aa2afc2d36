"""What a pod of a shared machine asks for and does not get, and what it is told; nothing is said of what works."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.shared.limits import Machine, missing, port_moved, port_taken
from localcluster.node.shared.machine import look, lowest_port, taken_everywhere

ORDINARY = Machine(user=1000, lowest_port=1024, taken=frozenset({8265}))
HEAD = ["bash", "-c", "--", "ulimit -n 65536; ray start --head --port=6379 --dashboard-host=0.0.0.0 --block"]


def said(machine: Machine = ORDINARY, pod: dict[str, Any] | None = None, **container: Any) -> list[str]:
    one = {"name": "main", **container}
    spec = {"containers": [one], **(pod or {})}
    return list(missing({"metadata": {"name": "p"}, "spec": spec}, "127.71.0.5", machine, "/tmp/manta-x"))


def ports(*numbers: int) -> list[dict[str, int]]:
    return [{"containerPort": number} for number in numbers]


def test_an_ordinary_pod_is_told_nothing() -> None:
    """Limits that are not enforced are told once, by manta: an event for each pod would hide those that matter."""
    volumes = [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "logs", "mountPath": "/tmp/ray"}]

    assert said(ports=ports(8000, 10001), volumeMounts=volumes, resources={"limits": {"memory": "1Gi"}}) == []


@pytest.mark.parametrize(
    ("pod", "container"),
    [
        ({"dnsPolicy": "ClusterFirst", "hostAliases": []}, {}),
        ({}, {"securityContext": {"capabilities": {"drop": ["ALL"]}, "privileged": False}}),
        ({}, {"ports": [{"containerPort": 1024, "protocol": "TCP"}]}),
        ({}, {"env": [{"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "0"}, {"name": "A", "valueFrom": {}}]}),
        ({"securityContext": {"fsGroup": 7}}, {"volumeMounts": [{"name": "a", "mountPath": "/developer"}]}),
    ],
    ids=["names", "rights", "lowest port", "variables", "mounts"],
)
def test_what_asks_for_nothing_special_is_told_nothing(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """An event for what works would be believed."""
    assert said(pod=pod, **container) == []


def test_an_init_container_is_told_as_well_and_nothing_is_said_twice() -> None:
    """One number, under two names."""
    twice = [{"containerPort": 80}, {"containerPort": 80, "name": "again"}]

    [sentence] = said(pod={"initContainers": [{"name": "init", "ports": twice}]})

    assert sentence.startswith("container init: port 80 ")


def test_a_port_that_only_root_may_have_is_told_with_the_lowest_that_anybody_may() -> None:
    """And not where an ordinary user may have it, as in most containers."""
    assert said(ports=ports(80)) == [
        "container main: port 80 cannot be listened on by an ordinary user of this machine; use one from 1024 on"
    ]
    assert said(Machine(1000, 0, frozenset()), ports=ports(80)) == []


def test_a_port_that_another_program_has_everywhere_is_told() -> None:
    """A Redis of the machine, a dashboard on 0.0.0.0: the pod's own server would fail, in words that help nobody."""
    [sentence] = said(ports=ports(8265, 8266))

    assert sentence.startswith("container main: port 8265 is taken: another program of this machine")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (HEAD, False),
        ([*HEAD[:3], "ray start --head"], False),
        (["redis-server"], True),
        ([*HEAD[:3], "ray start --address=head:6379"], True),
        ([*HEAD[:3], "ray start --head --port=6380"], True),
    ],
)
def test_a_heads_gcs_port_may_be_taken_since_it_moves(command: list[str], told: bool) -> None:
    """The one port of which that is true; a Redis of a pod has it no more."""
    machine = Machine(1000, 1024, frozenset({6379}))

    assert bool(said(machine, command=command, ports=ports(6379))) == told


def test_the_ports_of_a_pod_that_wants_the_hosts_network_are_told_with_that_alone() -> None:
    """Kubernetes makes each of them a hostPort by itself; the pod's address is in the one sentence."""
    every = [{"containerPort": 8265, "hostPort": 8265}, {"containerPort": 8000, "hostPort": 8000}]

    [sentence] = said(Machine(1000, 1024, frozenset()), pod={"hostNetwork": True}, ports=every)

    assert sentence.startswith("hostNetwork: ")


def test_of_a_host_port_nobody_may_listen_on_it_is_not_told_where_it_is() -> None:
    """It is nowhere."""
    [sentence] = said(ports=[{"containerPort": 80, "hostPort": 80}])

    assert "port 80 cannot be listened on" in sentence


def test_a_heads_gcs_moves_whatever_its_number() -> None:
    """Written with a space, too."""
    machine = Machine(1000, 1024, frozenset({6380}))

    assert said(machine, command=[*HEAD[:3], "ray start --head --port 6380"], ports=ports(6380)) == []


@pytest.mark.parametrize(
    ("pod", "container", "words"),
    [
        ({"hostNetwork": True}, {}, "hostNetwork: pods share this machine, and each has an address of its own"),
        ({"hostAliases": [{"ip": "1.2.3.4"}]}, {}, "hostAliases and DNS settings have no effect"),
        ({"dnsConfig": {"nameservers": ["1.2.3.4"]}}, {}, "hostAliases and DNS settings have no effect"),
        ({"dnsPolicy": "None"}, {}, "hostAliases and DNS settings have no effect"),
        ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, "container main gets no more rights"),
        ({"securityContext": {"runAsUser": 0}}, {}, "the pod runs as user 1000"),
        ({"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}}, {}, "sysctls are not set"),
        ({}, {"securityContext": {"runAsUser": 7}}, "container main runs as user 1000"),
        ({}, {"securityContext": {"privileged": True}}, "container main gets no more rights"),
        (
            {},
            {"ports": [{"containerPort": 8000, "hostPort": 9000}]},
            "hostPort 9000 is not opened; on this machine the port is 127.71.0.5:8000",
        ),
        ({}, {"ports": [{"containerPort": 5353, "protocol": "UDP"}]}, "UDP port 5353 is the whole machine's"),
        ({}, {"env": [{"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "1"}]}, "no other pod here can serve beside"),
        ({}, {"volumeMounts": [{"name": "a", "mountPath": "/tmp/"}]}, "nothing can be mounted at /tmp/"),
        ({}, {"volumeMounts": [{"name": "a", "mountPath": "/proc/a"}]}, "nothing can be mounted at /proc/a"),
    ],
)
def test_what_has_no_effect_here_is_said_in_a_sentence(
    pod: dict[str, Any], container: dict[str, Any], words: str
) -> None:
    """One for each wish."""
    [sentence] = said(pod=pod, **container)

    assert words in sentence


def test_a_folder_of_the_machine_that_is_to_be_read_only_is_said_not_to_be() -> None:
    """Whoever mounts it so relies on it. What the API gives is the pod's own copy, and a hostPath may be written to."""
    volumes = [{"name": "data", "hostPath": {"path": "/srv/data"}}, {"name": "code", "configMap": {"name": "code"}}]
    every = [
        {"name": "data", "mountPath": "/in", "readOnly": True},
        {"name": "data", "mountPath": "/out"},
        {"name": "code", "mountPath": "/code", "readOnly": True},
    ]

    [sentence] = said(pod={"volumes": volumes}, volumeMounts=every)

    assert sentence.startswith("container main: /in is not kept read-only without a cell")
    assert "/srv/data" in sentence


def test_a_port_that_a_program_has_over_tcp_is_not_said_to_be_taken_for_udp() -> None:
    """What is told of it is of UDP alone."""
    [sentence] = said(ports=[{"containerPort": 8265, "protocol": "UDP"}])

    assert "UDP port 8265" in sentence


def test_who_asks_for_the_user_that_runs_it_anyway_is_told_nothing() -> None:
    """Ray's own images run as 1000, and so do most people."""
    assert said(pod={"securityContext": {"runAsUser": 1000}}) == []


def test_a_service_that_has_another_port_is_told_both() -> None:
    """Or that somebody else has it."""
    assert "led to 127.71.128.1:8081, and others must" in port_moved("127.71.128.1", 80, 8081)
    assert port_moved("127.71.128.1", 80, 8081).startswith("port 80 cannot be listened on by an ordinary user")
    assert port_taken(8265, "Address already in use").startswith(
        "port 8265 cannot be listened on (Address already in use)"
    )


def test_ports_that_are_taken_everywhere_are_seen_and_others_are_not() -> None:
    """By the kernel's own table."""
    with socket.create_server(("0.0.0.0", 0)) as everywhere, socket.create_server(("127.0.0.1", 0)) as here:
        taken = set(taken_everywhere())
        numbers = [one.getsockname()[1] for one in (everywhere, here)]

    assert [number in taken for number in numbers] == [True, False]


def test_the_lowest_port_is_the_one_from_which_this_process_may_listen() -> None:
    """Root may everywhere, with that right; others from what the kernel says. It is tried."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())

    assert lowest_port() == (0 if may_listen_at("127.127.0.1", first - 1) else first)


def may_listen_at(address: str, port: int) -> bool:
    """Negative ones are no refusal."""
    if port < 0:
        return True
    with socket.socket() as tried:
        try:
            tried.bind((address, port))
        except PermissionError:
            return False
    return True


def test_the_machine_is_looked_at_when_a_pod_comes() -> None:
    """A program may have begun to listen since the last one."""
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        port = everywhere.getsockname()[1]
        then = look()

    assert (then.user, then.lowest_port, port in then.taken) == (os.geteuid(), lowest_port(), True)
    assert port not in look().taken
