"""What a pod of a shared machine asks for and does not get, and what it is told; nothing is said of what works."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.shared.limits import Machine, missing
from localcluster.node.shared.machine import lowest_port, taken_everywhere

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
    ("command", "told"), [(HEAD, False), ([*HEAD[:3], "ray start --head"], False), (["redis-server"], True)]
)
def test_a_heads_gcs_port_may_be_taken_since_it_moves(command: list[str], told: bool) -> None:
    """The one port of which that is true; a Redis of a pod has it no more."""
    machine = Machine(1000, 1024, frozenset({6379}))

    assert bool(said(machine, command=command, ports=ports(6379))) == told


@pytest.mark.parametrize(
    ("pod", "container", "words"),
    [
        ({"hostNetwork": True}, {}, "hostNetwork: pods share this machine, and each has an address of its own"),
        ({"hostAliases": [{"ip": "1.2.3.4"}]}, {}, "hostAliases and DNS settings have no effect"),
        ({"securityContext": {"runAsUser": 0}}, {}, "the pod runs as user 1000"),
        ({"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}}, {}, "sysctls are not set"),
        ({}, {"securityContext": {"runAsUser": 7}}, "container main runs as user 1000"),
        ({}, {"securityContext": {"privileged": True}}, "container main gets no more rights"),
        ({}, {"ports": [{"containerPort": 8000, "hostPort": 9000}]}, "hostPort 9000 is not opened; on this machine"),
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


def test_who_asks_for_the_user_that_runs_it_anyway_is_told_nothing() -> None:
    """Ray's own images run as 1000, and so do most people."""
    assert said(pod={"securityContext": {"runAsUser": 1000}}) == []


def test_ports_that_are_taken_everywhere_are_seen_and_others_are_not() -> None:
    """By the kernel's own table."""
    with socket.create_server(("0.0.0.0", 0)) as everywhere, socket.create_server(("127.0.0.1", 0)) as here:
        taken = set(taken_everywhere())
        numbers = [one.getsockname()[1] for one in (everywhere, here)]

    assert [number in taken for number in numbers] == [True, False]


def test_the_lowest_port_is_the_one_from_which_this_process_may_listen() -> None:
    """Root may everywhere; others from what the kernel says."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())

    assert lowest_port() in (0, first)
