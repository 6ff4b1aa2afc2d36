"""The programs of `manta up` and `manta run`, as they are started."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from controller.settings import load
from localcluster.addresses import shared_machine
from localcluster.inside import Inside, arguments_of
from manta.local import Level, NotStarted, local_cluster, programs


def test_the_operator_registers_its_webhooks_and_is_an_account_of_its_own(tmp_path: Path) -> None:
    """Both programs mean the same account: its kubeconfig is the one that the operator is given."""
    (tmp_path / "token").write_text("token")

    cluster, operator = programs(tmp_path, "scripted", {})

    settings = load(operator.arguments[5:], operator.environment)
    inside = Inside(arguments_of().parse_args(cluster.arguments[3:]))
    assert inside.account == "kube-system/manta-operator"
    assert settings.kubeconfig == str(tmp_path / "operator.kubeconfig")
    assert settings.leader_election_namespace == "kube-system"
    webhooks = settings.webhooks
    assert webhooks is not None
    assert (webhooks.address, webhooks.url) == (("127.0.0.1", 9443), "https://127.0.0.1:9443")
    assert (webhooks.certificates, webhooks.lame_duck_seconds) == ("self-managed", 0)


def test_without_a_cell_everything_listens_on_the_block_of_this_run(tmp_path: Path) -> None:
    """So that two runs do not meet."""
    (tmp_path / "token").write_text("token")

    cluster, operator = programs(tmp_path, "scripted", {}, level=Level(71, 8099, 9444))

    settings = load(operator.arguments[5:], operator.environment)
    inside = Inside(arguments_of().parse_args(cluster.arguments[3:]))
    assert inside.addresses == shared_machine(71)
    assert settings.health_address == "127.71.0.1:8099"
    assert settings.webhooks is not None
    assert (settings.webhooks.address, settings.webhooks.url) == (("127.71.0.1", 9444), "https://127.71.0.1:9444")


# Where images are kept ------------------------------------------------------------------------------------------------


async def start() -> None:
    """A local cluster, and its end."""
    async with local_cluster(node="scripted", capacity={}, told=lambda line: None):
        pass


async def test_where_no_image_can_be_kept_nothing_is_started_and_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that is a read-only layer of a container, or /: the traceback of a program inside says nothing of that."""
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    with pytest.raises(NotStarted) as refused:
        await start()

    assert str(refused.value) == (
        f"images cannot be kept in {tmp_path}/cache/manta (Not a directory): set XDG_CACHE_HOME to a folder that you "
        "may write into and start programs from"
    )


async def test_a_user_without_a_home_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run under numbers that no user has."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)

    with pytest.raises(NotStarted, match=r"images cannot be kept anywhere \(no home .*: set XDG_CACHE_HOME to"):
        await start()


async def test_a_folder_that_may_only_be_read_is_found_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The administrator may write anywhere, so it is asked as somebody else would be answered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(NotStarted, match=r"/manta \(you may not write there\): set XDG_CACHE_HOME to"):
        await start()


@pytest.mark.parametrize("name", ["My Drive", "a$b", "it's"])
async def test_a_folder_from_which_ray_cannot_start_its_programs_is_found_as_well(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray puts the path of its interpreter into a line for a shell, unquoted: the head would crash again and again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    with pytest.raises(NotStarted, match=r"\(Ray starts no program from a path with .+ in it\): set XDG_CACHE_HOME"):
        await start()

    assert not (tmp_path / name).exists()
