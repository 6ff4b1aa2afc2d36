"""Strategic merge patch: lists that merge, directives, and the order of what comes out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from localcluster.apiserver.strategic import ItemWithoutKey, NotAList, RetainKeysDisagree, strategic_merge

POD: dict[str, Any] = {
    "metadata": {"finalizers": ["a/b"], "labels": {"x": "1", "y": "2"}},
    "spec": {
        "containers": [
            {"name": "a", "image": "i:1", "ports": [{"containerPort": 80}], "env": [{"name": "E", "value": "1"}]},
            {"name": "b", "image": "i:2"},
        ],
        "tolerations": [{"key": "k1"}],
    },
}


def patched(patch: dict[str, Any]) -> dict[str, Any]:
    """The pod after the patch; the pod itself stays as it is."""
    before = copy.deepcopy(POD)
    result = strategic_merge(POD, patch)
    assert before == POD
    return result


def names(result: dict[str, Any]) -> list[str]:
    return [one["name"] for one in result["spec"]["containers"]]


@pytest.mark.spec("kube-api:PATCH-7")
def test_containers_are_merged_by_name_and_what_they_hold_as_well() -> None:
    """What the patch does not name stays, in its place."""
    env = [{"name": "F", "value": "2"}, {"name": "E", "value": "9"}]

    result = patched({"spec": {"containers": [{"name": "a", "env": env}]}})

    assert names(result) == ["a", "b"]
    container = result["spec"]["containers"][0]
    assert (container["image"], container["ports"]) == ("i:1", [{"containerPort": 80}])
    assert sorted(one["value"] for one in container["env"]) == ["2", "9"]


@pytest.mark.spec("kube-api:PATCH-7")
def test_a_new_item_comes_first_unless_an_order_is_asked_for() -> None:
    """As the server arranges them."""
    new = {"name": "c", "image": "i:3"}
    order = [{"name": "a"}, {"name": "c"}, {"name": "b"}]

    assert names(patched({"spec": {"containers": [new]}})) == ["c", "a", "b"]
    assert names(patched({"spec": {"containers": [new], "$setElementOrder/containers": order}})) == ["a", "c", "b"]


@pytest.mark.spec("kube-api:PATCH-7")
def test_an_order_alone_arranges_what_is_there() -> None:
    """Without any other change."""
    order = [{"name": "b"}, {"name": "a"}]

    assert names(patched({"spec": {"$setElementOrder/containers": order}})) == ["b", "a"]


@pytest.mark.spec("kube-api:PATCH-7")
def test_items_can_be_deleted_and_lists_replaced() -> None:
    """By directives in the list."""
    deleted = patched({"spec": {"containers": [{"name": "b", "$patch": "delete"}]}})
    replaced = patched({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}})

    assert names(deleted) == ["a"]
    assert replaced["spec"]["containers"] == [{"name": "z"}]


@pytest.mark.spec("kube-api:PATCH-7")
def test_finalizers_are_a_set() -> None:
    """New ones come first; some can be taken out."""
    added = patched({"metadata": {"finalizers": ["x/y", "a/b"]}})
    removed = patched({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}})

    assert added["metadata"]["finalizers"] == ["x/y", "a/b"]
    assert removed["metadata"]["finalizers"] == []


@pytest.mark.spec("kube-api:PATCH-7")
def test_lists_without_a_key_are_replaced_and_null_removes() -> None:
    """Tolerations are one list; labels a map."""
    result = patched({"metadata": {"labels": {"x": None}}, "spec": {"tolerations": [{"key": "k2"}]}})

    assert result["metadata"]["labels"] == {"y": "2"}
    assert result["spec"]["tolerations"] == [{"key": "k2"}]


@pytest.mark.spec("kube-api:PATCH-7")
def test_keys_that_are_not_retained_go() -> None:
    """A union's other member, when its kind changes; the patch may set only what it retains."""
    strategy = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}

    result = strategic_merge(strategy, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}})

    assert result == {"strategy": {"type": "Recreate"}}
    with pytest.raises(RetainKeysDisagree):
        strategic_merge(strategy, {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}})


def test_a_map_can_be_replaced_as_a_whole() -> None:
    """By a directive in the map."""
    assert patched({"metadata": {"labels": {"$patch": "replace", "z": "3"}}})["metadata"]["labels"] == {"z": "3"}


def test_ports_of_services_and_containers_have_different_keys() -> None:
    """The only field name of which there are two."""
    service = {"spec": {"ports": [{"port": 80, "name": "h"}]}}

    merged = strategic_merge(service, {"spec": {"ports": [{"port": 80, "name": "g"}]}})
    container = patched({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "p"}]}]}})

    assert merged["spec"]["ports"] == [{"port": 80, "name": "g"}]
    assert container["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "name": "p"}]


@pytest.mark.spec("kube-api:PATCH-8")
def test_an_item_without_its_key_and_a_text_for_a_list_are_refused() -> None:
    """In the server's words."""
    with pytest.raises(ItemWithoutKey) as no_key:
        patched({"spec": {"containers": [{"image": "i:3"}]}})
    with pytest.raises(NotAList) as no_list:
        patched({"spec": {"containers": "x"}})

    assert str(no_key.value) == "map: map[image:i:3] does not contain declared merge key: name"
    assert str(no_list.value) == "cannot restore slice from string"
