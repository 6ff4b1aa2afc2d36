"""What programs are told that are not Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster.node.shared.texts import Surroundings, surroundings, with_real_paths
from localcluster.testing.hooked import Neighbours

NAMES = {"redis": "127.70.128.9", "redis.ns.svc.cluster.local": "127.70.128.9", "head": "127.70.0.7"}
MOUNTS = [("/mnt/code/deep", "/run/deep"), ("/mnt/code", "/run/code")]


def here() -> Surroundings:
    return Surroundings("127.70.0.5", MOUNTS, NAMES.get, lambda address: address.startswith("127.70.128."))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/mnt/code/run.sh", "/run/code/run.sh"),
        ("cat /mnt/code", "cat /run/code"),
        ("cat '/mnt/code/a b' > /mnt/code/deep/x", "cat '/run/code/a b' > /run/deep/x"),
        ("A=/mnt/code:/mnt/code/deep", "A=/run/code:/run/deep"),
        ("/mnt/codes /else/mnt/code -I/mnt/code ./mnt/code", "/mnt/codes /else/mnt/code -I/mnt/code ./mnt/code"),
    ],
)
def test_a_mount_path_is_the_file_behind_it(said: str, told: str) -> None:
    """Whole paths alone."""
    assert with_real_paths(said, MOUNTS) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("curl -s http://localhost:52365/x", "curl -s http://127.70.0.5:52365/x"),
        ("nc 127.0.0.1:80; nc localhost:99", "nc 127.70.0.5:80; nc 127.70.0.5:99"),
        ("--host localhost --port 80", "--host localhost --port 80"),
        (
            "mylocalhost:80 localhost:name 127.0.0.1:8x 10.127.0.0.1:80",
            "mylocalhost:80 localhost:name 127.0.0.1:8x 10.127.0.0.1:80",
        ),
    ],
)
@pytest.mark.spec("ray-side:S10-14")
def test_localhost_with_a_port_is_the_pods_address(said: str, told: str) -> None:
    """The machine's would be shared with all."""
    assert here().command(["/bin/sh", "-c", said]) == ["/bin/sh", "-c", told]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("curl redis:6379", "curl 127.70.128.9:6379"),
        (
            "curl http://redis/x redis://redis.ns.svc.cluster.local:6379/0",
            "curl http://127.70.128.9/x redis://127.70.128.9:6379/0",
        ),
        (
            "redis redis.conf my-redis:6379 redis:latest at 12:30",
            "redis redis.conf my-redis:6379 redis:latest at 12:30",
        ),
        ("curl head:8265", "curl head:8265"),
    ],
)
def test_a_service_with_an_address_that_stays_is_named_by_it(said: str, told: str) -> None:
    """A pod's address goes with the pod, and a script that runs on would hold the old one."""
    assert here().command([said]) == [told]


def test_a_probe_ends_soon_and_may_name_pods() -> None:
    """It is told anew each time."""
    said = ["bash", "-c", "wget -q -O- http://localhost:52365/x | grep success && wget head:8265"]
    told = "wget -q -O- http://127.70.0.5:52365/x | grep success && wget 127.70.0.7:8265"
    assert here().probe(said)[-1] == told


def test_what_python_will_read_is_left_to_python() -> None:
    """It sees more: a port that moves later, a name that comes later."""
    script = "ulimit -n 65536; ray start --address=redis:6379; curl redis:80\nserve run -a localhost:52365\n"
    script += "python3.11 x localhost:1234"
    told = script.replace("curl redis:80", "curl 127.70.128.9:80")
    assert here().command(["bash", "-c", script]) == ["bash", "-c", told]
    assert here().command(["/usr/bin/python3", "-c", "import x; go('redis:80')"])[2] == "import x; go('redis:80')"


def test_a_line_is_judged_by_its_own_program_alone() -> None:
    """What stands before or after a pipe, or a condition, is another one."""
    said = "python x redis:80 | curl redis:80 && ray list redis:80 || curl redis:80 & serve x redis:80"
    told = "python x redis:80 | curl 127.70.128.9:80 && ray list redis:80 || curl 127.70.128.9:80 & serve x redis:80"
    assert here().command(["bash", "-c", said])[-1] == told


def test_a_script_that_python_runs_is_named_by_its_real_path() -> None:
    """The interpreter opens it before there is a hook; all else that it is told stays."""
    assert here().command(["python3", "/mnt/code/x.py", "redis:80"]) == ["python3", "/run/code/x.py", "redis:80"]


def test_one_digit_is_no_port() -> None:
    """`a:1` is a ratio, a version or a key."""
    assert here().command(["x redis:5 localhost:5 redis:50"]) == ["x redis:5 localhost:5 127.70.128.9:50"]


def test_what_stays_is_known_by_the_address_of_a_pods_own_cluster(tmp_path: Path) -> None:
    """Services stay, pods do not; a probe ends soon, and may name both."""
    cluster = Neighbours(tmp_path)
    service, head = f"{cluster.block}.128.9", f"{cluster.block}.0.7"
    cluster.names({"redis.ns.svc.cluster.local": [service], "head.ns.svc.cluster.local": [head]})
    of_pod = surroundings(cluster.pod("one", 5, mounts=[["/mnt", "/run/mnt", True]]).pod)

    assert of_pod.command(["curl redis:6379 head:8265 /mnt/x"]) == [f"curl {service}:6379 head:8265 /run/mnt/x"]
    assert of_pod.probe(["curl redis:6379 head:8265"]) == [f"curl {service}:6379 {head}:8265"]


def test_variables_name_no_pods() -> None:
    """They are told once, when the container starts."""
    assert here().environment({"URL": "http://head:8265"}) == {"URL": "http://head:8265"}


@pytest.mark.parametrize("name", ["RAY_ADDRESS", "FQ_RAY_IP", "KUBERAY_GEN_RAY_START_CMD"])
def test_what_ray_and_its_operator_set_is_left_to_python(name: str) -> None:
    """It is completed when Python starts."""
    assert here().environment({name: "redis:6379"}) == {name: "redis:6379"}


def test_variables_are_told_as_arguments_are_but_rays_own() -> None:
    """A worker's RAY_ADDRESS is completed when Python starts: the head may be another one then."""
    given = {"RAY_ADDRESS": "redis:6379", "URL": "http://redis:80/", "CONFIG": "/mnt/code/c.yaml", "NAME": "redis"}
    told = here().environment(given)
    assert told == given | {"URL": "http://127.70.128.9:80/", "CONFIG": "/run/code/c.yaml"}
