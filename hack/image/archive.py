"""Images as OCI archives: a few tar files in a tar file, which `ctr images import`, `docker load` and `kind load` take.

The same files give the same bytes: names are sorted, times and owners set, so a layer that did not change keeps its
digest and is not unpacked twice. Layers are not compressed, since they travel no further than this disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Config", "Entry", "Layer", "Tree", "make_layer", "write"]

TIME = 1_577_836_800  # 2020-01-01: not 0, which some archivers refuse (zip, and so wheels made in a pod)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of this machine whose contents stand at `at` in the image; `keep` says which, by relative path.

    What its owner may read, everybody may read there: the umask of who makes an image says nothing of who runs it.
    """

    folder: Path
    at: str = ""
    keep: Callable[[str], bool] = lambda _: True
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder (no text) or link of the image that is not on this machine."""

    at: str
    text: str | None = None
    link: str = ""
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's tar file, and the digest of it: "sha256:..."."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Config:
    """How a container of the image starts unless its pod says otherwise."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"


def make_layer(target: Path, parts: Sequence[Tree | Entry]) -> Layer:
    """Write a layer; of two parts with the same path the later wins. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as tar:
        for part in parts:
            if isinstance(part, Entry):
                _add_entry(tar, part)
            else:
                _add_tree(tar, part)
    unfinished.replace(target)
    return Layer(target, _digest_of_file(target))


def _add_entry(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.at.strip("/"))
    info.mtime, info.mode, (info.uid, info.gid) = TIME, entry.mode, entry.owner
    text = (entry.text or "").encode()
    if entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    elif entry.text is None:
        info.type = tarfile.DIRTYPE
    info.size = len(text)
    tar.addfile(info, io.BytesIO(text))


def _add_tree(tar: tarfile.TarFile, tree: Tree) -> None:
    for folder, folders, files in os.walk(tree.folder):
        folders.sort()
        relative = os.path.relpath(folder, tree.folder)
        names = sorted([*files, *(name for name in folders if (Path(folder) / name).is_symlink())])
        inner = "" if relative == "." else f"{relative}/"
        if inner and not tree.keep(inner):
            folders.clear()
            continue
        if inner or tree.at:
            _add(tar, Path(folder), f"{tree.at}/{inner}".strip("/"), tree.owner)
        for name in names:
            if tree.keep(inner + name):
                _add(tar, Path(folder) / name, f"{tree.at}/{inner}{name}".strip("/"), tree.owner)


def _add(tar: tarfile.TarFile, path: Path, name: str, owner: tuple[int, int]) -> None:
    info = tar.gettarinfo(path, arcname=name)
    if info.islnk():  # a file under two names: twice, since the order of names must not decide which is the link
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
    info.mtime, (info.uid, info.gid), info.uname, info.gname = TIME, owner, "", ""
    info.mode |= (info.mode & 0o500) >> 3 | (info.mode & 0o500) >> 6
    if info.isreg():
        with path.open("rb") as file:
            tar.addfile(info, file)
    else:
        tar.addfile(info)


def write(target: Path, names: Sequence[str], layers: Sequence[Layer], config: Config) -> None:
    """Write the archive of an image known by `names` ("docker.io/library/x:1"). Raises OSError."""
    blobs: dict[str, bytes] = {}

    def blob(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
        text = json.dumps(value, sort_keys=True).encode()
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        blobs[digest] = text
        return {"mediaType": kind, "digest": digest, "size": len(text)}

    manifest = blob(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(CONFIG, _config(layers, config)),
            "layers": [
                {"mediaType": LAYER, "digest": layer.digest, "size": layer.path.stat().st_size} for layer in layers
            ],
        },
    )
    named = [
        {**manifest, "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}
        for name in names
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": named}
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    with tarfile.open(unfinished, "w") as tar:
        _add_entry(tar, Entry("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}), mode=0o644))
        _add_entry(tar, Entry("index.json", json.dumps(index), mode=0o644))
        for digest, text in sorted(blobs.items()):
            _add_entry(tar, Entry(_place(digest), text.decode(), mode=0o644))
        for layer in {layer.digest: layer for layer in layers}.values():
            _add(tar, layer.path, _place(layer.digest), (0, 0))
    unfinished.replace(target)


def _config(layers: Sequence[Layer], config: Config) -> dict[str, Any]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "architecture": machine,
        "os": "linux",
        "config": {
            "User": config.user,
            "WorkingDir": config.folder,
            "Entrypoint": list(config.entrypoint),
            "Cmd": list(config.command),
            "Env": [f"{name}={value}" for name, value in config.environment.items()],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": "hack/image"} for _ in layers],
    }


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
