"""A record is the object's metadata and its bytes, without what nobody reads."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core import PODS
from controller.runtime.cache import record as record_module
from controller.runtime.cache.record import FieldSet, UnreadableObject, Words, bookmark_of, record_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def a_pod(**metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7", **metadata},
    }


@pytest.mark.spec("runtime:MEM-1")
@given(VALUES, st.booleans())
def test_the_kept_bytes_are_the_object_without_managed_fields(spec: Any, managed: bool) -> None:
    """Decoding them gives what the server has, and a copy that is the caller's own."""
    pod = a_pod() | {"spec": {"template": {"metadata": {"managedFields": spec}}}, "status": spec}
    sent = a_pod(managedFields=[{"manager": "m", "fieldsV1": {"f:x": {}}}]) if managed else a_pod()

    wire = json.dumps(pod | {"metadata": sent["metadata"]}, separators=(",", ":")).encode()
    record = record_of(PODS, wire, Words())

    assert record.object() == pod
    assert record.object() is not record.object()


@pytest.mark.parametrize("before", [{}, {"managedFields": [{"manager": "m"}]}], ids=["none", "the same"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["tight", "with blanks"])
def test_only_the_object_s_own_managed_fields_are_left_out(before: dict[str, Any], separators: tuple[str, str]) -> None:
    """Not those of a pod template, although they may come first and be the same; nor words that look like them."""
    template = {"metadata": {"name": "t", **before}}
    words = {"annotations": {"a": ',"managedFields":[{"manager":"m"}]'}}
    kept = {"apiVersion": "v1", "kind": "Pod", "spec": {"template": template}, "metadata": a_pod(**words)["metadata"]}
    sent = kept | {"metadata": {**a_pod(**words)["metadata"], "managedFields": [{"manager": "m"}], "generation": 1}}

    record = record_of(PODS, json.dumps(sent, separators=separators).encode(), Words())

    assert record.object() == kept | {"metadata": {**a_pod(**words)["metadata"], "generation": 1}}


@pytest.mark.spec("runtime:MEM-3")
def test_the_kept_bytes_take_no_more_memory_than_they_are_long() -> None:
    """An encoder's buffer is up to twice as long as what is in it, and `sys.getsizeof` does not tell."""
    containers = [{"name": "c", "args": ["x" * 50] * 140}]
    sent = json.dumps(a_pod(managedFields=[{"manager": "m"}]) | {"spec": {"containers": containers}}).encode()
    words = Words()
    record_of(PODS, sent, words)  # what is kept once is there

    tracemalloc.start()
    records = [record_of(PODS, sent, words) for _ in range(100)]
    kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, record_module.__file__)])
    tracemalloc.stop()

    bodies = sum(len(record.body) for record in records)
    assert bodies > 100 * 7000
    assert sum(one.size for one in kept.statistics("filename")) < bodies + 100 * 1000


@pytest.mark.spec("runtime:MEM-4")
def test_what_is_decoded_from_a_record_is_the_reader_s_own() -> None:
    """Whoever changes it changes nothing that another reads."""
    sent = a_pod(labels={"a": "1"}) | {"spec": {"containers": [{"name": "c"}]}}
    record = record_of(PODS, json.dumps(sent).encode(), Words())

    mine = record.object()
    mine["metadata"]["labels"]["a"] = "2"
    mine["spec"]["containers"].clear()

    assert record.object() == sent
    assert record.labels == {"a": "1"}


def test_metadata_is_at_hand_without_decoding() -> None:
    """What handlers, predicates and indexes look at."""
    owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "c", "uid": "o", "controller": True}
    body = a_pod(
        generation=3,
        creationTimestamp="2026-01-01T00:00:00Z",
        deletionTimestamp="2026-01-02T00:00:00Z",
        labels={"l": "1"},
        annotations={"a": "2"},
        ownerReferences=[owner],
        finalizers=["f"],
    )

    record = record_of(PODS, json.dumps(body).encode(), Words())

    assert str(record.ref) == "Pod ns/a"
    assert (record.uid, record.resource_version, record.generation) == ("u", "7", 3)
    assert record.deletion_timestamp == "2026-01-02T00:00:00Z"
    assert (record.labels, record.annotations) == ({"l": "1"}, {"a": "2"})
    assert (list(record.owners), list(record.finalizers)) == ([owner], ["f"])


@pytest.mark.spec("runtime:REF-16")
def test_a_metadata_only_object_and_an_item_of_a_list_get_their_real_kind() -> None:
    """One comes as PartialObjectMetadata, the other may come with no kind at all."""
    for answered in ({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}, {}):
        body = {**answered, "metadata": a_pod()["metadata"]}

        read = record_of(PODS, json.dumps(body).encode(), Words()).object()

        assert (read["kind"], read["apiVersion"]) == ("Pod", "v1")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"kind":"Table","metadata":{"name":"a","resourceVersion":"1"}}', b"[1]", b"{"]
)
def test_what_is_no_object_of_the_kind_is_unreadable(body: bytes) -> None:
    """A Table in the cache would be worse than a hole (REF-6)."""
    with pytest.raises(UnreadableObject):
        record_of(PODS, body, Words())


@pytest.mark.spec("runtime:MEM-2")
def test_strings_that_repeat_are_kept_once() -> None:
    """Ten thousand pods carry the same label."""
    words = Words()
    body = json.dumps(a_pod(labels={"key-of-some-length": "value-of-some-length"})).encode()

    one, other = record_of(PODS, body, words), record_of(PODS, body, words)

    assert next(iter(one.labels.values())) is next(iter(other.labels.values()))
    assert one.ref.namespace is other.ref.namespace


def test_a_bookmark_says_how_far_and_whether_the_initial_events_end() -> None:
    """Only the annotation tells the two kinds apart."""
    plain = {"kind": "Pod", "metadata": {"resourceVersion": "9"}}
    ending = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}

    assert not bookmark_of(json.dumps(plain).encode()).ends_initial_events
    assert bookmark_of(json.dumps(ending).encode()).ends_initial_events


class _Spec(msgspec.Struct):
    kept: msgspec.Raw


class _Part(FieldSet):
    spec: _Spec | None = None
    host_name: str = ""
    note: str = ""

    def trim(self) -> None:
        self.note = ""


decode_part = msgspec.json.Decoder(_Part).decode


@pytest.mark.spec("runtime:MEM-5", "runtime:REF-15")
def test_of_a_kind_with_a_field_set_its_members_and_the_metadata_of_the_record_are_kept() -> None:
    """Under the real kind, which items of lists lack; nothing else takes memory."""
    metadata = {
        **a_pod(labels={"a": "b"}, annotations={"c": "d"}, finalizers=["f"], generation=3)["metadata"],
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-02T00:00:00Z",
        "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "x", "controller": True}],
    }
    sent = {"spec": {"kept": {"x": [1]}, "other": 1}, "hostName": "h", "note": "n", "more": "m"}
    managed = {**metadata, "managedFields": [{"manager": "m"}], "generateName": "g"}

    record = record_of(PODS, json.dumps({"metadata": managed} | sent).encode(), Words(), decode_part)

    kept = {"spec": {"kept": {"x": [1]}}, "hostName": "h"}
    assert record.object() == {"apiVersion": "v1", "kind": "Pod", "metadata": metadata} | kept
    assert json.loads(record.body) == {"apiVersion": "v1", "kind": "Pod"} | kept
    assert record.object()["metadata"]["labels"] is not record.labels


def test_a_body_is_the_same_as_long_as_nothing_of_the_field_set_has_changed() -> None:
    """Versions come and go."""
    before = a_pod() | {"spec": {"kept": 1, "other": 1}}
    after = a_pod(resourceVersion="8", labels={"a": "b"}) | {"spec": {"kept": 1, "other": 2}}

    one, other = (record_of(PODS, json.dumps(pod).encode(), Words(), decode_part) for pod in (before, after))

    assert one.body == other.body


def test_an_object_whose_members_have_not_the_shape_of_the_field_set_is_unreadable() -> None:
    """Nothing is known of it, then."""
    with pytest.raises(UnreadableObject, match="a Pod is unreadable"):
        record_of(PODS, json.dumps(a_pod() | {"spec": [1]}).encode(), Words(), decode_part)
