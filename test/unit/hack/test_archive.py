"""Image archives: what a container runtime reads, and the same bytes for the same files."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from hack.image.archive import Config, Entry, Tree, make_layer, write


def some_files(folder: Path) -> Path:
    """A script, a link to it, and the same file under a second name."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "run").write_text("#!/bin/sh\n")
    (folder / "bin" / "run").chmod(0o755)
    (folder / "bin" / "again").hardlink_to(folder / "bin" / "run")
    (folder / "start").symlink_to("bin/run")
    (folder / "notes").write_text("for people")
    return folder


def blob(archive: tarfile.TarFile, digest: str) -> bytes:
    """A blob, which must be what its name says."""
    file = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
    assert file is not None
    content = file.read()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    return content


def read(archive: tarfile.TarFile, digest: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(blob(archive, digest))
    return value


def test_a_layer_of_the_same_files_has_the_same_digest_whenever_it_is_made(tmp_path: Path) -> None:
    """Else every run would unpack every image anew."""
    first, second = some_files(tmp_path / "a"), some_files(tmp_path / "b")
    os.utime(second / "notes", (1, 1))

    one = make_layer(tmp_path / "one.tar", [Tree(first, "opt")])
    other = make_layer(tmp_path / "other.tar", [Tree(second, "opt")])

    assert one.digest == other.digest
    (second / "notes").write_text("changed")
    assert make_layer(tmp_path / "other.tar", [Tree(second, "opt")]).digest != one.digest


def test_a_layer_has_what_was_asked_for_with_owner_and_mode(tmp_path: Path) -> None:
    """Links stay links, a file with two names is two files, what `keep` refuses is not there."""
    tree = Tree(some_files(tmp_path / "files"), "opt", keep=lambda path: path != "notes", owner=(1000, 100))

    layer = make_layer(tmp_path / "layer.tar", [tree, Entry("tmp", mode=0o1777), Entry("manager", "text", mode=0o755)])

    with tarfile.open(layer.path) as tar:
        found = {member.name: member for member in tar}
        assert set(found) == {"opt", "opt/bin", "opt/bin/run", "opt/bin/again", "opt/start", "tmp", "manager"}
        assert found["opt/start"].issym()
        assert found["opt/start"].linkname == "bin/run"
        assert found["opt/bin/run"].isreg()
        assert found["opt/bin/again"].isreg()
        assert found["opt/bin/again"].size == found["opt/bin/run"].size == len("#!/bin/sh\n")
        assert (found["opt/bin/run"].uid, found["opt/bin/run"].gid, found["opt/bin/run"].mode) == (1000, 100, 0o755)
        assert found["tmp"].isdir()
        assert found["tmp"].mode == 0o1777


def test_everybody_may_read_an_image_that_was_made_under_a_narrow_umask(tmp_path: Path) -> None:
    """The operator runs as a user of its own, or on OpenShift as one that nobody knows beforehand."""
    files = some_files(tmp_path / "files")
    for path, mode in (("bin", 0o700), ("bin/run", 0o700), ("notes", 0o600)):
        (files / path).chmod(mode)

    layer = make_layer(tmp_path / "layer.tar", [Tree(files, "opt")])

    with tarfile.open(layer.path) as tar:
        found = {member.name: member.mode for member in tar}
    assert {name: found[name] for name in ("opt/bin", "opt/bin/run", "opt/notes")} == {
        "opt/bin": 0o755,
        "opt/bin/run": 0o755,
        "opt/notes": 0o644,
    }


def test_an_archive_leads_from_each_name_to_the_same_image(tmp_path: Path) -> None:
    """index -> manifest -> configuration and layers, each found under its own digest."""
    layer = make_layer(tmp_path / "layer.tar", [Entry("hello", "world", mode=0o644)])

    write(tmp_path / "image.tar", ["x.test/a:1", "x.test/a:2"], [layer], Config(entrypoint=["/hello"], user="65532"))

    with tarfile.open(tmp_path / "image.tar") as archive:
        index_file = archive.extractfile("index.json")
        assert index_file is not None
        named = json.load(index_file)["manifests"]
        assert [one["annotations"]["io.containerd.image.name"] for one in named] == ["x.test/a:1", "x.test/a:2"]
        assert len({one["digest"] for one in named}) == 1
        manifest = read(archive, named[0]["digest"])
        config = read(archive, manifest["config"]["digest"])
        assert config["config"]["User"] == "65532"
        assert config["config"]["Entrypoint"] == ["/hello"]
        assert config["rootfs"]["diff_ids"] == [one["digest"] for one in manifest["layers"]] == [layer.digest]
        assert blob(archive, layer.digest) == layer.path.read_bytes()
