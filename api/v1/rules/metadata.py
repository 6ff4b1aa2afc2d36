"""Rules about names: M1 to M7 and M11 (spec admission §2.1).

A name is at most 63 characters less the longest suffix that a child adds to it: 53 for a RayCluster ("-serve-svc"),
six less for what makes RayClusters ("-xxxxx"), eleven less again for what makes RayJobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.names import dns1035_problem
from api.v1.rules.reading import children
from api.v1.rules.typed import child, text

__all__ = ["LONGEST_NAME", "name_rules", "unique_group_names"]

LONGEST_NAME: Final[Mapping[str, int]] = {"RayCluster": 53, "RayJob": 47, "RayService": 47, "RayCronJob": 36}


def name_rules(kind: str, too_long: str, no_label: str, *, prefix: str = "") -> tuple[Rule, Rule]:
    """The two rules about an object's own name, under the ids given; messages begin with `prefix`."""
    most, reason = LONGEST_NAME[kind], f"Invalid{kind}Metadata"

    def long(new: Mapping[str, Any]) -> str:
        if (length := len(_name(new))) > most:
            return f"{prefix}{kind} name should be no more than {most} characters; it has {length}"
        return ""

    def odd(new: Mapping[str, Any]) -> str:
        if _to_be_generated(new):
            return ""  # offline; NM03 says what the server would make of it
        if problem := dns1035_problem(_name(new)):
            return f"{prefix}{kind} name should be a valid DNS1035 label: [{problem}]"
        return ""

    def _named(id_: str, say: Callable[[Mapping[str, Any]], str]) -> Rule:
        find = _about_name(id_, say)
        return Rule(id_, Severity.DENY, frozenset({kind}), find, reason, enforced=True, of_metadata=True)

    return (
        _named(too_long, long),
        _named(no_label, odd),
    )


def _name(new: Mapping[str, Any]) -> str:
    return text(child(new, "metadata"), "name")


def _to_be_generated(new: Mapping[str, Any]) -> bool:
    return not _name(new) and bool(child(new, "metadata").get("generateName"))


def _about_name(
    id_: str, say: Callable[[Mapping[str, Any]], str]
) -> Callable[[Mapping[str, Any], Mapping[str, Any] | None, Context], Iterator[Finding]]:
    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
        if message := say(new):
            yield Finding(id_, Severity.DENY, "metadata.name", message, _name(new))

    return find


def _duplicates(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    seen = set()
    for index, group in enumerate(children(new, "spec", "workerGroupSpecs")):
        name = text(group, "groupName")
        if name in seen:
            yield Finding(
                "M11",
                Severity.DENY,
                f"spec.workerGroupSpecs[{index}]",
                "worker group names must be unique",
                name,
            )
        seen.add(name)


# Not enforced: with duplicates that got past admission the reference runs the cluster.
unique_group_names: Final = Rule(
    "M11", Severity.DENY, frozenset({"RayCluster"}), _duplicates, reason="InvalidRayClusterSpec", reference=True
)
