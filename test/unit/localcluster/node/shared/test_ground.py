"""Where pods of a shared machine are, what their containers are told, and where services listen."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from localcluster.capacity import capacity
from localcluster.node.interfaces import Fault, VolumeContents
from localcluster.node.rootfs import Mount
from localcluster.node.shared.described import confined, mounts
from localcluster.node.shared.ground import LONGEST
from localcluster.node.shared.hook.mounts import real_path
from localcluster.node.shared.hook.pod import Pod
from localcluster.testing.shared import HOME, PLAN, SLICES, Machine, a_machine

POD = str(PLAN.pods[2])  # the first one's address


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def same(one: str, other: str) -> bool:
    return Path(one).samefile(other)


# Pods ----------------------------------------------------------------------------------------------------------------


async def test_each_pod_has_an_address_of_its_own_in_the_runs_block(tmp_path: Path) -> None:
    """The first is the cluster's own programs'."""
    async with a_machine(tmp_path) as machine:
        places = [await machine.place(uid) for uid in ("u1", "u2")]

        assert [one.address for one in places] == [POD, str(PLAN.pods[3])]


async def test_of_a_pod_that_is_gone_nothing_stays_its_secrets_least_of_all(tmp_path: Path) -> None:
    """They are on the disk here, for this user alone."""
    volume: dict[str, Any] = {"volumes": [{"name": "s", "secret": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]}
    container = {"name": "main", "volumeMounts": [{"name": "s", "mountPath": "/s"}, {"name": "m", "mountPath": "/m"}]}
    async with a_machine(tmp_path) as machine:
        contents = {"s": VolumeContents({"key": b"secret"})}
        place = await machine.place(contents=contents, containers=[container], **volume)
        files = place.files.sources
        api = place.files.folder / "api"
        read = (api / "s" / "key").read_bytes()
        modes = [mode_of(path) for path in (str(api), files["m"].path)]

        await machine.ground.leave(place)

        assert (read, modes) == (b"secret", [0o700, 0o700])
        assert list((tmp_path / "pods").iterdir()) == []
        assert list((tmp_path / "p").iterdir()) == []


async def test_a_volume_that_cannot_be_made_leaves_nothing_and_its_address_is_free_again(tmp_path: Path) -> None:
    """The next try begins anew."""
    volumes = [{"name": "x", "nfs": {"server": "s", "path": "/"}}]
    container = {"name": "main", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}
    async with a_machine(tmp_path) as machine:
        with pytest.raises(Fault, match="there is no nfs on this machine"):
            await machine.place(containers=[container], volumes=volumes)

        assert list((tmp_path / "pods").iterdir()) == []


async def test_a_container_runs_with_a_home_of_its_own_also_in_a_login_shell(tmp_path: Path) -> None:
    """`bash -l` of Ray's pods reads the machine's profile, which forgets PATH."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        said = await machine.said_by(
            place, "cd; pwd -P; bash -lc 'command -v wget'; echo $MANTA_RUN; touch ~/x $TMPDIR/x"
        )

        own = place.files.folder / "containers" / "main-0"
        assert said.split() == [str(own / "home"), str(tmp_path / "tools" / "bin" / "wget"), str(tmp_path)]
        assert (own / "home" / "x").exists()
        assert (own / "tmp" / "x").exists()


async def test_the_hook_is_told_all_that_its_contract_names(tmp_path: Path) -> None:
    """hook/__init__.py has the list; the home of the image leads to the container's own."""
    volumes: dict[str, Any] = {"volumes": [{"name": "code", "configMap": {}}]}
    mount = {"name": "code", "mountPath": "/code", "readOnly": True}
    limits = {"limits": {"memory": "2Gi", "cpu": "1500m"}}
    async with a_machine(tmp_path) as machine:
        contents = {"code": VolumeContents({"a": b"b"})}
        place = await machine.place(
            contents=contents, containers=[{"name": "main", "volumeMounts": [mount]}], **volumes
        )

        told = json.loads(await machine.said_by(place, "cat $MANTA_POD", mounts=(mount,), resources=limits))

        assert (told["address"], told["hostname"], told["namespace"]) == (POD, "pod-u1", "default")
        assert (told["memory"], told["cpus"], told["machine"]) == (2 * 2**30, 1.5, capacity().memory)
        assert [target for target, _, _ in told["mounts"]] == [HOME, "/tmp/ray", "/code"]
        assert told["mounts"][2][1:] == [str(place.files.folder / "api" / "code"), True]
        assert len(told["temporary"]) <= LONGEST


async def test_a_mounted_folder_may_have_a_space_in_its_path(tmp_path: Path) -> None:
    """A shell's line names the mount path without quotes, or within them: what takes its place must do for both."""
    folder = tmp_path / "My $HOME's" / "code"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text("print('it ran')\n")
    mount = {"name": "code", "mountPath": "/mnt/code"}
    volumes: dict[str, Any] = {"volumes": [{"name": "code", "hostPath": {"path": str(folder)}}]}
    async with a_machine(tmp_path) as machine:
        place = await machine.place(containers=[{"name": "main", "volumeMounts": [mount]}], **volumes)

        line = f"cat /mnt/code/x.py; cd '/mnt/code' && {sys.executable} x.py; {sys.executable} /mnt/code/x.py"
        said = await machine.said_by(place, line, mounts=(mount,))

        assert said.splitlines() == ["print('it ran')", "it ran", "it ran"]


async def test_containers_share_what_ray_writes_through_a_volume_at_its_usual_place(tmp_path: Path) -> None:
    """An emptyDir at /tmp/ray, as the autoscaler's: Ray's files really are elsewhere, and so must the volume be."""
    mount = {"name": "logs", "mountPath": "/tmp/ray"}
    volumes: dict[str, Any] = {"volumes": [{"name": "logs", "emptyDir": {}}]}
    async with a_machine(tmp_path) as machine:
        place = await machine.place(containers=[{"name": "main", "volumeMounts": [mount]}], **volumes)

        told = json.loads(await machine.said_by(place, "cat $MANTA_POD", mounts=(mount,)))

        behind = {target: real for target, real, _ in told["mounts"]}["/tmp/ray"]
        assert same(behind, f"{told['temporary']}/ray")


async def test_a_working_directory_that_the_machine_has_not_is_made_for_the_container_alone(tmp_path: Path) -> None:
    """As in a cell: nothing of the machine is changed."""
    async with a_machine(tmp_path) as machine:
        place = await machine.place()

        said = await machine.said_by(place, "pwd -P", working_dir="/no/such/place")

        assert said.strip() == str(place.files.folder / "containers" / "main-0" / "root" / "no" / "such" / "place")
    assert not os.access("/no", os.F_OK)


async def test_a_long_path_of_the_run_is_shortened_by_a_link_that_goes_with_it(tmp_path: Path) -> None:
    """Sockets end at 107 bytes. Of a run that was killed, `short` tells the sweep of the link."""
    run = tmp_path / ("long" * 10)
    run.mkdir()
    async with a_machine(run) as machine:
        place = await machine.place()
        told = json.loads(await machine.said_by(place, "cat $MANTA_POD"))
        link = Path(told["temporary"]).parent

        assert len(told["temporary"]) <= LONGEST
        assert link.resolve() == run / "p"
        assert (run / "short").read_text() == str(link)
    assert not link.is_symlink()


def test_the_longest_mount_comes_first_and_none_hides_what_pods_need() -> None:
    """Neither the run's own folder, nor the image's environment, nor what C libraries use whatever we say."""
    given = [Mount("/v/a", "/a"), Mount("/v/b", "/a/b"), Mount("/v/t", "/tmp"), Mount("/v/d", "/dev/shm")]
    homes = [Mount("/own/home", "/home/ray"), Mount("/own/ray", "/tmp/ray")]

    every = mounts([*given, Mount("/v/h", "/home/ray")], homes, ["/tmp/manta-x", "/root/.cache/manta"])

    assert [(one.target, one.source) for one in every] == [
        ("/home/ray", "/v/h"),
        ("/tmp/ray", "/own/ray"),
        ("/a/b", "/v/b"),
        ("/a", "/v/a"),
    ]
    told = {"address": "127.71.0.5", "hostname": "one", "namespace": "ns", "folder": "", "table": "", "ports": ""}
    pod = Pod(told | {"machine": 2**30, "mounts": [[one.target, one.source, one.read_only] for one in every]})
    assert [real_path(pod, path) for path in ("/a/b/c", "/a/bc", "/ab")] == ["/v/b/c", "/v/a/bc", "/ab"]


def test_a_redis_listens_at_its_pods_address_alone() -> None:
    """The next one may then have the same port; who says where it is to listen is not corrected."""
    assert confined(["redis-server", "--port", "6379"], "127.71.0.5")[3:] == ["--bind", "127.71.0.5"]
    assert confined(["/usr/bin/redis-server"], "127.71.0.5")[1:] == ["--bind", "127.71.0.5"]
    assert confined(["/usr/bin/redis-server", "--bind", "::"], "127.71.0.5") == [
        "/usr/bin/redis-server",
        "--bind",
        "::",
    ]
    assert confined(["bash", "-c", "redis-server"], "127.71.0.5") == ["bash", "-c", "redis-server"]


# Services ------------------------------------------------------------------------------------------------------------


async def a_service(machine: Machine, port: int, behind: int) -> str:
    """Its address; what answers there says "hello"."""
    body = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": port}]}}
    made = await machine.api.create("services", "default", body)
    ready = {
        "metadata": {"name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"port": behind}],
        "endpoints": [{"addresses": [POD], "conditions": {"ready": True}}],
    }
    await machine.api.create(SLICES, "default", ready)
    return str(made["spec"]["clusterIP"])


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()


async def answer_at(where: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*where)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_service_whose_port_only_root_may_have_is_elsewhere_and_found_there(tmp_path: Path) -> None:
    """No crash: pods' hooks and everything that asks `reach` are led there, and the user is told."""
    async with a_machine(tmp_path) as machine, await asyncio.start_server(_hello, POD, 0) as pod:
        machine.refused[80] = PermissionError(errno.EACCES, "Permission denied")

        address = await a_service(machine, 80, pod.sockets[0].getsockname()[1])
        await machine.told.wait()
        there = machine.ground.reach(address, 80)

        assert there[1] >= 1024
        assert await answer_at(there) == b"hello"
        [sentence] = machine.events
        assert sentence.startswith("web: port 80 cannot be listened on by an ordinary user of this machine")
        assert f"{address}:{there[1]}" in sentence
        assert [file.name for file in (tmp_path / "ports").iterdir()] == [f"{address}-80"]
    assert list((tmp_path / "ports").iterdir()) == []


async def test_a_service_whose_port_somebody_else_has_is_told_of_and_tried_again(tmp_path: Path) -> None:
    """It works as soon as that program has ended."""
    async with a_machine(tmp_path) as machine, await asyncio.start_server(_hello, POD, 0) as pod:
        machine.refused[8000] = OSError(errno.EADDRINUSE, "Address already in use")
        address = await a_service(machine, 8000, pod.sockets[0].getsockname()[1])
        await machine.told.wait()

        machine.refused.clear()
        await machine.listens[8000].wait()

        assert await answer_at((address, 8000)) == b"hello"
        assert "port 8000 cannot be listened on (Address already in use): another program" in machine.events[0]


async def test_a_service_over_udp_is_said_to_lead_nowhere_and_a_headless_one_is_not(tmp_path: Path) -> None:
    """Once, however often it changes otherwise. Its ports over TCP are carried."""
    both = [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 8053, "protocol": "TCP"}]
    async with a_machine(tmp_path) as machine:
        await machine.api.create("services", "default", {"metadata": {"name": "dns"}, "spec": {"ports": both}})
        headless = {"metadata": {"name": "own"}, "spec": {"ports": both, "clusterIP": "None"}}
        await machine.api.create("services", "default", headless)
        await machine.api.patch("services", "default", "dns", {"metadata": {"labels": {"a": "b"}}})
        last = {"metadata": {"name": "last"}, "spec": {"ports": [{"port": 7, "protocol": "SCTP"}]}}
        await machine.api.create("services", "default", last)
        while not machine.events or not machine.events[-1].startswith("last"):
            machine.told.clear()
            await machine.told.wait()

    assert [one.partition(":")[0] for one in machine.events] == ["dns", "last"]
    assert machine.events[0].startswith("dns: UDP port 53: only TCP is carried")
