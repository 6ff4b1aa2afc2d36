"""Query strings: text -> `Options` (spec kube-api PRO-6). Unknown parameters mean nothing; bad numbers are refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import parse_qsl

from localcluster.api import Json, Refusal
from localcluster.apiserver.requests import Options

__all__ = ["Query", "parse_query", "with_delete_options"]

MOST_SECONDS = float(2**31)


@dataclass(frozen=True, slots=True)
class Query:
    """The options, and what only the HTTP face needs to know."""

    options: Options
    watch: bool = False
    pretty: bool | None = None  # None: not said
    include_object: str = ""


@lru_cache(maxsize=1024)
def parse_query(text: str) -> Query:
    """What a query string says; of a repeated parameter the first counts. Raises Refusal 400."""
    if not text:
        return Query(Options())
    first: dict[str, str] = {}
    dry_run: list[str] = []
    for name, value in parse_qsl(text, keep_blank_values=True):
        first.setdefault(name, value)
        if name == "dryRun":
            dry_run.append(value)
    options = Options(
        dry_run=tuple(dry_run),
        field_manager=first.get("fieldManager", ""),
        field_validation=first.get("fieldValidation", ""),
        force=_flag(first.get("force")),
        resource_version=first.get("resourceVersion", ""),
        resource_version_match=first.get("resourceVersionMatch", ""),
        labels=first.get("labelSelector", ""),
        fields=first.get("fieldSelector", ""),
        limit=_number(first.get("limit")) or 0,
        continue_=first.get("continue", ""),
        allow_bookmarks=bool(_flag(first.get("allowWatchBookmarks"))),
        send_initial_events=_flag(first.get("sendInitialEvents")),
        timeout_seconds=_number(first.get("timeoutSeconds")),
        propagation=first.get("propagationPolicy", ""),
        orphan_dependents=_flag(first.get("orphanDependents")),
        grace_seconds=_number(first.get("gracePeriodSeconds")),
    )
    return Query(
        options,
        watch=bool(_flag(first.get("watch"))),
        pretty=_pretty(first.get("pretty")),
        include_object=first.get("includeObject", ""),
    )


def with_delete_options(options: Options, body: Json) -> Options:
    """The options of a delete: its body counts, where there is one, instead of the query (DEL-2)."""
    if not body:
        return options
    preconditions = body.get("preconditions") or {}
    return replace(
        options,
        dry_run=tuple(body.get("dryRun") or ()),
        propagation=body.get("propagationPolicy") or "",
        orphan_dependents=body.get("orphanDependents"),
        grace_seconds=body.get("gracePeriodSeconds"),
        precondition_uid=preconditions.get("uid") or "",
        precondition_version=preconditions.get("resourceVersion") or "",
    )


def _flag(text: str | None) -> bool | None:
    """Anything but "0" and "false" is true: `?watch=zork` is a watch (PRO-6)."""
    return None if text is None else text.lower() not in ("0", "false")


def _pretty(text: str | None) -> bool | None:
    return None if text is None else text.lower() in ("1", "true")


def _number(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    try:
        return int(text) if text.lstrip("+-").isdecimal() else int("")
    except ValueError as error:
        raise Refusal(400, "BadRequest", f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
