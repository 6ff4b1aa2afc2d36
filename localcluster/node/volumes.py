"""A pod's volumes and the small files of its place, as folders and files of the machine.

Everything of a pod is in one folder, which goes with the pod:

    POD/etc/...             hosts, resolv.conf, hostname
    POD/api/NAME/...        volumes whose files come from the API; in memory, since secrets are among them
    POD/volumes/NAME        emptyDir; in memory if it asks for that
    POD/shm                 what /dev/shm is unless a volume is mounted there; in memory
    POD/containers/C-N/...  of the N-th start of container C: its home, its /tmp, an empty folder for its root

What a PersistentVolumeClaim stands for is a folder outside, that stays. Where nothing can be mounted, what would be in
memory is a plain folder for this user alone: secrets are on the disk then, for as long as the pod is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from localcluster.node import kernel
from localcluster.node.environment import expand, mounted_volumes
from localcluster.node.interfaces import Container, Fault, VolumeContents
from localcluster.node.rootfs import Mount
from localcluster.quantities import quantity

__all__ = ["PodFiles", "Source", "etc_files", "mounts_of", "provide", "remove"]

Json: TypeAlias = dict[str, Any]

DOMAIN: Final = "cluster.local"
SHM_SIZE: Final = "64m"  # as container runtimes give; Ray's pods bring a volume of their own
API_SIZE: Final = "64m"  # of all volumes from the API together
FROM_API: Final = ("configMap", "secret", "projected", "downwardAPI")
_TMPFS = kernel.MS_NOSUID | kernel.MS_NODEV


@dataclass(frozen=True, slots=True)
class Source:
    """Where a volume is on the machine."""

    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class PodFiles:
    """What `provide` made."""

    folder: Path
    sources: Mapping[str, Source]
    covers: tuple[str, ...]  # mounts to take away before the folder can go


# Pure --------------------------------------------------------------------------------------------------------------


def etc_files(pod: Json, address: str, nameserver: str) -> dict[str, str]:
    """/etc/hosts, resolv.conf and hostname of a pod."""
    return {
        "hosts": _hosts(pod, address),
        "resolv.conf": _resolv_conf(pod, nameserver),
        "hostname": f"{hostname_of(pod)}\n",
    }


def hostname_of(pod: Json) -> str:
    """At most 63 characters, the end cut off and no dash or dot left there, as a kubelet does it."""
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:63].rstrip("-.")


def _hosts(pod: Json, address: str) -> str:
    name, subdomain = hostname_of(pod), pod["spec"].get("subdomain")
    own = [name]
    if subdomain:
        own.insert(0, f"{name}.{subdomain}.{pod['metadata'].get('namespace', 'default')}.svc.{DOMAIN}")
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "\t".join([address, *own])]
    lines += ["\t".join([alias["ip"], *alias.get("hostnames", ())]) for alias in pod["spec"].get("hostAliases") or ()]
    return "\n".join(lines) + "\n"


def _resolv_conf(pod: Json, nameserver: str) -> str:
    """By dnsPolicy; the cell has no other name server than the cluster's."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    config = pod["spec"].get("dnsConfig") or {}
    namespace = pod["metadata"].get("namespace", "default")
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str | None] = {}
    if policy != "None":
        servers = [nameserver]
        searches = [f"{namespace}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN]
        options = {"ndots": "5"}
    servers += [one for one in config.get("nameservers") or () if one not in servers]
    searches += [one for one in config.get("searches") or () if one not in searches]
    options |= {one["name"]: one.get("value") for one in config.get("options") or ()}
    lines = [f"nameserver {one}" for one in servers[:3]]
    if searches:
        lines.append(f"search {' '.join(searches)}")
    if options:
        lines.append("options " + " ".join(f"{key}:{value}" if value else key for key, value in options.items()))
    return "\n".join(lines) + "\n"


def mounts_of(container: Container, sources: Mapping[str, Source]) -> list[Mount]:
    """The container's volume mounts, outer ones before inner ones. Raises Fault for a subPath that leads elsewhere."""
    mounts = []
    for given in container.mounts:
        source = sources[given["name"]]
        path = os.path.realpath(source.path)
        if sub := _sub_path(given, dict(container.env)):
            path = os.path.realpath(f"{path}/{sub}")
            if not path.startswith(os.path.realpath(source.path) + "/"):
                raise Fault("CreateContainerConfigError", f"subPath {sub!r} leads out of volume {given['name']!r}")
        read_only = source.read_only or bool(given.get("readOnly"))
        mounts.append(Mount(path, os.path.normpath("/" + given["mountPath"].lstrip("/")), read_only))
    return sorted(mounts, key=lambda one: one.target.count("/"))


def _sub_path(given: Json, env: Mapping[str, str]) -> str:
    if given.get("subPathExpr"):
        return expand(given["subPathExpr"], env)
    return str(given.get("subPath") or "")


# I/O ---------------------------------------------------------------------------------------------------------------


def provide(
    pod: Json,
    contents: Mapping[str, VolumeContents],
    folder: Path,
    claims: Path,
    etc: Mapping[str, str] | None,
) -> PodFiles:
    """Make all of it below `folder`. Raises Fault FailedMount; then nothing stays.

    `etc` None: nothing is mounted here, and nothing needs to be covered; only volumes are made.
    """
    covers: list[str] = []

    def in_memory(path: Path, size: str) -> None:
        path.mkdir(parents=True)
        if etc is None:
            path.chmod(0o700)
            return
        kernel.mount("tmpfs", str(path), "tmpfs", _TMPFS, f"mode=1777,size={size}" if size else "mode=1777")
        covers.append(str(path))

    try:
        folder.mkdir(parents=True)
        if etc is not None:
            _etc(folder / "etc", etc)
            in_memory(folder / "shm", SHM_SIZE)
        if contents:
            in_memory(folder / "api", API_SIZE)
        sources = {
            volume["name"]: _source(pod, volume, contents, folder, claims, in_memory) for volume in mounted_volumes(pod)
        }
    except OSError as error:
        remove(PodFiles(folder, {}, tuple(covers)))
        raise Fault("FailedMount", str(error)) from error
    except Fault:
        remove(PodFiles(folder, {}, tuple(covers)))
        raise
    return PodFiles(folder, sources, tuple(covers))


def _etc(folder: Path, texts: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)


def remove(files: PodFiles) -> None:
    """Nothing of it stays but claims and the machine's own folders."""
    for path in reversed(files.covers):
        kernel.unmount(path)
    shutil.rmtree(files.folder, ignore_errors=True)


def _source(
    pod: Json,
    volume: Json,
    contents: Mapping[str, VolumeContents],
    folder: Path,
    claims: Path,
    in_memory: Callable[[Path, str], None],
) -> Source:
    name = volume["name"]
    if name in contents:
        return Source(str(_written(folder / "api" / name, contents[name])), read_only=True)
    if "hostPath" in volume:
        return _host_path(name, volume["hostPath"])
    if "persistentVolumeClaim" in volume or "ephemeral" in volume:
        given = volume.get("persistentVolumeClaim") or {}
        claim = given.get("claimName") or f"{pod['metadata']['name']}-{name}"
        path = claims / pod["metadata"].get("namespace", "default") / claim
        path.mkdir(parents=True, exist_ok=True)
        return Source(str(path), read_only=bool(given.get("readOnly")))
    kinds = [key for key in volume if key != "name"]
    if kinds and kinds != ["emptyDir"]:
        raise Fault("FailedMount", f'volume "{name}": there is no {kinds[0]} on this machine; use emptyDir or hostPath')
    path = folder / "volumes" / name
    given = volume.get("emptyDir") or {}
    if given.get("medium") == "Memory":
        in_memory(path, _size(given))
    else:
        path.mkdir(parents=True)
        path.chmod(0o777)
    return Source(str(path))


def _size(given: Json) -> str:
    return str(int(quantity(given["sizeLimit"]))) if given.get("sizeLimit") else ""


def _written(folder: Path, contents: VolumeContents) -> Path:
    folder.mkdir()
    for name, content in contents.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(contents.mode)
    return folder


def _host_path(name: str, given: Json) -> Source:
    path, kind = Path(given["path"]), given.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if kind == "FileOrCreate":
        path.touch()
    checks: Mapping[str, Sequence[bool]] = {
        "": [path.exists()],
        "Directory": [path.is_dir()],
        "DirectoryOrCreate": [path.is_dir()],
        "File": [path.is_file()],
        "FileOrCreate": [path.is_file()],
        "Socket": [path.is_socket()],
    }
    if not all(checks.get(kind, [path.exists()])):
        raise Fault("FailedMount", f'volume "{name}": hostPath type check failed: {path} is not a {kind or "path"}')
    return Source(str(path))
