"""What `ray` and `serve` are told in a pod."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.shared.hook.pod import Pod
from localcluster.node.shared.hook.programs import arguments
from localcluster.testing.hooked import PYTHON, Neighbours

GENERATED = ["start", "--head", "--block", "--dashboard-host=0.0.0.0", "--metrics-export-port=8080", "--num-cpus=1"]


def a_pod(tmp_path: Path, **described: Any) -> tuple[Neighbours, Pod]:
    cluster = Neighbours(tmp_path)
    return cluster, cluster.pod("one", 5, None, temporary="/tmp/short", **described).pod


def effective(words: list[str]) -> dict[str, str]:
    """The last of equal flags wins."""
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def test_what_the_user_said_stays_and_ours_comes_after_it(tmp_path: Path) -> None:
    """The last of two equal flags wins."""
    _, pod = a_pod(tmp_path)
    told = arguments(pod, "ray", GENERATED)
    assert told[: len(GENERATED)] == GENERATED
    assert effective(told)["--dashboard-host"] == pod.address


@pytest.mark.parametrize("before", [["--logging-level", "debug"], ["--logging-level=debug"], ["--logging-format"]])
def test_what_ray_is_told_before_its_command_hides_no_command(before: list[str], tmp_path: Path) -> None:
    """Else the node would be one of the machine's. An option without its word is for Ray to refuse."""
    _, pod = a_pod(tmp_path)
    told = arguments(pod, "ray", [*before, "start", "--head"])
    is_whole = before != ["--logging-format"]
    assert ("--node-ip-address" in effective(told)) == is_whole


@pytest.mark.spec("ray-side:S10-13", "ray-side:S10-2", "ray-side:S10-4")
def test_a_node_shares_nothing_with_those_beside_it(tmp_path: Path) -> None:
    """Address, GCS's port, workers' ports, temporary files, memory."""
    _, pod = a_pod(tmp_path, memory=2**30, cpus=2.0)
    flags = effective(arguments(pod, "ray", ["start", "--head"]))
    assert flags["--node-ip-address"] == pod.address
    assert flags["--port"] == str(pod.ports.real(pod.address, 6379)) != "6379"
    assert (flags["--min-worker-port"], flags["--max-worker-port"]) == ("0", "0")
    assert flags["--temp-dir"] == "/tmp/short/ray"
    assert (flags["--memory"], flags["--object-store-memory"]) == (str(2**30), str(int(2**30 * 0.3)))
    assert flags["--num-cpus"] == "2"


def test_memory_and_processors_that_the_pod_says_are_kept(tmp_path: Path) -> None:
    """Objects get their share of that memory."""
    _, pod = a_pod(tmp_path, memory=2**32, cpus=4.0)
    said = ["start", "--memory=1000000000", "--num-cpus=1", "--object-store-memory", "200000000"]
    flags = effective(arguments(pod, "ray", said)[len(said) :])
    assert not {"--memory", "--num-cpus", "--object-store-memory"} & set(flags)


@pytest.mark.parametrize("said", ["--memory=2Gi", "--port=gcs"])
def test_what_ray_cannot_read_is_left_for_ray_to_refuse(said: str, tmp_path: Path) -> None:
    """In its own words, which name the flag: a last flag of ours would hide it, and our failure would blame Python."""
    _, pod = a_pod(tmp_path, memory=2**30)
    told = arguments(pod, "ray", ["start", "--head", said])
    name, _, value = said.partition("=")
    assert effective(told)[name] == value


def test_a_port_that_a_raylet_has_on_all_addresses_is_left_to_chance(tmp_path: Path) -> None:
    """Two pods of one template name the same one."""
    _, pod = a_pod(tmp_path)
    flags = effective(arguments(pod, "ray", ["start", "--node-manager-port=7000", "--dashboard-agent-listen-port=5"]))
    assert (flags["--node-manager-port"], flags["--dashboard-agent-listen-port"]) == ("0", "5")
    assert "--object-manager-port" not in flags


def test_a_worker_joins_the_head_where_it_really_is(tmp_path: Path) -> None:
    """By an address, since C++ sees no names, and at the port that moved."""
    cluster, pod = a_pod(tmp_path)
    head = f"{cluster.block}.0.7"
    cluster.names({"head.ns.svc.cluster.local": [head]})
    cluster.moved(head, 6379, 23456)
    for said in (["--address=head.ns.svc.cluster.local:6379"], ["--address", "head:6379"]):
        told = arguments(pod, "ray", ["start", *said, "--block"])
        assert told[1 : 1 + len(said)] == " ".join(said).replace(said[-1].split("=")[-1], f"{head}:23456").split()
        assert "--port" not in effective(told)


@pytest.mark.spec("ray-side:S10-13")
def test_a_head_that_does_not_run_is_no_other_programs_gcs(tmp_path: Path) -> None:
    """Somebody else's may listen at 6379 of all addresses."""
    cluster, pod = a_pod(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
    told = arguments(pod, "ray", ["health-check", "--address", "head:6379"])
    assert told == ["health-check", "--address", f"{cluster.block}.0.7:1"]


def test_what_was_said_once_is_not_changed_a_second_time(tmp_path: Path) -> None:
    """A child's environment is its parent's."""
    cluster, pod = a_pod(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
    cluster.moved(f"{cluster.block}.0.7", 6379, 23456)
    once = arguments(pod, "ray", ["status", "--address=head:6379"])
    assert arguments(pod, "ray", once) == once


def test_a_jobs_own_words_are_not_ours(tmp_path: Path) -> None:
    """What comes after `--` runs elsewhere."""
    cluster, pod = a_pod(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": ["127.9.9.9"]})
    said = ["job", "submit", "--address", "http://head:8265", "--", "python", "x.py", "--address", "head:6379"]
    told = arguments(pod, "ray", said)
    assert told == ["job", "submit", "--address", "http://127.9.9.9:8265", *said[4:]]
    assert arguments(pod, "serve", ["deploy", "-a", "http://head:8265"])[-1] == "http://127.9.9.9:8265"


@pytest.mark.spec("ray-side:S3-1")
def test_the_autoscaler_beside_a_head_knows_its_port_whoever_of_the_two_starts_first(tmp_path: Path) -> None:
    """It is told at its start, and never asks again."""
    _, pod = a_pod(tmp_path)
    told = arguments(pod, "ray", ["kuberay-autoscaler", "--cluster-name", "demo"])
    port = effective(arguments(pod, "ray", ["start", "--head"]))["--port"]
    assert told[-1] == f"--gcs-address={pod.address}:{port}"


def test_a_head_that_starts_again_has_the_port_that_its_workers_know(tmp_path: Path) -> None:
    """Unless somebody took it."""
    _, pod = a_pod(tmp_path)
    ports = {effective(arguments(pod, "ray", ["start", "--head"]))["--port"] for _ in range(3)}
    assert len(ports) == 1


# Ports, memory and processors, case by case --------------------------------------------------------------------------


@pytest.mark.spec("ray-side:S10-13")
@pytest.mark.parametrize(
    "option",
    ["--node-manager-port", "--object-manager-port", "--dashboard-agent-grpc-port", "--metrics-agent-port"],
)
def test_each_port_of_a_raylet_is_left_to_chance_if_it_was_said(option: str, tmp_path: Path) -> None:
    """However it was written."""
    _, pod = a_pod(tmp_path)
    for said in ([f"{option}=7000"], [option, "7000"]):
        assert effective(arguments(pod, "ray", ["start", *said])[1 + len(said) :])[option] == "0"


def test_a_list_of_workers_ports_is_taken_back(tmp_path: Path) -> None:
    """Workers of two pods would share it, and it wins over a range."""
    _, pod = a_pod(tmp_path)
    flags = effective(arguments(pod, "ray", ["start", "--worker-port-list=10002,10003"]))
    assert (flags["--worker-port-list"], flags["--min-worker-port"]) == ("", "0")


def test_the_port_that_was_said_last_is_the_one_that_workers_say(tmp_path: Path) -> None:
    """By it the head's GCS is found."""
    _, pod = a_pod(tmp_path)
    told = effective(arguments(pod, "ray", ["start", "--head", "--port=6380", "--port", "6381"]))["--port"]
    assert told == str(pod.ports.moved(pod.address, 6381))
    assert pod.ports.moved(pod.address, 6380) is None


def test_a_head_that_starts_again_gives_up_a_port_that_somebody_took(tmp_path: Path) -> None:
    """Its GCS could not listen there."""
    _, pod = a_pod(tmp_path)
    first = effective(arguments(pod, "ray", ["start", "--head"]))["--port"]
    with socket.create_server(("0.0.0.0", int(first))):
        again = effective(arguments(pod, "ray", ["start", "--head"]))["--port"]
    assert again != first
    assert again == str(pod.ports.real(pod.address, 6379))


@pytest.mark.parametrize(("cpus", "told"), [(0.0, None), (0.4, "1"), (1.0, "1"), (3.6, "4")])
def test_processors_are_whole_and_at_least_one_or_rays_affair(cpus: float, told: str | None, tmp_path: Path) -> None:
    """Without a limit Ray counts those of the machine."""
    _, pod = a_pod(tmp_path, cpus=cpus)
    assert effective(arguments(pod, "ray", ["start"])).get("--num-cpus") == told


@pytest.mark.spec("ray-side:S10-4")
def test_a_pod_without_a_limit_takes_a_quarter_of_the_machine(tmp_path: Path) -> None:
    """All of it would be claimed by each pod."""
    _, pod = a_pod(tmp_path)
    quarter = pod.machine // 4
    flags = effective(arguments(pod, "ray", ["start"]))
    assert (flags["--memory"], flags["--object-store-memory"]) == (str(quarter), str(int(quarter * 0.3)))


def test_a_small_pod_has_as_much_for_objects_as_ray_takes_at_least(tmp_path: Path) -> None:
    """75 MiB, or it refuses to start."""
    _, pod = a_pod(tmp_path, memory=128 * 2**20)
    assert int(effective(arguments(pod, "ray", ["start"]))["--object-store-memory"]) >= 75 * 2**20


def test_serve_has_a_start_of_its_own(tmp_path: Path) -> None:
    """It knows none of a node's flags."""
    _, pod = a_pod(tmp_path)
    assert arguments(pod, "serve", ["start", "--http-port", "8000"]) == ["start", "--http-port", "8000"]


@pytest.mark.parametrize(("program", "changed"), [("ray", True), ("serve", True), ("rayon", False)])
def test_a_programs_words_and_environment_are_changed_when_its_interpreter_starts(
    program: str, changed: bool, tmp_path: Path
) -> None:
    """The words only of Ray's own programs."""
    cluster = Neighbours(tmp_path)
    head = f"{cluster.block}.0.7"
    cluster.names({"head.ns.svc.cluster.local": [head]})
    cluster.moved(head, 6379, 23456)
    said = {"RAY_ADDRESS": "head:6380", "RAY_API_SERVER_ADDRESS": "http://head:8265", "OTHER": "head:6379"}
    pod = cluster.pod("one", 5, said, temporary="/tmp/short")
    script = tmp_path / program
    script.write_text(
        "import os, sys; print(*sys.argv[1:], *(os.environ[name] for name in os.environ['WHICH'].split()))"
    )
    which = {"WHICH": "RAY_ADDRESS RAY_API_SERVER_ADDRESS OTHER RAY_TMPDIR"}
    pod = replace(pod, environment={**said, **which})

    ended = pod.run(PYTHON, str(script), "status", "--address", "head:6379")

    words = ["status", "--address", f"{head}:23456" if changed else "head:6379"]
    assert ended.stdout.split() == [*words, f"{head}:1", f"http://{head}:8265", "head:6379", "/tmp/short"]
