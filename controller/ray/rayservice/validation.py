"""What is wrong with a RayService, as the event that says so (spec rayservice §6). Pure; the rules are the API's."""

from __future__ import annotations

from api.v1.rules.model import Context, first_denial
from api.v1.rules.rayservice import ENFORCED, METADATA, SPEC_REASON
from controller.ray.rayservice.seen import Seen
from controller.runtime.plan import Announcement

__all__ = ["complaint"]


def complaint(seen: Seen) -> Announcement | None:
    """The first thing that is wrong, or None. Its note is `<namespace>/<name>: <error>`."""
    # The rules about a spec take its types for granted: of one that cannot be read only the metadata is judged.
    rules = METADATA if seen.malformed else ENFORCED
    denial = first_denial(rules, seen.service, None, Context(seen.options.gates.by_name))
    if denial is not None:
        return _warning(seen, denial.reason or SPEC_REASON, str(denial))
    return _warning(seen, SPEC_REASON, seen.malformed) if seen.malformed else None


def _warning(seen: Seen, reason: str, error: str) -> Announcement:
    where = f"{seen.metadata['namespace']}/{seen.metadata['name']}"
    return Announcement("Warning", reason, "Validate", f"{where}: {error}")
