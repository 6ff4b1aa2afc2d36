"""What a Lease says and what follows from it (spec runtime LE-3, LE-4). Pure: no clock, no request.

Times in the record are for people. What counts is when *we* last saw the record change, by a clock of our own: a
skewed wall clock can neither steal a lease nor keep one alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from api.core import LEASES
from api.meta import Json, format_micro_time

__all__ = ["Timing", "View", "fault_of", "holder_of", "judge", "lease_body", "released"]

JITTER = 1.2  # LE-1: of the retry period, added at random, so that standbys do not march in step
WRITE_MARGIN_SECONDS = 1.0  # LE-7: after the renew deadline nothing is sent; that much for a renewal under way
WAY_SECONDS = 1.0  # the least that a write needs to reach the server, which must have it before another may lead
RELEASED_SECONDS = 1  # LE-5: a released lease is free at once, also for those who look at the duration


def fault_of(
    duration: float,
    renew_deadline: float,
    retry: float,
    *,
    names: Sequence[str] = ("lease duration", "renew deadline", "retry period"),
) -> str:
    """Why these seconds could give two leaders, or none for long, in a sentence with those names; "" if they cannot.

    client-go asks for duration > renew deadline > 1.2 * retry period. Ours asks for more of the duration, since a
    leader's last write may leave after the deadline.
    """
    of_duration, of_deadline, of_retry = names
    margin = WRITE_MARGIN_SECONDS + WAY_SECONDS
    if not retry > 0:
        return f"{of_retry} must be more than 0, not {retry:g} s"
    if not renew_deadline > JITTER * retry:
        return (
            f"{of_deadline} must be more than {JITTER * retry:g} s, not {renew_deadline:g} s: {JITTER:g} times "
            f"{of_retry}, since one renewal that comes late must not cost the lease"
        )
    if not duration > renew_deadline + margin:
        return (
            f"{of_duration} must be more than {renew_deadline + margin:g} s, not {duration:g} s: {margin:g} s longer "
            f"than {of_deadline}, since writes leave until {WRITE_MARGIN_SECONDS:g} s after that, and must have "
            "arrived before another may lead"
        )
    if duration != int(duration):
        return f"{of_duration} must be whole seconds, as the Lease holds it, not {duration:g} s"
    return ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Safe as long as two machines' clocks run at rates closer than `duration / renew_deadline` (LE-4)."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError."""
        fault = fault_of(self.duration, self.renew_deadline, self.retry)
        if fault:
            raise ValueError(fault)

    @property
    def try_seconds(self) -> float:
        """For one try, so that a hanging request cannot use up the deadline (LE-2)."""
        return max(1.0, self.renew_deadline / 2)


@dataclass(frozen=True, slots=True)
class View:
    """The Lease as last seen, and when it was last seen to change. None: never seen, or not there."""

    lease: Json | None = None
    changed_at: float = float("-inf")

    def seeing(self, lease: Json | None, now: float) -> View:
        """After a read: the time moves only when the record did."""
        if lease is None or self.lease is None or spec_of(lease) != spec_of(self.lease):
            return replace(self, lease=lease, changed_at=now)
        return replace(self, lease=lease)


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else holds it."""

    holder: str


# What to write now (create when the Lease is not there), or that somebody else holds it.
Judgement: TypeAlias = Taken | Json


def judge(
    view: View, timing: Timing, *, namespace: str, name: str, identity: str, now: float, wall: datetime
) -> Judgement:
    """LE-3 d and e: the Lease to write, with the version that was seen, or who holds it."""
    if view.lease is None:
        return lease_body(namespace, name, identity, timing, wall)
    spec = spec_of(view.lease)
    holder = holder_of(view.lease)
    expires_at = view.changed_at + float(spec.get("leaseDurationSeconds") or 0)
    if holder not in ("", identity) and now < expires_at:
        return Taken(holder)
    ours = holder == identity
    moment = format_micro_time(wall)
    return {
        **view.lease,
        "spec": {
            **spec,
            "holderIdentity": identity,
            "leaseDurationSeconds": int(timing.duration),
            "renewTime": moment,
            "acquireTime": spec.get("acquireTime") or moment if ours else moment,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if ours else 1),
        },
    }


def lease_body(namespace: str, name: str, identity: str, timing: Timing, wall: datetime) -> Json:
    """A Lease that nobody held before."""
    moment = format_micro_time(wall)
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "holderIdentity": identity,
            "leaseDurationSeconds": int(timing.duration),
            "acquireTime": moment,
            "renewTime": moment,
            "leaseTransitions": 0,
        },
    }


def released(lease: Json, wall: datetime) -> Json:
    """The Lease given up (LE-5): whoever tries next gets it."""
    moment = format_micro_time(wall)
    given_up = {
        "holderIdentity": "",
        "leaseDurationSeconds": RELEASED_SECONDS,
        "renewTime": moment,
        "acquireTime": moment,
    }
    return {**lease, "spec": {**spec_of(lease), **given_up}}


def holder_of(lease: Json) -> str:
    """Who holds it by its own word; "" for nobody."""
    return str(spec_of(lease).get("holderIdentity") or "")


def spec_of(lease: Json) -> dict[str, Any]:
    """Its spec, perhaps empty: people edit Leases too."""
    return lease.get("spec") or {}
