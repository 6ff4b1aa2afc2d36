"""All rules about a RayCronJob, in the order in which the reconcile loop reports them (spec rayjob §12.4).

The template inside is judged by the rules about a RayJob's spec, as one without name and annotations (N6); those
findings keep the job rule's id, under the path where the field really stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from api.v1.cron import BadSchedule, UnknownZone, parse_schedule, zone_of
from api.v1.rules import rayjob
from api.v1.rules.metadata import name_rules
from api.v1.rules.model import Context, Finding, Rule, Severity, Subject, remembered
from api.v1.rules.typed import child

__all__ = ["ENFORCED", "RULES", "SPEC_REASON"]

KIND: Final = frozenset({"RayCronJob"})
SPEC_REASON: Final = "InvalidRayCronJobSpec"  # whatever is wrong, the name included
TEMPLATE: Final = "spec.jobTemplate"
SINCE: Final = datetime(
    2000, 1, 1, tzinfo=UTC
)  # what does not fire in the five years after, leap day included, never does

CronCheck = Callable[[Mapping[str, Any]], Iterator[Finding]]


def _deny(id_: str, path: str, message: str, value: Any = None, hint: str = "") -> Finding:
    return Finding(id_, Severity.DENY, path, message, value, hint)


def zone_in_schedule(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """N2: there is a field for it."""
    schedule = _schedule(spec)
    if "TZ" in schedule:
        message = "cannot use TZ or CRON_TZ in schedule, use timeZone instead"
        yield _deny("N2", "spec.schedule", message, schedule)


def schedule_unreadable(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """N3"""
    schedule = _schedule(spec)
    if "TZ" in schedule:
        return  # told already
    try:
        parse_schedule(schedule)
    except BadSchedule as error:
        hint = "minute, hour, day of month, month and day of week, as in `30 6 * * mon-fri`, or a word such as @daily"
        yield _deny("N3", "spec.schedule", f"invalid cron schedule: {error}", schedule, hint)


def zone_empty(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """N4: the schema has the same bound."""
    if spec.get("timeZone") == "":
        message = "timeZone must not be empty; leave it out to use the time zone of the operator"
        yield _deny("N4", "spec.timeZone", message, "")


def zone_unknown(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """N5"""
    name = spec.get("timeZone")
    if not name:
        return
    try:
        zone_of(str(name))
    except UnknownZone as error:
        hint = "names are those of the IANA database, as in Europe/Berlin; capitals count"
        yield _deny("N5", "spec.timeZone", f"invalid time zone: {error}", name, hint)


def never_fires(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """CR02: there is no 30th of February. In which zone does not matter."""
    try:
        first = parse_schedule(_schedule(spec)).after(SINCE)
    except BadSchedule:
        return
    if first is None:
        message = f"the schedule {_schedule(spec)!r} never comes round: no RayJob will be made"
        yield _deny("CR02", "spec.schedule", message, spec.get("schedule"), "check day and month")


def _schedule(spec: Mapping[str, Any]) -> str:
    return str(spec.get("schedule") or "")


def _rule(id_: str, search: CronCheck, *, enforced: bool = True) -> Rule:
    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
        return search(child(new, "spec"))

    return Rule(id_, Severity.DENY, KIND, find, SPEC_REASON, enforced=enforced)


def _job_of(new: Mapping[str, Any]) -> Mapping[str, Any]:
    """A RayJob like those that will be made of the template, but without name and annotations."""
    return Subject({"kind": "RayJob", "spec": child(new, "spec", "jobTemplate")})


def _of_template(rule: Rule) -> Rule:
    """A rule about a RayJob's spec, for the template of a RayCronJob (N6)."""

    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
        if child(new, "spec").get("jobTemplate") is None:
            return
        for found in rule.find(remembered(new, "template", lambda: _job_of(new)), None, context):
            path = TEMPLATE + found.path.removeprefix("spec") if found.path.startswith("spec.") else found.path
            yield replace(found, path=path, message=f"invalid RayJob template: {found.message}")

    return Rule(rule.id, rule.severity, KIND, find, SPEC_REASON, enforced=rule.enforced, block=rule.block)


# A name that is no DNS label is not refused at reconcile: the RayJobs made under it are.
_TOO_LONG, _NO_LABEL = (replace(rule, reason=SPEC_REASON) for rule in name_rules("RayCronJob", "M7", "NM02"))

ENFORCED: Final[tuple[Rule, ...]] = (
    _TOO_LONG,
    _rule("N2", zone_in_schedule),
    _rule("N3", schedule_unreadable),
    _rule("N4", zone_empty),
    _rule("N5", zone_unknown),
    *(_of_template(rule) for rule in rayjob.ABOUT_SPEC),
)
RULES: Final[tuple[Rule, ...]] = (
    _TOO_LONG,
    replace(_NO_LABEL, enforced=False),
    *ENFORCED[1:],
    *(_of_template(rule) for rule in rayjob.RULES if not rule.enforced),
    _rule("CR02", never_fires, enforced=False),
)
