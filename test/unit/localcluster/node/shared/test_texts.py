"""What programs are told that are not Python."""

from __future__ import annotations

import pytest

from localcluster.node.shared.texts import Surroundings, with_real_paths

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


def test_variables_are_told_as_arguments_are_but_rays_own() -> None:
    """A worker's RAY_ADDRESS is completed when Python starts: the head may be another one then."""
    given = {"RAY_ADDRESS": "redis:6379", "URL": "http://redis:80/", "CONFIG": "/mnt/code/c.yaml", "NAME": "redis"}
    told = here().environment(given)
    assert told == given | {"URL": "http://127.70.128.9:80/", "CONFIG": "/run/code/c.yaml"}
