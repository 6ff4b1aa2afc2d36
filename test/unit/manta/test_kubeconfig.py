"""The kubeconfig where the user wants it."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster.kubeconfig import write_kubeconfig
from manta.documents import Unusable
from manta.kubeconfig import kept_for


def test_nothing_stays_of_a_kubeconfig_in_a_new_folder(tmp_path: Path) -> None:
    """Neither the file nor the folders that were made for it."""
    path = tmp_path / "new" / "dir" / "config"

    with kept_for(path):
        write_kubeconfig(path, "http://127.0.0.1:8001", "token")
        written = path.exists()

    assert written
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_of_one_that_was_never_written(tmp_path: Path) -> None:
    """The start failed, or was interrupted."""
    with pytest.raises(KeyError), kept_for(tmp_path / "new" / "config"):
        raise KeyError

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_somebody_else_uses_meanwhile_stays(tmp_path: Path) -> None:
    """And so does one that was there before."""
    path = tmp_path / "new" / "dir" / "config"

    with kept_for(path):
        (tmp_path / "new" / "mine").touch()

    assert [one.name for one in (tmp_path / "new").iterdir()] == ["mine"]


def test_a_kubeconfig_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    """It would be overwritten, and gone at the end."""
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nkind: Config\n")

    with pytest.raises(Unusable, match="is there already"), kept_for(path):
        raise AssertionError("it began")

    assert path.read_text() == "apiVersion: v1\nkind: Config\n"


def test_one_that_a_killed_run_left_is_written_anew(tmp_path: Path) -> None:
    """Nobody else has use for it."""
    path = tmp_path / "config"
    write_kubeconfig(path, "http://127.0.0.1:1", "old")

    with kept_for(path):
        pass

    assert not path.exists()


def test_a_place_where_none_can_be_is_told_before_anything_starts(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()

    words = r"cannot write .*file/config: (File exists|Not a directory)"
    with pytest.raises(Unusable, match=words), kept_for(tmp_path / "file" / "config"):
        raise AssertionError("it began")


def test_without_one_there_is_nothing_to_do() -> None:
    """The cluster's own stands in its folder."""
    with kept_for(None):
        pass
