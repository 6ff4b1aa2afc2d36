"""Names: the reference's where something exists once, a digest of the place where it does not."""

from __future__ import annotations

import re

import pytest

from controller.ray.desired import names
from controller.ray.desired.names import HEAD_SLOT, Slot

LONG = "analytics-team-gpu-training-cluster-production-eu-01x"


def test_the_last_fifty_characters_of_a_name_are_kept() -> None:
    assert names.check_name(LONG) == "lytics-team-gpu-training-cluster-production-eu-01x"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ray", "ray"),
        ("1ray", "rray"),
        ("-ray", "rray"),
        (".ray", "rray"),
        ("_ray", "rray"),
        ("¿ray", "rray"),
        ("", ""),
        ("9" * 51, "r" + "9" * 49),
        ("$ray", "$ray"),  # a symbol, not punctuation
    ],
)
def test_a_name_does_not_begin_with_a_digit_or_punctuation(text: str, kept: str) -> None:
    assert names.check_name(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [("1" * 64, "1" * 63), ("a" * 10 + "-" + "b" * 62, "r" + "b" * 62), ("a" * 63, "a" * 63)],
)
def test_a_label_value_keeps_its_last_sixty_three_characters(text: str, kept: str) -> None:
    assert names.check_label(text) == kept


def test_the_ingress_of_a_long_name_is_cut_at_its_front() -> None:
    assert names.ingress(LONG) == "pu-training-cluster-production-eu-01x-head-ingress"


def test_the_cleanup_job_of_a_long_name_fits_a_label() -> None:
    assert names.redis_cleanup_job(LONG) == "ytics-team-gpu-training-cluster-production-eu-01x-redis-cleanup"


def test_a_head_pod_of_a_long_name_is_cut_at_its_end() -> None:
    name = names.head_pod(LONG, "uid", "ticket")

    assert re.fullmatch(
        r"analytics-team-gpu-training-cluster-production-eu--head-[bcdfghjklmnpqrstvwxz2456789]{5}", name
    )


def test_pod_names_are_lower_case_whatever_the_group_is_called() -> None:
    assert names.worker_pod("r", "uid", Slot("GPU", 0), "t").startswith("r-gpu-worker-")


def test_groups_that_differ_in_case_have_different_pods() -> None:
    assert names.worker_pod("r", "uid", Slot("GPU", 0), "t") != names.worker_pod("r", "uid", Slot("gpu", 0), "t")


def test_a_place_has_one_name() -> None:
    """A pass that is repeated, after a crash or by another replica, asks for the same pod."""
    assert names.worker_pod("r", "uid", Slot("g", 3), "t") == names.worker_pod("r", "uid", Slot("g", 3), "t")


@pytest.mark.parametrize(
    ("uid", "slot", "ticket"),
    [
        ("other", Slot("g", 3), "t"),
        ("uid", Slot("h", 3), "t"),
        ("uid", Slot("g", 4), "t"),
        ("uid", Slot("g", 3, 0), "t"),
        ("uid", Slot("g", 3), "u"),
    ],
)
def test_another_place_has_another_name(uid: str, slot: Slot, ticket: str) -> None:
    assert names.suffix(uid, slot, ticket) != names.suffix("uid", Slot("g", 3), "t")


def test_the_parts_of_a_place_cannot_run_into_each_other() -> None:
    assert (
        names.suffix("a", Slot("b", 1), "c")
        != names.suffix("a", Slot("b", 1, None), "")
        != names.suffix("ab", Slot("", 1), "c")
    )


def test_no_worker_group_can_take_the_head_s_slot() -> None:
    """A label value has no slash, so the API server refuses every pod of a group of that name."""
    assert "/" in HEAD_SLOT.group


@pytest.mark.parametrize("slot", [HEAD_SLOT, Slot("g", 0), Slot("a/b", 12), Slot("tpu", 3, 1), Slot("", 7)])
def test_a_slot_is_read_as_it_was_written(slot: Slot) -> None:
    assert Slot.parse(str(slot)) == slot


@pytest.mark.parametrize("text", ["", "g", "g/", "g/x", "g/-1", "g/1.", "g/1.x", "g/.1"])
def test_what_is_no_slot_is_not_taken_for_one(text: str) -> None:
    assert Slot.parse(text) is None


def test_all_hosts_of_a_replica_share_its_name() -> None:
    assert names.replica("uid", Slot("g", 1, 0), "t") == names.replica("uid", Slot("g", 1, 1), "t")


@pytest.mark.parametrize(
    ("cluster", "found"), [("r", "r"), (LONG, "lytics-team-gpu-training-cluster-production-eu-01x")]
)
def test_the_token_s_secret_is_named_after_the_cluster(cluster: str, found: str) -> None:
    assert names.auth_secret(cluster) == found


def test_a_user_may_name_the_head_service() -> None:
    assert (names.head_service("r"), names.head_service("r", "mine")) == ("r-head-svc", "mine")


def test_services_have_the_reference_s_names() -> None:
    assert (names.serve_service("r"), names.headless_service("r"), names.claim("r")) == (
        "r-serve-svc",
        "r-headless",
        "r-gcs-pvc",
    )


@pytest.mark.parametrize(("namespace", "length"), [("ns", 49), ("n" * 50, 1), ("n" * 51, 1), ("n" * 63, 1)])
def test_a_route_leaves_room_for_its_namespace(namespace: str, length: int) -> None:
    """Beyond 50 characters the reference crashes here, and nothing of the cluster is made."""
    assert len(names.route("r" * 60, namespace)) == length


def test_a_name_of_53_characters_leaves_room_for_every_service() -> None:
    assert all(len(name("r" * 53)) <= 63 for name in (names.head_service, names.serve_service, names.headless_service))
