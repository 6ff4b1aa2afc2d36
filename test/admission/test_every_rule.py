"""Each rule is shown three times: an object in which it finds something, one that it nearly finds fault with, a page.

The objects are files of the catalogue, or rows of the tables of the rules' own tests (CASES holds both sides, FOUND and
NEAR one each). Those tests and the catalogue prove that the rows and files are what they say.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from api.v1.rules.families import RULES_BY_KIND

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
RULES: Final = {rule.id for rules in RULES_BY_KIND.values() for rule in rules}
OWN_TESTS: Final = [ast.parse(path.read_text()) for path in (ROOT / "test/unit/api/v1/rules").glob("test_*.py")]

# Shown by a test of their own, both sides or the one that is nowhere else: most need a setting, something else in the
# cluster, or a status.
IN_ONE_TEST: Final[Mapping[str, str]] = {
    "C66": "test_tls_needs_cert_manager_once_it_is_on",
    "GPU24": "test_a_taint_of_gpu_nodes_must_be_tolerated_where_the_owner_lists_it",
    "GPU26": "test_a_gpu_that_no_node_has_is_told_where_the_owner_lists_what_there_is",
    "J34": "test_a_job_that_waits_for_its_user_must_stay_interactive",
    "MV13": "test_a_restarted_submitter_needs_a_ray_that_finds_its_job_again",
    "MV15": "test_a_serve_configuration_of_several_applications_needs_ray_2_4",
    "N4": "test_each_mistake_is_refused_by_its_rule_with_its_path",
    "NM16": "test_the_address_of_the_head_is_a_dns_name",
    "RP08": "test_workers_that_kubelet_restarts_under_autoscaler_v1_are_told_of_once_in_every_kind",
    "RP11": "test_workers_marked_for_deletion_by_hand_are_told_of",
    "RP13": "test_a_cap_counts_the_pods_that_would_be_made",
    "RV01": "test_an_unset_version_is_told_only_where_nobody_fills_it_in",
    "RV11": "test_a_submitter_is_compared_with_the_cluster_that_is_selected_where_that_is_known",
    "V5": "test_a_spec_that_cannot_run_is_refused",
    "XC02": "test_what_is_not_there_on_purpose_was_not_lost",
    "XC05": "test_who_manages_what_runs_stays_as_it_is",
    "XC06": "test_a_manager_that_is_not_there_is_told_of_only_where_somebody_turns_the_rule_on",
    "XC15": "test_a_priority_class_that_is_not_there_is_warned_of",
}


def in_catalogue(folder: str, word: str, *, each: bool) -> set[str]:
    """The ids in the header lines of that word; `each`: all words of the line are ids, else only the first is."""
    lines = [line for path in (HERE / folder).glob("*.yaml") for line in path.read_text().splitlines()]
    told = [line.removeprefix(f"# {word}: ").split() for line in lines if line.startswith(f"# {word}: ")]
    return {id_ for ids in told for id_ in (ids if each else ids[:1])}


def in_tables(*names: str) -> set[str]:
    """The ids with which the rows of those tables begin."""
    return {id_ for tree in OWN_TESTS for node in tree.body for id_ in begun_with(node, names)}


def begun_with(node: ast.stmt, names: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in names:
        for row in node.value.elts if isinstance(node.value, ast.List) else ():
            match row:
                case ast.Tuple(elts=[ast.Constant(value=str(id_)), *_]):
                    yield id_


def test_each_rule_finds_something_in_an_object() -> None:
    shown = in_catalogue("bad", "expect", each=False) | in_tables("CASES", "FOUND")

    assert sorted(RULES - shown - IN_ONE_TEST.keys()) == []


def test_each_rule_lets_an_object_pass_that_it_nearly_finds_fault_with() -> None:
    shown = in_catalogue("good", "near", each=True) | in_tables("CASES", "NEAR")

    assert sorted(RULES - shown - IN_ONE_TEST.keys()) == []


def test_each_rule_has_its_place_on_the_page() -> None:
    headings = {line.removeprefix("### ") for line in (ROOT / "docs/rules.md").read_text().splitlines()}

    assert sorted(RULES - headings) == []


def test_what_one_test_shows_is_there_and_nowhere_else() -> None:
    """A test that was renamed or dropped shows nothing."""
    tests = {one.name for tree in OWN_TESTS for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    found = in_catalogue("bad", "expect", each=False) | in_tables("CASES", "FOUND")
    near = in_catalogue("good", "near", each=True) | in_tables("CASES", "NEAR")

    assert sorted(set(IN_ONE_TEST.values()) - tests) == []
    assert sorted(IN_ONE_TEST.keys() - RULES) == []
    assert sorted(IN_ONE_TEST.keys() & found & near) == []
