"""The table of an upgrade: each of its rows happens, and leads to where docs/rayservice-states.md says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.meta import Json
from controller.ray.rayservice.upgrade import LEADS_TO, RULES, Act, Stage, act_of, always, stage_of
from localcluster.testing.rayservice_history import RayServiceHistory, config, incremental, rayservice

Way = Callable[[], RayServiceHistory]


def nothing() -> RayServiceHistory:
    return RayServiceHistory().run()  # the finalizer


def named() -> RayServiceHistory:
    return nothing().run()


def first() -> RayServiceHistory:
    life = RayServiceHistory()
    life.begun()
    return life


def steady() -> RayServiceHistory:
    life = RayServiceHistory()
    life.serving()
    return life


def upgrade() -> RayServiceHistory:
    life = steady()
    life.replaced()
    return life


def named_again() -> RayServiceHistory:
    """A change of an active service, up to the name of its next cluster."""
    return steady().edit_cluster(rayVersion="2.53.0").run()


def changed(way: Way) -> Way:
    return lambda: way().edit_cluster(rayVersion="2.99.0")


def ready(way: Way) -> Way:
    """The pending cluster serves, and its doors are known to be open."""

    def go() -> RayServiceHistory:
        life = way()
        head = life.head_starts(life.name("pending"))
        head.deploys, head.workers = "RUNNING", 1
        while act_of(life.see()) is Act.WAIT:
            life.run().talk()
        return life

    return go


def moved(way: Way) -> Way:
    """The Services select the pending cluster, and the process ended before it said so; the cluster serves no more."""

    def go() -> RayServiceHistory:
        life = ready(way)()
        life.crash_after = frozenset({"serve service"})
        life.run()
        life.edit(serveConfigV2=config("another"))
        return life

    return go


@pytest.mark.parametrize(
    ("way", "stage", "act"),
    [
        (nothing, Stage.NOTHING, Act.PREPARE),
        (named, Stage.NAMED, Act.CREATE),
        (first, Stage.FIRST, Act.WAIT),
        (changed(first), Stage.FIRST, Act.PREPARE),
        (ready(first), Stage.FIRST, Act.TAKE_OVER),
        (moved(first), Stage.FIRST, Act.TAKE_OVER),
        (steady, Stage.STEADY, Act.KEEP),
        (changed(steady), Stage.STEADY, Act.PREPARE),
        (named_again, Stage.NAMED, Act.CREATE),
        (upgrade, Stage.UPGRADE, Act.WAIT),
        (changed(upgrade), Stage.UPGRADE, Act.PREPARE),
        (ready(upgrade), Stage.UPGRADE, Act.TAKE_OVER),
        (moved(upgrade), Stage.UPGRADE, Act.TAKE_OVER),
    ],
)
def test_a_pass_does_what_its_row_says_and_leads_to_where_it_says(way: Way, stage: Stage, act: Act) -> None:
    life = way()
    assert (stage_of(life.see()), act_of(life.see())) == (stage, act)

    life.run()

    assert stage_of(life.see()) in LEADS_TO.get(act, (stage,))


def test_every_stage_has_a_row_whose_last_rule_always_holds() -> None:
    assert RULES.keys() == set(Stage)
    assert all(row[-1][0] is always for row in RULES.values())
    assert {act for row in RULES.values() for _, act in row} == set(Act)


@pytest.mark.parametrize("spec", [{"upgradeStrategy": {"type": "None"}}, incremental()])
def test_with_a_strategy_that_replaces_nothing_a_service_stays_where_it_is(spec: Json) -> None:
    life = RayServiceHistory(rayservice(**spec))
    life.serving()

    life.edit_cluster(rayVersion="2.99.0")

    assert act_of(life.see()) is Act.KEEP
