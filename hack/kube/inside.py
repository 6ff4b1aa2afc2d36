"""Runs inside the cell: prepares it, starts the node's programs, and takes orders over a Unix socket.

    python -m hack.kube.inside DESCRIPTION     the only program of the cell that bare.py opens

An order is a JSON line, the answer another: {"run": [...]} runs a command in the cell, {"stop": NAME} and
{"start": NAME} end and start one of the programs, which otherwise are expected to live (the end of one ends the node),
{"ready": true} waits until the API server is.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hack.kube import cgroups
from hack.kube.configuration import NODE_ADDRESS, Layout, commands
from localcluster.node import kernel
from localcluster.node.forward import dialing

__all__ = ["Programs", "main"]

SHIELDED: Final = (  # settings of the whole machine that a kubelet sets; it sets copies of them
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
DIVERTED: Final = ("/var/lib", "/var/log")  # what is written there lands in the state folder
VOLATILE: Final = "75%"  # of the memory at most; what two or three images and their pods take is some 2 GB
FIRST: Final = ("etcd", "kube-apiserver", "containerd")  # the others end themselves if no API server answers soon
READY_SECONDS = 90.0
LOOK_AGAIN_SECONDS = 0.1


def prepare(layout: Layout, trees: tuple[cgroups.Tree, ...]) -> None:
    """Cgroups, mounts and the network of the cell. Raises OSError."""
    cgroups.enter(layout.state.name, trees)
    cgroups.show_only_ours(trees)
    kernel.mount("volatile", str(layout.volatile), "tmpfs", options=f"mode=755,size={VOLATILE}")
    _shield(layout.volatile / "settings")
    for folder in DIVERTED:
        _divert(Path(folder), layout.volatile / "diverted")
    kernel.mount("run", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    kernel.mount("none", "/", flags=kernel.MS_REC | MS_SHARED)  # volumes that a kubelet mounts must reach running pods
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    ip = str(layout.debian / "sbin/ip")
    for command in (
        f"{ip} link add node0 type veth peer name node1",  # leads nowhere; an address needs an interface that is up
        f"{ip} address add {NODE_ADDRESS}/24 dev node0",
        f"{ip} link set node0 up",
        f"{ip} link set node1 up",
        f"{ip} route add default dev node0",  # without a route to it a service's address is refused before kube-proxy
    ):
        subprocess.run(command.split(), check=True)


MS_SHARED: Final = 0x100000


def _shield(folder: Path) -> None:
    folder.mkdir()
    for name in SHIELDED:
        setting = Path("/proc/sys") / name
        if setting.exists():
            copy = folder / name.replace("/", ".")
            copy.write_text(setting.read_text())
            kernel.mount(str(copy), str(setting), flags=kernel.MS_BIND)


def _divert(folder: Path, beside: Path) -> None:
    upper, work = (beside / folder.name / part for part in ("upper", "work"))
    upper.mkdir(parents=True)
    work.mkdir()
    kernel.mount("overlay", str(folder), "overlay", options=f"lowerdir={folder},upperdir={upper},workdir={work}")


class Programs:
    """The node's programs; each has a log of its own in the state folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._commands = commands(layout)
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._environment = environment(layout.debian)
        self._wanted: set[str] = set()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Start all of them; returns when all are started. `tasks` fails with RuntimeError when one ends by itself."""
        for name in FIRST:
            await self.start(name, tasks)
        await self.until_ready()
        for name in self._commands:
            if name not in FIRST:
                await self.start(name, tasks)

    async def start(self, name: str, tasks: asyncio.TaskGroup) -> None:
        """Start one that does not run. Its log goes on."""
        with (self._layout.state / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._commands[name],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._layout.state,
                preexec_fn=kernel.die_with_parent,
            )
        self._wanted.add(name)
        self._running[name] = process
        tasks.create_task(self._watch(name, process))

    async def stop(self, name: str, number: int) -> None:
        """End one of them with a signal, and wait until it has ended."""
        self._wanted.discard(name)
        process = self._running[name]
        process.send_signal(number)
        await process.wait()

    async def command(self, arguments: list[str]) -> dict[str, Any]:
        """Run a command in the cell to its end: its exit code and all it said."""
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )
        said, _ = await process.communicate()
        return {"code": process.returncode, "output": said.decode(errors="replace")}

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if name in self._wanted and self._running[name] is process:
            log = (self._layout.state / f"{name}.log").read_text(errors="replace")
            raise RuntimeError(f"{name} ended with exit code {code}; the end of its log:\n{log[-3000:]}")

    async def until_ready(self) -> None:
        """Until the API server says that it is ready, as kubectl sees it. Raises TimeoutError."""
        kubectl = [str(self._layout.programs["kubectl"]), f"--kubeconfig={self._layout.kubeconfig('admin')}"]
        async with asyncio.timeout(READY_SECONDS):
            while (await self.command([*kubectl, "get", "--raw=/readyz"]))["code"] != 0:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(LOOK_AGAIN_SECONDS)


def environment(debian: Path) -> dict[str, str]:
    """Debian's programs are found there, with their libraries."""
    libraries = next((debian / "usr/lib").glob("*-linux-gnu"))
    path = [str(debian / folder) for folder in ("usr/bin", "usr/sbin")]
    return {
        "PATH": os.pathsep.join([*path, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(libraries / "xtables"),
        "HOME": "/root",
    }


async def serve(layout: Layout) -> None:
    """Programs, forwarder and orders, until the cell ends or a program does."""
    async with asyncio.TaskGroup() as tasks, dialing(str(layout.state / "dialer")):
        programs = Programs(layout)

        async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                answer = await _obey(programs, tasks, json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
            writer.close()

        await programs.run(tasks)
        server = await asyncio.start_unix_server(obey, layout.state / "orders")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()  # from Python 3.12 on, `async with` would wait for whoever gives an order


async def _obey(programs: Programs, tasks: asyncio.TaskGroup, order: Mapping[str, Any]) -> dict[str, Any]:
    try:
        match order:
            case {"run": arguments}:
                return await programs.command(arguments)
            case {"stop": name}:
                await programs.stop(name, order.get("signal", signal.SIGKILL))
            case {"start": name}:
                await programs.start(name, tasks)
            case {"ready": True}:
                await programs.until_ready()
            case _:
                return {"error": f"no such order: {order}"}
    except (OSError, KeyError, TimeoutError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {}


def main() -> int:
    """Until the cell ends."""
    description = json.loads(Path(sys.argv[1]).read_text())
    state, debian = Path(description["state"]), Path(description["debian"])
    layout = Layout(state, {name: Path(path) for name, path in description["programs"].items()}, debian)
    trees = tuple(cgroups.Tree(Path(folder), options, version) for folder, options, version in description["trees"])
    os.environ.update(environment(debian))
    prepare(layout, trees)
    asyncio.run(serve(layout))
    return 0


if __name__ == "__main__":
    sys.exit(main())
