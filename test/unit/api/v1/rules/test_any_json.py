"""Whatever JSON is judged, nothing raises, and the same is said twice."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.judging import SKIPPED, Verdict, judge
from api.v1.rules.model import Context, Severity
from api.v1.rules.settings import AdmissionSettings, Profile
from localcluster.testing.shaped import KINDS, shaped_object, spoilt

OBJECTS: Final = int(os.environ.get("MANTA_FUZZ", "30"))  # of each kind and hostility
SEED: Final = os.environ.get("MANTA_FUZZ_SEED", "")  # another one makes other objects
OPEN: Final = Context(dict.fromkeys(DEFAULT_GATES, True), admission=AdmissionSettings(profile=Profile.STRICT))
SLOWEST_SECONDS: Final = 1.0  # most take one or two thousandths of that; the API server waits for five
SHUT: Final = Context({}, cert_manager=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=30,
)


def judged_in_time(kind: str, new: Any, old: Any, context: Context) -> Verdict:
    """By this process's own time: the machine may be busy with something else."""
    began = time.process_time()
    verdict = judge(kind, new, old, context)
    took = time.process_time() - began
    assert took < SLOWEST_SECONDS, f"{took:.2f} s for {str(new)[:2000]}"
    return verdict


def whole(kind: str, verdict: Verdict) -> bool:
    """Is each finding one that can be shown: of a rule of the kind, with a message and a severity of its list?"""
    ids = {rule.id for rule in RULES_BY_KIND.get(kind, ())} | {SKIPPED}
    denials = all(one.severity is Severity.DENY for one in verdict.denials)
    warnings = all(one.severity is Severity.WARN for one in verdict.warnings)
    known = all(one.rule in ids and one.message and str(one) for one in (*verdict.denials, *verdict.warnings))
    return denials and warnings and known


@pytest.mark.parametrize("hostility", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_objects_along_the_schema_and_against_it_are_judged(kind: str, hostility: float) -> None:
    """On create, on update from another such object, with every gate on and with every gate off."""
    chance = random.Random(f"{kind} {hostility}{SEED}")
    for _ in range(OBJECTS):
        old, new = shaped_object(kind, chance, hostility), shaped_object(kind, chance, hostility)
        for context in (OPEN, SHUT):
            for before in (None, old):
                verdict = judged_in_time(kind, new, before, context)
                assert whole(kind, verdict)
                assert judge(kind, new, before, context) == verdict or has_nan(new)


def has_nan(node: Any) -> bool:
    """Which equals nothing, not even itself."""
    if isinstance(node, dict):
        return any(has_nan(one) for one in node.values())
    if isinstance(node, list):
        return any(has_nan(one) for one in node)
    return isinstance(node, float) and node != node


@settings(derandomize=True, database=None, deadline=None, max_examples=150)
@given(kind=st.sampled_from(KINDS), body=JSON, old=JSON)
def test_any_json_at_all_is_judged(kind: str, body: Any, old: Any) -> None:
    """As a spec, as metadata, and as the whole."""
    for new in ({"kind": kind, "spec": body, "metadata": old, "status": body}, body if isinstance(body, dict) else {}):
        for before in (None, {"kind": kind, "spec": old}, old if isinstance(old, dict) else {}):
            assert whole(kind, judge(kind, new, before, OPEN))


@pytest.mark.parametrize("kind", KINDS)
def test_one_spoilt_value_anywhere_is_no_stumbling_block(kind: str) -> None:
    """In an object that is otherwise whole, so that rules read on behind it."""
    chance = random.Random(f"{kind}{SEED}")
    for _ in range(OBJECTS):
        new = shaped_object(kind, chance)
        spoil(new, chance)
        assert whole(kind, judged_in_time(kind, new, None, OPEN))


def spoil(node: Any, chance: random.Random) -> None:
    """Put something else in one place; deeper places are as likely as shallow ones."""
    while True:
        inner: list[Any] = list(node if isinstance(node, dict) else range(len(node)))
        if not inner:
            return
        key = chance.choice(inner)
        if key not in ("kind", "apiVersion") and (not isinstance(node[key], dict | list) or chance.random() < 0.15):
            node[key] = spoilt(chance)
            return
        if not isinstance(node[key], dict | list):
            return
        node = node[key]
