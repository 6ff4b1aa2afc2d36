"""A RayCronJob's life without a cluster: passes over a world of plain objects, for pure tests of its judgement.

Each pass observes, decides, carries the write out on the world (or refuses it), and reports, as the controller does.
Between passes time goes by as it does for a work queue, which measures intervals: `passes` lets it, `jumps` sets the
wall clock alone, `is_down` is time without an operator.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from api.meta import Json, format_time
from controller.ray.options import Options
from controller.ray.raycronjob.decide import decide
from controller.ray.raycronjob.seen import Seen, spec_of
from controller.ray.raycronjob.status import Report, report, result_of
from controller.ray.raycronjob.validation import complaint
from controller.runtime.errors import Forbidden
from controller.runtime.plan import Announcement, Create, Outcome, Verdict, ref_of

__all__ = ["START", "RayCronJobHistory", "raycronjob"]

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEMPLATE: Json = {
    "entrypoint": "python x.py",
    "submissionMode": "K8sJobMode",
    "rayClusterSpec": {
        "headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}]}}}
    },
    "backoffLimit": 0,
    "ttlSecondsAfterFinished": 0,
}
BACKOFF = timedelta(seconds=10)  # after a pass that failed; the queue's own grows


def raycronjob(schedule: str, name: str = "nightly", created: datetime = START, **spec: Any) -> Json:
    """A RayCronJob as it is stored; `spec` by wire names."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCronJob",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": format_time(created),
        },
        "spec": {"schedule": schedule, "jobTemplate": copy.deepcopy(TEMPLATE)} | spec,
    }


class RayCronJobHistory:
    """The world of one RayCronJob; change its fields between passes."""

    def __init__(self, cron: Json, options: Options | None = None, now: datetime = START) -> None:
        self.cron, self.options, self.now = cron, options or Options(), now
        self.jobs: dict[str, Json] = {}  # all that were ever made, by name, in order
        self.refuse = False
        self.foreign: set[str] = set()  # names that are taken
        self.events: list[Announcement] = []
        self.status_writes = 0
        self.passes_run = 0
        self.error: Exception | None = None
        self.requeue_after: timedelta | None = None
        self._judged: tuple[str, Announcement | None] | None = None

    @property
    def ticks(self) -> list[str]:
        """Of the RayJobs that were made, in their order."""
        return [one["metadata"]["annotations"]["ray.io/cronjob-scheduled-timestamp"] for one in self.jobs.values()]

    @property
    def last(self) -> str:
        """status.lastScheduleTime, "" before there is one."""
        return str((self.cron.get("status") or {}).get("lastScheduleTime") or "")

    @property
    def reasons(self) -> list[str]:
        """Reasons of all events so far."""
        return [event.reason for event in self.events]

    def edit(self, **spec: Any) -> RayCronJobHistory:
        """Somebody changes the spec, which wakes the controller."""
        self.cron["spec"] |= spec
        return self.run()

    # Time

    def passes(self, **interval: float) -> RayCronJobHistory:
        """So much time goes by, with a pass whenever one was asked for."""
        left = timedelta(**interval)
        while self.requeue_after is not None and self.requeue_after <= left:
            left -= self.requeue_after
            self.now += self.requeue_after
            self.run()
        self.now += left
        if self.requeue_after is not None:
            self.requeue_after -= left
        return self

    def until(self, moment: datetime) -> RayCronJobHistory:
        """Time goes by until the wall clock shows that."""
        return self.passes(seconds=(moment - self.now).total_seconds())

    def jumps(self, **interval: float) -> RayCronJobHistory:
        """The wall clock is set."""
        self.now += timedelta(**interval)
        return self

    def is_down(self, **interval: float) -> RayCronJobHistory:
        """No operator runs for so long; one that starts looks at everything once."""
        self.now += timedelta(**interval)
        return self.run()

    # A pass

    def see(self) -> Seen:
        """The RayCronJob as observed now."""
        cron = copy.deepcopy(self.cron)
        spec, malformed = spec_of(cron)
        assert spec is not None
        return Seen(cron, spec, self.options, malformed)

    def run(self, seen: Seen | None = None) -> RayCronJobHistory:
        """One pass, on what it sees or on an older view."""
        stale = seen is not None
        seen = seen if seen is not None else self.see()
        decision = decide(seen, self.now, self._complaint(seen))
        told = report(seen, decision, list(self._carried_out(decision.plan.writes)))
        self.events += told.events
        self._publish(told, stale)
        result = result_of(told, self.now)
        self.passes_run += 1
        self.error = result.error
        self.requeue_after = BACKOFF if result.error is not None else result.requeue_after
        return self

    def _complaint(self, seen: Seen) -> Announcement | None:
        """The judgement of a spec is remembered: it is most of a pass, and there are thousands of passes to a year."""
        spec = json.dumps(seen.cron["spec"])
        if self._judged is None or self._judged[0] != spec:
            self._judged = (spec, complaint(seen))
        return self._judged[1]

    def _carried_out(self, writes: tuple[Any, ...]) -> Iterator[Outcome]:
        for write in writes:
            assert isinstance(write, Create)
            name = write.body["metadata"]["name"]
            if self.refuse:
                error = Forbidden("create", ref_of(write), code=403, message="exceeded quota: q", reason="Forbidden")
                yield Outcome(write, Verdict.REFUSED, error=error)
            elif name in self.foreign:
                yield Outcome(write, Verdict.FOREIGN)
            elif name in self.jobs:
                yield Outcome(write, Verdict.ALREADY)
            else:
                self.jobs[name] = copy.deepcopy(write.body)
                yield Outcome(write, Verdict.DONE)

    def _publish(self, told: Report, stale: bool) -> None:
        if told.status is None:
            return
        if stale:
            return  # its resourceVersion is an old one: the server refuses it
        self.status_writes += 1
        self.cron["status"] = told.status
