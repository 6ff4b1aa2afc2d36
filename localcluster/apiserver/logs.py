"""`pods/log`: which container is meant, what is refused, and which part of its output goes out (kube-api LOG-1, LOG-2).

The output itself comes from a `LogSource`, which the node registers. It keeps no times per line, so `sinceSeconds`,
`sinceTime` and `timestamps` are checked but change nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

from localcluster.api import Json, Refusal

__all__ = ["LogOptions", "LogSource", "check_container", "log_bytes", "log_options"]


class LogSource(Protocol):
    """Where a container's output is kept."""

    def __call__(self, pod: Json, container: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
        """All output so far, and with `follow` what comes, until the container ends. Raises Refusal for none."""
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of the output is wanted."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None


def log_options(query: str, pod: str) -> LogOptions:
    """The options of a query. Raises Refusal: 400 for what is no number, 422 for what makes no sense."""
    said = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    numbers = {name: _number(said[name]) for name in ("tailLines", "limitBytes", "sinceSeconds") if said.get(name)}
    wrong = []
    if numbers.get("tailLines", 0) < 0:
        wrong.append(("tailLines", numbers["tailLines"], "must be greater than or equal to 0"))
    if numbers.get("limitBytes", 1) < 1:
        wrong.append(("limitBytes", numbers["limitBytes"], "must be greater than 0"))
    if numbers.get("sinceSeconds", 1) < 1:
        wrong.append(("sinceSeconds", numbers["sinceSeconds"], "must be greater than 0"))
    causes = [("FieldValueInvalid", field, f"Invalid value: {value}: {text}") for field, value, text in wrong]
    if said.get("sinceSeconds") and said.get("sinceTime"):
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(("FieldValueForbidden", "", text))
    if causes:
        raise _invalid(pod, causes)
    return LogOptions(
        container=said.get("container", ""),
        follow=_flag(said.get("follow")),
        previous=_flag(said.get("previous")),
        tail_lines=numbers.get("tailLines"),
        limit_bytes=numbers.get("limitBytes"),
    )


def check_container(pod: Json, options: LogOptions) -> str:
    """The container meant, one that has output. Raises Refusal 400 (LOG-2)."""
    name = pod["metadata"]["name"]
    spec = pod.get("spec", {})
    containers = [one["name"] for one in spec.get("containers", ())]
    inits = [one["name"] for one in spec.get("initContainers") or ()]
    wanted = options.container or _default(pod, containers)
    if not wanted and len(containers) != 1:
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
        if inits:
            message += f" or one of the init containers: [{' '.join(inits)}]"
        raise Refusal(400, "BadRequest", message)
    wanted = wanted or containers[0]
    if wanted not in containers and wanted not in inits:
        raise Refusal(400, "BadRequest", f"container {wanted} is not valid for pod {name}")
    _refuse_without_output(pod, wanted, options)
    return wanted


async def log_bytes(source: LogSource, pod: Json, container: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
    """The wanted part of the output, as it comes."""
    skip = 0
    if options.tail_lines is not None:
        past = b"".join([chunk async for chunk in source(pod, container, follow=False, previous=options.previous)])
        skip = _tail_start(past, options.tail_lines)
    left = options.limit_bytes
    async for chunk in source(pod, container, follow=options.follow, previous=options.previous):
        shown, skip = chunk[skip:], max(skip - len(chunk), 0)
        if left is not None:
            shown = shown[:left]
            left -= len(shown)
        if shown:
            yield shown
        if left == 0:
            return


def _tail_start(past: bytes, lines: int) -> int:
    """Where the last lines begin; a last line without an end counts as one."""
    if lines == 0:
        return len(past)
    at = len(past) - 1 if past.endswith(b"\n") else len(past)
    for _ in range(lines):
        at = past.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1


def _default(pod: Json, containers: Sequence[str]) -> str:
    annotations = pod["metadata"].get("annotations") or {}
    chosen = annotations.get("kubectl.kubernetes.io/default-container", "")
    return chosen if chosen in containers else ""


def _refuse_without_output(pod: Json, container: str, options: LogOptions) -> None:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    states = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    state: Json = next((one for one in states if one.get("name") == container), {})
    if options.previous and not (state.get("lastState") or {}).get("terminated"):
        message = f'previous terminated container "{container}" in pod "{name}" not found'
        raise Refusal(400, "BadRequest", message)
    waiting = (state.get("state") or {}).get("waiting")
    if not options.previous and waiting and not (state.get("lastState") or {}).get("terminated"):
        message = f'container "{container}" in pod "{name}" is waiting to start: {waiting.get("reason", "")}'
        raise Refusal(400, "BadRequest", message)


def _invalid(pod: str, causes: list[tuple[str, str, str]]) -> Refusal:
    texts = [f"{field or '[]'}: {message}" for _, field, message in causes]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {
        "name": pod,
        "kind": "PodLogOptions",
        "causes": [{"reason": reason, "message": message, "field": field or "[]"} for reason, field, message in causes],
    }
    return Refusal(422, "Invalid", f'PodLogOptions "{pod}" is invalid: {joined}', details)


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() not in ("0", "false", "")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise Refusal(400, "BadRequest", f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
