"""What is wrong with a RayCronJob, as the event that says so (spec rayjob §12.4). Pure; the rules are the API's."""

from __future__ import annotations

from api.v1.rules.model import Context, first_denial
from api.v1.rules.raycronjob import ENFORCED, SPEC_REASON
from controller.ray.raycronjob.seen import Seen
from controller.runtime.plan import Announcement

__all__ = ["complaint"]


def complaint(seen: Seen) -> Announcement | None:
    """The first thing that is wrong, or None. Its note is `<namespace>/<name>: <error>`."""
    if seen.malformed:
        return _warning(seen, seen.malformed)
    denial = first_denial(ENFORCED, seen.cron, None, Context(seen.options.gates.by_name))
    return _warning(seen, str(denial)) if denial is not None else None


def _warning(seen: Seen, error: str) -> Announcement:
    return Announcement("Warning", SPEC_REASON, "Validate", f"{seen.where}: {error}")
