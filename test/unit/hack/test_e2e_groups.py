"""How the end-to-end tests are shared out among nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.e2e.__main__ import grouped

SUITES = [str(one) for one in sorted(Path(__file__).parents[2].joinpath("e2e").glob("*/")) if one.name != "local"]


def test_every_suite_is_in_one_group() -> None:
    groups = grouped(SUITES, "bare")

    assert sorted(suite for group in groups.values() for suite in group) == sorted(SUITES)
    assert len(groups) == 2


@pytest.mark.parametrize("provider", ["kind", "current"])
def test_what_has_one_cluster_has_one_run(provider: str) -> None:
    assert grouped(SUITES, provider) == {"all": SUITES}


def test_a_single_test_is_no_two_groups() -> None:
    only = ["test/e2e/rayjob/test_rayjob.py::test_a_finished_job[HTTPMode]"]

    assert grouped(only, "bare") == {"at-work": only}


def test_suites_that_take_the_operator_away_are_on_another_node_than_those_that_need_it() -> None:
    groups = grouped(["test/e2e/operator", "test/e2e/rayjob", "test/e2e/node"], "bare")

    assert groups == {"installed": ["test/e2e/operator", "test/e2e/node"], "at-work": ["test/e2e/rayjob"]}
