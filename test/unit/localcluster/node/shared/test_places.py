"""What a pod of a shared machine has to itself, who may have it afterwards, and how its programs find their way."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.interfaces import Fault, VolumeContents
from localcluster.node.shared.ground import LONGEST
from localcluster.testing.shared import HOME, IMAGE, PLAN, a_machine

NO_VOLUME: dict[str, Any] = {
    "volumes": [{"name": "x", "nfs": {"server": "s", "path": "/"}}],
    "containers": [{"name": "main", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}],
}
SERVICE = str(PLAN.services[9])
LAST_POD = str(PLAN.pods.num_addresses - 1)  # the name of its short folder
FOR_ONE_POD = f"{PLAN.pods.network_address}/30"  # without the network's own, the node's and the last: one


def same(one: str, other: str) -> bool:
    return Path(one).samefile(other)


# Addresses and folders -----------------------------------------------------------------------------------------------


async def test_an_address_is_had_by_one_pod_at_a_time_and_is_free_after_it(tmp_path: Path) -> None:
    """Two pods at one address would answer for each other."""
    async with a_machine(tmp_path, pods=FOR_ONE_POD) as machine:
        first = await machine.place("u1")
        with pytest.raises(Fault, match="Failed to create pod sandbox: all pod addresses are taken"):
            await machine.place("u2")

        await machine.ground.leave(first)

        second = await machine.place("u2")
        assert second.address == first.address
        with pytest.raises(Fault, match="all pod addresses are taken"):
            await machine.place("u3")


async def test_a_pod_that_found_no_place_has_no_address_and_keeps_it_from_nobody(tmp_path: Path) -> None:
    """Its volume cannot be made; the kubelet tries again and again."""
    async with a_machine(tmp_path, pods=FOR_ONE_POD) as machine:
        for _ in range(3):
            with pytest.raises(Fault, match="there is no nfs on this machine"):
                await machine.place("u1", **NO_VOLUME)

        await machine.place("u2")

        with pytest.raises(Fault, match="all pod addresses are taken"):
            await machine.place("u3")


async def test_a_folder_that_somebody_has_already_is_shared_with_nobody(tmp_path: Path) -> None:
    """Ray's sockets of another pod would be in it. It is told, and nothing of the attempt stays."""
    (tmp_path / "p" / "2" / "ray").mkdir(parents=True)
    async with a_machine(tmp_path, pods=FOR_ONE_POD) as machine:
        with pytest.raises(Fault, match=r"Failed to create pod sandbox: .*File exists") as told:
            await machine.place(contents={"s": VolumeContents({"key": b"secret"})}, volumes=[])

        assert told.value.reason == "FailedCreatePodSandBox"
        assert list((tmp_path / "pods").iterdir()) == []
        (tmp_path / "p" / "2" / "ray").rmdir()
        (tmp_path / "p" / "2").rmdir()
        await machine.place("u2")


async def test_pods_whose_addresses_end_alike_have_different_folders(tmp_path: Path) -> None:
    """127.N.0.2 and 127.N.1.2: there are more pods than the last number tells."""
    async with a_machine(tmp_path) as machine:
        first = await machine.place("u0")
        for number in range(255):  # each takes the next address for a moment
            with pytest.raises(Fault):
                await machine.place(f"none-{number}", **NO_VOLUME)

        last = await machine.place("u1")

        assert (first.address, last.address) == (str(PLAN.pods[2]), str(PLAN.pods[258]))
        assert len(list((tmp_path / "p").iterdir())) == 2


async def test_ports_that_moved_go_with_the_pod_that_had_them(tmp_path: Path) -> None:
    """The next one at that address listens where it says, and its neighbours stay."""
    async with a_machine(tmp_path) as machine:
        one, other = await machine.place("u1"), await machine.place("u2")
        for place, number in ((one, 24001), (other, 24002)):
            machine.ground.relocate(place.address, 6379, number)
        before = machine.ground.reach(one.address, 6379)

        await machine.ground.leave(one)

        assert before == (one.address, 24001)
        assert machine.ground.reach(one.address, 6379) == (one.address, 6379)
        assert machine.ground.reach(other.address, 6379) == (other.address, 24002)


async def test_one_port_that_comes_back_leaves_the_others_of_its_address_where_they_are(tmp_path: Path) -> None:
    """A service loses one of its ports."""
    async with a_machine(tmp_path) as machine:
        machine.ground.relocate(SERVICE, 80, 24001)
        machine.ground.relocate(SERVICE, 443, 24002)

        machine.ground.relocate(SERVICE, 80, None)

        assert [machine.ground.reach(SERVICE, port)[1] for port in (80, 443)] == [80, 24002]


async def test_what_a_claim_holds_is_there_for_the_next_pod(tmp_path: Path) -> None:
    """A volume that claims are for outlives who wrote to it."""
    mount = {"name": "data", "mountPath": "/data"}
    spec: dict[str, Any] = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "containers": [{"name": "main", "volumeMounts": [mount]}],
    }
    async with a_machine(tmp_path) as machine:
        first = await machine.place("u1", **spec)
        await machine.said_by(first, "echo kept > /data/x", mounts=(mount,))
        await machine.ground.leave(first)

        second = await machine.place("u2", **spec)

        assert await machine.said_by(second, "cat /data/x", mounts=(mount,)) == "kept\n"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """One with a path of a few letters, as a run's own often is; pytest's are long."""
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize(("spare", "linked"), [(0, False), (-1, True)], ids=["just short enough", "a letter too long"])
async def test_a_run_is_reached_through_a_link_if_its_last_pod_would_need_one(
    spare: int, linked: bool, short_folder: Path
) -> None:
    """The first pod's folder is four letters shorter: a cluster would break when it has grown."""
    letters = LONGEST - spare - len(str(short_folder / "p" / LAST_POD)) - 1
    run = short_folder / ("x" * letters)
    run.mkdir()
    assert len(str(run / "p" / LAST_POD)) == LONGEST - spare

    async with a_machine(run) as machine:
        place = await machine.place()
        told = Path(json.loads(await machine.said_by(place, "cat $MANTA_POD"))["temporary"])

        assert told.is_relative_to(run) is not linked
        assert len(str(told.parent / LAST_POD)) <= LONGEST
    assert (run / "p").is_dir()


async def test_two_runs_have_links_of_their_own(tmp_path: Path) -> None:
    """In a folder that all share: nobody can take a name before it is used."""
    runs = [tmp_path / f"{number}{'long' * 10}" for number in range(2)]
    for run in runs:
        run.mkdir()
    async with a_machine(runs[0]), a_machine(runs[1]):
        links = [Path((run / "short").read_text()) for run in runs]

        assert [link.resolve() for link in links] == [run / "p" for run in runs]


# What a pod asks for -------------------------------------------------------------------------------------------------


async def test_what_a_pod_does_not_get_is_told_when_it_is_placed(tmp_path: Path) -> None:
    """limits.py knows; here it is asked, with the address that the pod has."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place(hostNetwork=True)

        [sentence] = place.warnings

        assert sentence.startswith("hostNetwork: ")
        assert sentence.endswith(place.address)


@pytest.mark.parametrize("where", ["containers", "initContainers"])
async def test_a_volume_at_rays_usual_place_is_where_rays_files_are_whoever_mounts_it(
    where: str, tmp_path: Path
) -> None:
    """Another container may mount it elsewhere, and reads Ray's logs there."""
    at_ray, elsewhere = {"name": "logs", "mountPath": "/tmp/ray/"}, {"name": "logs", "mountPath": "/logs"}
    async with a_machine(tmp_path) as machine:
        spec: dict[str, Any] = {where: [{"name": "ray", "volumeMounts": [at_ray]}]}
        place = await machine.place(volumes=[{"name": "logs", "emptyDir": {}}], **spec)

        told = json.loads(await machine.said_by(place, "cat $MANTA_POD", mounts=(elsewhere,)))

        [behind] = [real for target, real, _ in told["mounts"] if target == "/logs"]
        assert same(behind, f"{told['temporary']}/ray")


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ({"emptyDir": {}}, {"subPath": "x"}),
        ({"emptyDir": {}}, {"subPathExpr": "x"}),
        ({"hostPath": {"path": "HERE"}}, {}),
    ],
    ids=["subPath", "subPathExpr", "hostPath"],
)
async def test_what_is_mounted_at_rays_usual_place_from_elsewhere_stays_there(
    volume: dict[str, Any], mount: dict[str, str], tmp_path: Path
) -> None:
    """A folder of the machine, or of a volume that has more in it: the user knows it by its own path."""
    logs = tmp_path / "logs"
    logs.mkdir()
    if "hostPath" in volume:
        volume = {"hostPath": {"path": str(logs)}}
    at_ray = {"name": "logs", "mountPath": "/tmp/ray", **mount}
    async with a_machine(tmp_path) as machine:
        place = await machine.place(
            volumes=[{"name": "logs", **volume}], containers=[{"name": "main", "volumeMounts": [at_ray]}]
        )

        told = json.loads(await machine.said_by(place, "cat $MANTA_POD", mounts=(at_ray,)))

        [behind] = [real for target, real, _ in told["mounts"] if target == "/tmp/ray"]
        assert behind == str(logs if "hostPath" in volume else place.files.folder / "volumes" / "logs" / "x")


# Starts --------------------------------------------------------------------------------------------------------------


async def test_each_start_of_a_container_has_folders_of_its_own(tmp_path: Path) -> None:
    """What the one before left in them is gone, as in a new container."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()
        script = "ls ~ $TMPDIR | grep x; touch ~/x $TMPDIR/x; (cd $TMPDIR; pwd -P)"

        said = [await machine.said_by(place, script, attempt=attempt) for attempt in (0, 1)]

        containers = place.files.folder / "containers"
        assert said == [f"{containers}/main-{attempt}/tmp\n" for attempt in (0, 1)]


async def test_a_start_that_the_disk_refuses_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    """The user reads it in an event."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()
        start = machine.start(place, ["true"])

        with pytest.raises(Fault, match="No such file or directory") as told:
            await machine.ground.launch(place, replace(start, own=start.own / "nowhere"))

        assert told.value.reason == "StartError"
        assert await machine.output(place, start) == ""


async def test_what_a_pod_sets_itself_is_its_own_affair_but_for_the_runs_mark(tmp_path: Path) -> None:
    """Without the mark nothing that it leaves would be found (S10-26)."""
    chosen = {"HOME": "/chosen", "TMPDIR": "/elsewhere", "MANTA_RUN": "/another"}
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        said = await machine.said_by(place, "echo $HOME $TMPDIR $MANTA_RUN", environment=chosen)

        assert said.split() == ["/chosen", "/elsewhere", str(tmp_path)]


async def test_ray_is_told_of_the_short_folder_whoever_asks(tmp_path: Path) -> None:
    """Programs without the hook, too: below a longer path its sockets fail (S10-18)."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        said = await machine.said_by(place, "echo $RAY_TMPDIR; cat $MANTA_POD")

        folder, _, told = said.partition("\n")
        assert folder == json.loads(told)["temporary"]


async def test_the_hook_is_told_what_the_pod_is_called_where_it_lives_and_its_limits(tmp_path: Path) -> None:
    """Requests limit nothing: Ray takes what it finds then."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place(namespace="ns", hostname="head-0")
        resources = {"requests": {"memory": "1Gi", "cpu": "2"}}

        told = json.loads(await machine.said_by(place, "cat $MANTA_POD", resources=resources))

        assert (told["hostname"], told["namespace"], told["memory"], told["cpus"]) == ("head-0", "ns", 0, 0)


async def test_programs_that_are_not_python_are_told_where_localhost_leads(tmp_path: Path) -> None:
    """In their command and in their environment."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        said = await machine.said_by(
            place, "echo http://localhost:8080/x $WHERE", environment={"WHERE": "http://localhost:9090"}
        )

        assert said.split() == [f"http://{place.address}:8080/x", f"http://{place.address}:9090"]


async def test_a_redis_of_a_pod_keeps_to_the_pods_address(tmp_path: Path) -> None:
    """As soon as two pods of a machine have one."""
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    async with a_machine(tmp_path) as machine:
        place = await machine.place()
        path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}

        start = machine.start(place, ["redis-server", "--port", "6379"], environment=path)

        assert await machine.output(place, start) == f"--port 6379 --bind {place.address}\n"


async def test_a_supervisor_bears_the_runs_mark_as_what_it_starts_does(tmp_path: Path) -> None:
    """A later start finds it, should it outlive its run (S10-26); the same for a probe's."""
    script = "tr '\\0' '\\n' < /proc/$PPID/environ; grep -z ^MANTA_RUN= /proc/$$/environ"
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        of_container = await machine.said_by(place, script, attempt=0)
        async with machine.runs(place, attempt=1) as container:
            _, of_probe = await machine.ground.enter(container, ["bash", "-c", script], timeout_seconds=30)

        for said in (of_container, of_probe.decode()):
            assert said.replace("\0", "\n").split().count(f"MANTA_RUN={tmp_path}") == 2


async def test_a_probe_asks_its_own_pod(tmp_path: Path) -> None:
    """Its localhost, a head that it names, and the container's first process, which is no PID 1 here."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()
        async with machine.runs(place) as container:
            command = ["bash", "-c", "echo http://localhost:8080/ pod-u1:99; cat /proc/1/cmdline"]

            code, said = await machine.ground.enter(container, command, timeout_seconds=30)

        assert code == 0
        assert said.decode().replace("\0", " ").split() == [
            f"http://{place.address}:8080/",
            f"{place.address}:99",
            "sleep",
            "600",
        ]


# Where programs are --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["/usr", "/"])
async def test_a_working_directory_that_the_machine_has_is_that_one(there: str, tmp_path: Path) -> None:
    """As in an image that is made of it."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        assert await machine.said_by(place, "pwd -P", working_dir=there) == f"{there}\n"


async def test_a_working_directory_below_a_mount_is_in_the_volume(tmp_path: Path) -> None:
    """Whether it is there or must be made: what the program writes there, others shall find."""
    mount = {"name": "data", "mountPath": "/data"}
    async with a_machine(tmp_path) as machine:
        place = await machine.place(
            volumes=[{"name": "data", "emptyDir": {}}], containers=[{"name": "main", "volumeMounts": [mount]}]
        )

        said = [
            await machine.said_by(place, "pwd -P", attempt=attempt, working_dir=folder, mounts=(mount,))
            for attempt, folder in enumerate(("/data", "/data/new"))
        ]

        volume = place.files.folder / "volumes" / "data"
        assert said == [f"{volume}\n", f"{volume}/new\n"]


async def test_a_home_that_the_machine_has_is_not_hidden(tmp_path: Path) -> None:
    """Inside of one of Ray's images it is the user's, with all that is his; the container's own is $HOME."""
    theirs = tmp_path / "home" / "ray"
    theirs.mkdir(parents=True)
    async with a_machine(tmp_path) as machine:
        place = await machine.place()
        of_theirs = replace(IMAGE, environment={**IMAGE.environment, "HOME": str(theirs)}, home=str(theirs))

        home, _, told_of_it = (await machine.said_by(place, "cd ~; pwd; cat $MANTA_POD", image=of_theirs)).partition(
            "\n"
        )
        told = json.loads(told_of_it)
        without = json.loads(await machine.said_by(place, "cat $MANTA_POD", attempt=1))

        assert same(home, str(place.files.folder / "containers" / "main-0" / "home"))
        assert str(theirs) not in [target for target, _, _ in told["mounts"]]
        assert HOME in [target for target, _, _ in without["mounts"]]


async def test_nothing_is_mounted_over_what_the_pod_itself_needs(tmp_path: Path) -> None:
    """The run's folder, and the image's environment, which programs have by their names on the machine."""
    environment = tmp_path.parent / "environment"
    image = replace(IMAGE, mounts=((str(environment), "/opt/ray"),))
    over = [{"name": "data", "mountPath": str(path)} for path in (tmp_path, environment, tmp_path.parent / "free")]
    async with a_machine(tmp_path) as machine:
        place = await machine.place(
            volumes=[{"name": "data", "emptyDir": {}}], containers=[{"name": "main", "volumeMounts": over}]
        )

        told = json.loads(await machine.said_by(place, "cat $MANTA_POD", image=image, mounts=tuple(over)))

        mounted = {target for target, _, _ in told["mounts"]}
        assert mounted & {one["mountPath"] for one in over} == {str(tmp_path.parent / "free")}
