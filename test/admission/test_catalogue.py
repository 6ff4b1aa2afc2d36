"""The catalogue (README.md beside this file): what is broken is found, whole and at its place; what is right passes.

An object goes the way it goes in an API server: its schema prunes it, fills it in and may refuse it; then the rules
of admission are asked, as by an ordinary user in a cluster with cert-manager and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml

from api.v1.gates import DEFAULT_GATES
from api.v1.raycluster import RayCluster
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from api.v1.rules.settings import AdmissionSettings, Profile
from api.v1.spelling import spelt_alike
from api.v1.wire import MANAGER
from controller.admission import context_of
from controller.ray.concerns import concern_of
from controller.ray.options import Options
from controller.ray.raycluster import validation as raycluster
from controller.ray.raycluster.seen import Seen
from controller.ray.raycronjob import validation as raycronjob
from controller.ray.rayjob import validation as rayjob
from controller.ray.rayservice import validation as rayservice
from controller.runtime.plan import Announcement
from controller.settings import options_from
from localcluster.apiserver.kinds.base import DecodeError
from localcluster.apiserver.metadata import decode_metadata
from localcluster.testing.raycronjob_history import RayCronJobHistory
from localcluster.testing.rayjob_history import RayJobHistory
from localcluster.testing.rayservice_history import RayServiceHistory
from manta.documents import read_documents
from manta.findings import UNPLACED, Target, findings
from manta.served import Nowhere, ServedKind, served_kind
from manta.wording import decoding_trouble

HERE: Final = Path(__file__).parent
BAD: Final = sorted((HERE / "bad").glob("*.yaml"))
GOOD: Final = sorted((HERE / "good").glob("*.yaml"))
CREATED: Final = [path for path in (*BAD, *GOOD) if "\n# operation: update\n" not in path.read_text()]
SCHEMA: Final = "SCHEMA"
# The catalogue is of objects that any operator may meet. What ours does not do yet is one rule with a test of its own.
ANY_OPERATOR: Final = AdmissionSettings(rules={"XC17": "off"})

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A file of the catalogue: its header, the object, and the one before it on an update."""

    expected: frozenset[str]  # "RV02 deny spec.rayVersion"
    gates: Mapping[str, bool]
    new: Json
    old: Json | None


def case_of(path: Path) -> Case:
    """Read a file. Its header is the comment lines at its top."""
    text = path.read_text()
    header = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    facts = [tuple(line.split(": ", 1)) for line in header if ": " in line]
    expected = frozenset(value.strip() for name, value in facts if name == "expect")
    switched = [one.split("=") for name, value in facts if name == "gates" for one in value.strip().split(",")]
    *before, new = yaml.safe_load_all(text)
    gates = {**DEFAULT_GATES, **{name: value == "true" for name, value in switched}}
    return Case(expected, gates, new, before[0] if before else None)


def found_in(case: Case) -> frozenset[str]:
    """What a user hears of it, in the words of the catalogue. What the schema refuses no rule ever sees."""
    old = stored(case.old) if case.old is not None else None
    try:
        served, new = shaped(case.new)
    except DecodeError as error:
        return refused_by_schema([decoding_trouble(str(error), str(case.new["kind"]))[0]])
    if old is None:
        causes = served.rules.validate(new, Nowhere())
    else:
        new = {**new, "status": old.get("status", {})}
        causes = served.rules.validate_changed(new, old, Nowhere(), status=False)
    if causes:
        return refused_by_schema(cause.field for cause in causes if cause.field != UNPLACED)
    verdict = judge(str(new["kind"]), new, old, Context(case.gates, admission=ANY_OPERATOR))
    return frozenset(f"{one.rule} {one.severity.value} {one.path}" for one in (*verdict.denials, *verdict.warnings))


def refused_by_schema(paths: Iterable[str]) -> frozenset[str]:
    """Its causes, CEL's included; the paths are spelt as the API server spells them."""
    return frozenset(f"{SCHEMA} deny {path}" for path in paths)


def shaped(object_: Json) -> tuple[ServedKind, Json]:
    """The kind, and the object pruned and filled in. Raises DecodeError."""
    served = served_kind(str(object_["apiVersion"]), str(object_["kind"]))
    assert served is not None, f"{object_['kind']} is no kind of Ray's"
    metadata, _, wrong = decode_metadata(object_["metadata"])
    if wrong:
        raise DecodeError(wrong)
    body, _ = served.rules.decode({**object_, "metadata": metadata})
    return served, body


def stored(object_: Json) -> Json:
    """An object that is in the cluster already, whatever its schema says today."""
    return shaped(object_)[1]


def told(names: Sequence[Path]) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in names]


@pytest.mark.parametrize("path", told(BAD))
def test_what_is_broken_is_found_whole_and_at_its_place(path: Path) -> None:
    case = case_of(path)

    assert case.expected, "a broken manifest says what should be found"
    assert sorted(found_in(case)) == sorted(case.expected)


@pytest.mark.parametrize("path", told(GOOD))
def test_what_is_right_passes_without_a_word(path: Path) -> None:
    assert sorted(found_in(case_of(path))) == []


@pytest.mark.parametrize("path", told(CREATED))
def test_lint_tells_the_same_of_what_is_created(path: Path) -> None:
    """It goes on where the server stops: beside what the schema refuses it may tell what rules find.

    It knows no object before this one.
    """
    case = case_of(path)

    found = findings(read_documents(str(path)), Target(Context(case.gates, admission=ANY_OPERATOR)))

    lines = {f"{one.rule or SCHEMA} {one.weight} {one.path}" for one in found}
    refused = {line for line in lines if line.startswith(SCHEMA)}
    assert sorted(refused or lines) == sorted(case.expected)


@pytest.mark.parametrize("path", told(CREATED))
@pytest.mark.spec("admission:P6")
def test_what_is_stored_may_be_written_back_in_another_spelling(path: Path) -> None:
    """As a program with a typed model does that adds a finalizer: quantities anew, without what is empty.

    Not even the strict profile refuses that, whatever is wrong with the object.
    """
    case = case_of(path)
    kind, old = taken(case)
    if old is None:
        return
    old = {**old, "status": {"state": "ready", "jobDeploymentStatus": "Running", "rayClusterName": "x"}}
    new = {**old, "spec": spelt_alike(old["spec"])}
    strict = Context(case.gates, admission=AdmissionSettings(profile=Profile.STRICT))

    assert judge(kind, new, old, strict).denials == []


@pytest.mark.parametrize("path", told(CREATED))
@pytest.mark.spec("admission:P1")
def test_the_reconcile_loop_refuses_what_the_reference_refuses_and_runs_the_rest(path: Path) -> None:
    """With the reference's event, of the first thing that is wrong. What admission alone refuses is told of.

    What this operator cannot do yet it refuses as well, and says that it cannot.
    """
    case = case_of(path)
    kind, new = taken(case)
    if new is None:
        return
    rules = {rule.id: rule for rule in RULES_BY_KIND[kind]}
    options = options_from({}, {}, case.gates, cron_backfill_limit=0)
    webhook = context_of(options, AdmissionSettings())
    denials = [one.rule for one in judge(kind, new, None, webhook).denials]
    refusing = [one for one in denials if rules[one].enforced]

    event, concern = REFUSALS[kind](new, options), concern_of(kind, new, webhook)

    if refusing:
        assert event is not None
        assert (event.type, event.action, event.reason) == ("Warning", "Validate", rules[refusing[0]].reason)
        assert f"[{refusing[0]}]" in event.note
    else:
        assert event is None or "not supported yet" in event.note
    silent = [one for one in denials if not rules[one].fixed and f"[{one}]" not in concern and "more" not in concern]
    assert silent == []
    assert bool(concern) == any(not rules[one].fixed for one in denials)


def taken(case: Case) -> tuple[str, Json | None]:
    """The kind, and the object as it is stored; None if it is not, or is another's to work on."""
    kind = str(case.new["kind"])
    try:
        served, new = shaped(case.new)
    except DecodeError:
        return kind, None
    if served.rules.validate(new, Nowhere()) or new["spec"].get("managedBy", MANAGER) != MANAGER:
        return kind, None
    metadata = {"namespace": "default", "uid": "u", "generation": 1, **new["metadata"]}
    metadata.setdefault("name", metadata.get("generateName", "") + "xxxxx")
    return kind, {**new, "metadata": metadata}


REFUSALS: Final[Mapping[str, Callable[[Json, Options], Announcement | None]]] = {
    "RayCluster": lambda new, options: raycluster.refusal(Seen(object=new, cluster=RayCluster.from_json(new)), options),
    "RayJob": lambda new, options: rayjob.complaint(RayJobHistory(new, options).see()),
    "RayService": lambda new, options: rayservice.complaint(RayServiceHistory(new, options).see()),
    "RayCronJob": lambda new, options: raycronjob.complaint(RayCronJobHistory(new, options).see()),
}


def test_the_catalogue_is_as_large_as_it_was_meant_to_be() -> None:
    """At least 150 broken ones, 30 of them from threads, and 80 right ones."""
    from_threads = [path for path in BAD if "\n# thread: " in "\n" + path.read_text()]

    assert len(BAD) >= 150
    assert len(from_threads) >= 30
    assert len(GOOD) >= 80
