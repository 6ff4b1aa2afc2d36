"""An AdmissionReview's request in, its response out: pure (spec runtime WH-3 to WH-8, admission §4.1 P2, P5).

What a webhook does is a list of steps. Each gets the request as the step before left it, and says what it refuses, what
it warns of, and what it made of the object.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from api.meta import Json
from api.v1.rules.judging import SKIP, Verdict
from api.v1.rules.model import Finding
from api.v1.rules.typed import child, text
from webhooks.patches import operations

__all__ = ["Outcome", "Request", "Step", "answered", "outcome_of", "refused"]

MOST_WARNINGS: Final = 10  # P5; with the length of one, that is well below the 4,096 characters of WH-3
MOST_WARNING: Final = 256  # characters; the API server cuts what is longer
MOST_CAUSES: Final = 100
MOST_VALUE: Final = 80  # characters of an offending value that are shown
MOST_MESSAGE: Final = 8192


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, as far as anybody here wants to know; what is absent or of another type is empty."""

    operation: str = ""
    group: str = ""
    kind: str = ""
    requested_version: str = ""  # in which the client speaks; `object` is in ours
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: str = ""
    dry_run: bool = False
    object: Mapping[str, Any] | None = None
    old_object: Mapping[str, Any] | None = None

    @staticmethod
    def read(request: Mapping[str, Any]) -> Request:
        """From any JSON."""
        object_, old_object = request.get("object"), request.get("oldObject")
        return Request(
            operation=text(request, "operation"),
            group=text(request.get("kind"), "group"),
            kind=text(request.get("kind"), "kind"),
            requested_version=text(request.get("requestKind"), "version"),
            subresource=text(request, "subResource"),
            namespace=text(request, "namespace"),
            name=text(request, "name"),
            user=text(request.get("userInfo"), "username"),
            dry_run=request.get("dryRun") is True,
            object=object_ if isinstance(object_, dict) else None,
            old_object=old_object if isinstance(old_object, dict) else None,
        )

    @property
    def writes(self) -> bool:
        """An object of the kind itself is created or changed: not deleted, not connected to, no subresource of it."""
        return self.operation in ("CREATE", "UPDATE") and self.object is not None and not self.subresource

    @property
    def in_deletion(self) -> bool:
        return bool(child(self.object, "metadata").get("deletionTimestamp"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step says: `denial` is the Status of a refusal, `object` what it made of the object."""

    denial: Json | None = None
    warnings: Sequence[str] = ()
    object: Mapping[str, Any] | None = None
    rules: Sequence[str] = ()  # that spoke; for the audit log


Step: TypeAlias = Callable[[Request], Outcome]


def answered(steps: Sequence[Step], request: Json) -> Json:
    """The response: a refusal ends it, what was changed is one patch, and all warnings are told (WH-8)."""
    raw = now = Request.read(request)
    warnings: list[str] = []
    rules: list[str] = []
    for step in steps:
        outcome = step(now)
        warnings += outcome.warnings
        rules += outcome.rules
        if outcome.denial is not None:
            return _response(False, warnings, rules) | {"status": outcome.denial}
        if outcome.object is not None:
            now = replace(now, object=outcome.object)
    patch = operations(raw.object, now.object) if now.object is not raw.object else []
    return _response(True, warnings, rules) | (_patched(patch) if patch else {})


def _response(allowed: bool, warnings: Iterable[str], rules: Iterable[str]) -> Json:
    response: Json = {"allowed": allowed}
    if told := _limited(warnings):
        response["warnings"] = told
    if spoke := " ".join(dict.fromkeys(rules)):
        response["auditAnnotations"] = {"rules": spoke}
    return response


def _patched(patch: list[Json]) -> Json:
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}


def outcome_of(request: Request, verdict: Verdict) -> Outcome:
    """All that was found, at once."""
    warnings = [_warning(one) for one in verdict.warnings]
    if verdict.skipped:
        warnings.append(f"not held to {', '.join(verdict.skipped)}: metadata.annotations[{SKIP}] says so")
    rules = [one.rule for one in (*verdict.denials, *verdict.warnings)]
    return Outcome(_denial(request, verdict.denials) if verdict.denials else None, warnings, rules=rules)


def _denial(request: Request, found: Sequence[Finding]) -> Json:
    """422 with a cause for each field; 403 where no field is to blame."""
    told = [f"{one.path}: {_cause(one)}" if one.path else _cause(one) for one in found]
    whole = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    name = request.name or text(child(request.object, "metadata"), "generateName")
    if not any(one.path for one in found):
        return refused(403, "Forbidden", _cut(whole, MOST_MESSAGE))
    message = f'{request.kind}.{request.group} "{name}" is invalid: {whole}'
    causes = [{"reason": "FieldValueInvalid", "message": _cause(one), "field": one.path} for one in found[:MOST_CAUSES]]
    details = {"name": name, "group": request.group, "kind": request.kind, "causes": causes}
    return refused(422, "Invalid", _cut(message, MOST_MESSAGE)) | {"details": details}


def refused(code: int, reason: str, message: str) -> Json:
    """A refusal's Status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _cause(finding: Finding) -> str:
    """What Kubernetes says of a field: what stood there, and what is wrong with it; then the rule, and the way out."""
    value = "" if finding.value is None else f"Invalid value: {_shown(finding.value)}: "
    hint = f"; {finding.hint}" if finding.hint else ""
    return f"{value}{finding.message} [{finding.rule}]{hint}"


def _shown(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False, default=str), MOST_VALUE)


def _warning(finding: Finding) -> str:
    """One line; with the way out, where there is room for it."""
    line, hinted = str(finding), f"{finding}; {finding.hint}"
    return hinted if finding.hint and len(hinted) <= MOST_WARNING else line


def _limited(warnings: Iterable[str]) -> list[str]:
    """At most ten lines of printable ASCII, each once, and a last one that counts the others."""
    lines = list(dict.fromkeys(_cut(_ascii(line), MOST_WARNING) for line in warnings))
    kept = lines[:MOST_WARNINGS]
    return [*kept, f"...and {len(lines) - len(kept)} more"] if len(kept) < len(lines) else kept


def _ascii(line: str) -> str:
    plain = line.encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else " " for character in plain)


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else line[: most - 3] + "..."
