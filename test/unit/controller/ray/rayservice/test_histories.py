"""Whatever happens, in whatever order: requests go where the status says, and in the end all is as it is wanted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.v1 import wire
from controller.runtime.plan import Delete
from localcluster.testing.rayservice_history import RayServiceHistory, config, rayservice

Event = Callable[[RayServiceHistory], object]


def head_of_each_starts(life: RayServiceHistory) -> None:
    for name in life.clusters.keys() - life.heads.keys():
        head = life.head_starts(name, run=len(life.writes))
        head.deploys, head.workers = "RUNNING", 1


def each_head_dies(life: RayServiceHistory) -> None:
    life.heads.clear()
    for name in life.clusters:
        life.head_is(name, "False")


def proxies(*, shut: bool) -> Event:
    def change(life: RayServiceHistory) -> None:
        for head in life.heads.values():
            head.shut = shut

    return change


def another_operator_wrote(life: RayServiceHistory) -> None:
    for one in life.clusters.values():
        one["metadata"]["annotations"] |= {wire.ANNOTATION_OPERATOR_VERSION: "v1", wire.ANNOTATION_GOAL_HASH: "other"}


def crash_after(*whys: str) -> Event:
    """The pass that does such a write will be the process's last, before it reports anything."""

    def change(life: RayServiceHistory) -> None:
        life.crash_after = frozenset(whys)

    return change


def new_cluster_comes_up(life: RayServiceHistory) -> None:
    """As far as it gets in as many passes as a take-over needs."""
    for _ in range(10):
        life.run()
        head_of_each_starts(life)
        life.talk()


def upgrade_crashes(life: RayServiceHistory) -> None:
    """The requests have moved, nobody has written that down, and the process that comes next knows nothing yet."""
    life.edit_cluster(rayVersion=f"2.{len(life.writes) + 53}.0")
    life.crash_after = frozenset({"serve service"})
    for _ in range(12):
        head_of_each_starts(life)
        life.talk()
        life.run()
        if not life.crash_after:
            return


EVENTS: dict[str, Event] = {
    "a pass": lambda life: life.run(),
    "answers": lambda life: life.talk(),
    "a pass and answers": lambda life: life.run().talk(),
    "all goes on": lambda life: [life.run().talk() for _ in range(6)],
    "a new cluster comes up": new_cluster_comes_up,
    "an upgrade crashes": upgrade_crashes,
    "a change will crash": crash_after("cluster", "configuration", "active cluster", "pending cluster", "head service"),
    "another process": lambda life: life.restart(),
    "time": lambda life: life.later(seconds=40),
    "another cluster is wanted": lambda life: life.edit_cluster(rayVersion=f"2.{len(life.writes) + 53}.0"),
    "the first cluster is wanted again": lambda life: life.edit_cluster(rayVersion="2.52.0"),
    "another configuration is wanted": lambda life: life.edit(serveConfigV2=config(f"app{len(life.writes)}")),
    "a configuration that is none": lambda life: life.edit(serveConfigV2="{"),
    "heads start": head_of_each_starts,
    "heads die": each_head_dies,
    "proxies shut": proxies(shut=True),
    "proxies open": proxies(shut=False),
    "another operator": another_operator_wrote,
    "no service can be written": lambda life: life.refuse.update({"head service", "serve service"}),
    "no cluster can be made": lambda life: life.refuse.add("cluster"),
    "all can be written": lambda life: life.refuse.clear(),
    "the serve service is deleted": lambda life: life.services.pop("web-serve-svc", None),
}


def no_serving_cluster_was_deleted(life: RayServiceHistory, selected: str, before: int) -> bool:
    return not any(isinstance(one, Delete) and one.name == selected for one in life.writes[before:])


def ended(life: RayServiceHistory) -> RayServiceHistory:
    """Nothing stands in the way any more, and enough time passes."""
    life.refuse.clear()
    life.crash_after = frozenset()
    life.edit(serveConfigV2=config("last"))
    proxies(shut=False)(life)
    for _ in range(4):
        life.run(2)
        head_of_each_starts(life)
        for head in life.heads.values():
            head.deploys = "RUNNING"
        life.settle().later(seconds=61)
    return life.settle()


@pytest.mark.spec("rayservice:E17")
@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(EVENTS)), min_size=5, max_size=30))
def test_no_order_of_events_loses_the_serving_cluster_or_leaves_anything_behind(events: list[str]) -> None:
    life = RayServiceHistory(rayservice())
    life.serving()

    for event in events:
        selected, before = life.selected(), len(life.writes)
        EVENTS[event](life)
        if event not in ("all goes on", "a new cluster comes up"):
            assert no_serving_cluster_was_deleted(life, selected, before), f"{event}: {selected} took requests"
        if selected := life.selected():
            assert selected in life.names, f"{event}: requests go to {selected}, which is nobody's"

    ended(life)
    (only,) = life.clusters
    assert (life.names, life.selected(), life.selected("web-head-svc")) == ((only, ""), only, only)
    assert life.heads[only].applications == {"last": "RUNNING"}
    assert life.clusters[only]["spec"]["rayVersion"] == life.service["spec"]["rayClusterConfig"]["rayVersion"]
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
    written = (len(life.writes), life.status_writes)
    life.later(hours=1).run(2)
    assert (len(life.writes), life.status_writes) == written
