"""Which names are the cluster's, and what a pod's description says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.shared.hook.names import Names
from localcluster.node.shared.hook.pod import Pod, described

SERVICE, OTHER = "127.70.128.1", "127.70.128.2"


def a_table(file: Path, **names: str) -> Path:
    """Names with underscores for dots, each below svc.cluster.local. Replaced as a whole."""
    unfinished = file.with_name("unfinished")
    unfinished.write_text(
        json.dumps({f"{name.replace('_', '.')}.svc.cluster.local": [found] for name, found in names.items()})
    )
    unfinished.replace(file)
    return file


@pytest.mark.parametrize(
    "said", ["web", "WEB", "web.", "web.ns", "web.ns.svc", "web.ns.svc.cluster.local", "Web.ns.svc.Cluster.local."]
)
def test_a_name_is_the_same_however_it_is_written(said: str, tmp_path: Path) -> None:
    """Programs end names with a dot to say that nothing is to be searched for, and case is nothing in names."""
    names = Names(str(a_table(tmp_path / "t", web_ns=SERVICE)), "ns")

    assert names.addresses(said) == [SERVICE]


@pytest.mark.spec("ray-side:S10-11")
def test_what_is_in_the_pods_own_namespace_comes_first(tmp_path: Path) -> None:
    """`one.head` is a pod behind a service here, though there be a service `one` in a namespace `head`."""
    table = a_table(tmp_path / "t", one_head_ns=SERVICE, one_head=OTHER, web_else=OTHER)

    names = Names(str(table), "ns")

    assert (names.first("one.head"), names.first("web.else"), names.first("web")) == (SERVICE, OTHER, None)


def test_a_pods_own_name_is_itself_whatever_the_table_says(tmp_path: Path) -> None:
    """As its /etc/hosts would say."""
    names = Names(str(a_table(tmp_path / "t", one_ns=SERVICE)), "ns", {"one": ["127.70.0.5"]})

    assert (names.first("one"), names.first("ONE"), names.first("one.ns")) == ("127.70.0.5", "127.70.0.5", SERVICE)


def test_what_is_no_name_of_ours_is_left_to_the_machine(tmp_path: Path) -> None:
    """But a name that can only be ours does not exist: an empty list."""
    names = Names(str(a_table(tmp_path / "t", localhost_ns=SERVICE)), "ns")

    assert [names.addresses(one) for one in ("localhost", "", "127.0.0.1", "::1", "example.org")] == [None] * 5
    assert names.addresses("nobody.ns.svc.cluster.local") == []


@pytest.mark.spec("ray-side:S10-24")
def test_a_table_that_was_replaced_within_a_moment_is_read_again(tmp_path: Path) -> None:
    """The kernel's clock for files has ticks of some milliseconds."""
    table = tmp_path / "t"
    names = Names(str(table), "ns")
    found = []
    for address in (SERVICE, OTHER):
        os.utime(a_table(table, web_ns=address), ns=(10**18, 10**18))
        found.append(names.first("web"))
    table.write_text(table.read_text().replace(OTHER, SERVICE))
    os.utime(table, ns=(10**18 + 1, 10**18 + 1))
    found.append(names.first("web"))

    assert found == [SERVICE, OTHER, SERVICE]


def test_without_a_table_nothing_of_ours_exists(tmp_path: Path) -> None:
    """The cluster is ending, and programs that outlive it by a moment fail in their own words."""
    table = a_table(tmp_path / "t", web_ns=SERVICE)
    names = Names(str(table), "ns")
    assert names.first("web") == SERVICE

    table.unlink()

    assert (names.addresses("web"), names.addresses("web.ns.svc.cluster.local")) == (None, [])


def a_pod(**more: Any) -> Pod:
    told = {"address": "127.70.0.5", "hostname": "one", "namespace": "ns", "folder": "/pod", "table": "", "ports": ""}
    return Pod(told | {"mounts": [], "machine": 2**30} | more)


def test_mounts_are_taken_but_those_that_would_hide_what_everybody_needs() -> None:
    """C libraries look at /proc whatever we say; and all of the machine is not one mount."""
    given = ["/code/", "/dev/shm", "/proc", "/sys/fs", "/", "/developer", "/process"]

    pod = a_pod(mounts=[[one, f"/real{one}", False] for one in given])

    assert [target for target, _ in pod.mounts] == ["/code", "/developer", "/process"]


def test_a_pod_has_a_folder_for_what_is_temporary_also_without_being_told() -> None:
    """Then its own."""
    assert (a_pod().temporary, a_pod(temporary="/short").temporary) == ("/pod", "/short")


def test_a_pod_finds_itself_by_its_hostname() -> None:
    """No table is needed for that."""
    assert a_pod().names.first("one") == "127.70.0.5"


@pytest.mark.parametrize(
    ("content", "error"), [("{", ValueError), ("{}", KeyError), ("[]", TypeError)], ids=["half", "empty", "a list"]
)
def test_what_is_no_description_is_told_as_one_of_four_errors(
    content: str, error: type[Exception], tmp_path: Path
) -> None:
    """Whoever reads it ends the program for these, and must know of all."""
    (tmp_path / "pod.json").write_text(content)

    with pytest.raises(error):
        described(str(tmp_path / "pod.json"))
