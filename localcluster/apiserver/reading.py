"""Reads: one object, a page of a list, the start of a watch (spec kube-api §4, §5, §11)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from typing import Final

import orjson

from localcluster.api import Refusal
from localcluster.apiserver.core import Core
from localcluster.apiserver.refusals import (
    Cause,
    bad_request,
    expired,
    forbidden_field,
    invalid_options,
    not_found,
    not_supported,
    too_large_version,
)
from localcluster.apiserver.requests import ListAnswer, Options, Request
from localcluster.apiserver.selectors import SelectorError, parse_fields, parse_labels, unknown_field
from localcluster.apiserver.store import Entry, Expired, Snapshot
from localcluster.apiserver.watching import PATIENCE_SECONDS, Selection, Start, Watch

__all__ = ["list_page", "open_watch", "read_entry", "selection"]

_CONTINUE_EXPIRED: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
    " Continuing with the provided token results in an inconsistent list - objects that were created, modified, or"
    " deleted between the time the first chunk was returned and now may show up in the list."
)
_LIST_EXPIRED: Final = "The resourceVersion for the provided list is too old."
_INCONSISTENT: Final = -1  # the version in a token that goes on from the newest state (LIST-8)
_MATCH: Final = "resourceVersionMatch"


async def read_entry(core: Core, request: Request) -> Entry:
    """The stored object. Raises Refusal 404, and 504 for a version that does not come within three seconds."""
    version = request.options.resource_version
    if version:
        await _reached(core, _parse_version(version, Refusal(500, "", _malformed(version))))
    entry = core.get(request.resource, request.namespace, request.name)
    if entry is None:
        raise not_found(request.resource, request.name)
    return entry


def selection(core: Core, request: Request) -> Selection:
    """What the request's namespace and selectors choose. Raises Refusal 400 for a selector that is none (SEL-2)."""
    options = request.options
    try:
        labels, fields = parse_labels(options.labels), parse_fields(options.fields)
    except SelectorError as error:
        raise bad_request(str(error)) from error
    if fields is not None and (wrong := unknown_field(fields, core.kind(request.resource).fields)):
        raise bad_request(wrong)
    return Selection(request.resource, request.namespace, labels, fields)


async def list_page(core: Core, request: Request) -> ListAnswer:
    """A page, consistent with the first one of its list (LIST-3). Raises Refusal."""
    chosen = selection(core, request)
    options = request.options
    _check_list_options(options)
    limit = max(options.limit, 0)
    after = ""
    if options.continue_:
        version, after = _read_token(options)
        snapshot = await _continued(core, chosen, version, after)
    else:
        snapshot = await _first_page(core, chosen, options)
        if options.resource_version == "0":
            limit = 0  # LIST-5
    return _page(core, chosen, snapshot, after, limit)


def _page(core: Core, chosen: Selection, snapshot: Snapshot, after: str, limit: int) -> ListAnswer:
    prefix = f"{chosen.namespace}/" if chosen.namespace else ""
    found: list[Entry] = []
    remaining = 0
    for entry in snapshot.range(chosen.namespace, prefix + after if after else ""):
        if chosen.holds(entry):
            if not limit or len(found) < limit:
                found.append(entry)
            else:
                remaining += 1
    token = ""
    if remaining:
        token = _token(snapshot.version, found[-1].key.removeprefix(prefix))
    counted = chosen.labels is None and chosen.fields is None
    return ListAnswer(
        resource=chosen.resource,
        resource_version=str(snapshot.version),
        items=[core.item(chosen.resource, entry) for entry in found],
        continue_=token,
        remaining=remaining if remaining and counted else None,
    )


async def _first_page(core: Core, chosen: Selection, options: Options) -> Snapshot:
    text = options.resource_version
    if not text or text == "0":
        return core.store.snapshot(chosen.resource.store)
    version = _parse_version(text, bad_request(f"invalid resource version: {_malformed(text)}"))
    exact = options.resource_version_match == "Exact" or (not options.resource_version_match and options.limit > 0)
    await _reached(core, version, retry=not exact)
    if not exact:
        return core.store.snapshot(chosen.resource.store)
    try:
        return core.store.snapshot(chosen.resource.store, version)
    except Expired as reason:
        raise expired(_LIST_EXPIRED) from reason


async def _continued(core: Core, chosen: Selection, version: int, after: str) -> Snapshot:
    if version == _INCONSISTENT:
        return core.store.snapshot(chosen.resource.store)
    await _reached(core, version, retry=False)
    try:
        return core.store.snapshot(chosen.resource.store, version)
    except Expired as reason:
        refusal = expired(_CONTINUE_EXPIRED)
        refusal.metadata = {"continue": _token(_INCONSISTENT, after)}
        raise refusal from reason


def _check_list_options(options: Options) -> None:
    causes: list[Cause] = []
    version, match = options.resource_version, options.resource_version_match
    if match:
        if not version:
            causes.append(
                forbidden_field(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
            )
        if options.continue_:
            causes.append(forbidden_field(_MATCH, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in {"Exact", "NotOlderThan"}:
            causes.append(not_supported(_MATCH, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            causes.append(forbidden_field(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        causes.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise invalid_options("ListOptions", causes)
    if options.continue_ and version not in {"", "0"}:
        raise bad_request("specifying resource version is not allowed when using continue")


# -- Versions and tokens


def _malformed(text: str) -> str:
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'


def _parse_version(text: str, refusal: Refusal) -> int:
    if not re.fullmatch(r"\d+", text):
        raise refusal
    return int(text)


async def _reached(core: Core, version: int, *, retry: bool = True) -> None:
    """Give a version of the future three seconds to come (ERR-15). Raises Refusal 504."""
    if version <= core.store.version:
        return
    await asyncio.sleep(PATIENCE_SECONDS)
    if version > core.store.version:
        raise too_large_version(version, core.store.version, retry=retry)


def _token(version: int, last: str) -> str:
    """A `continue` token: go on after that key, in the state of that version (LIST-2)."""
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": f"{last}\0"})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _read_token(options: Options) -> tuple[int, str]:
    text = options.continue_
    bad = "invalid continue token: continue key is not valid: "
    if (wrong := re.search(r"[^A-Za-z0-9_-]", text)) is not None:
        raise bad_request(f"{bad}illegal base64 data at input byte {wrong.start()}")
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = orjson.loads(decoded)
        return int(token["rv"]), str(token["start"]).rstrip("\0")
    except binascii.Error as error:
        raise bad_request(f"{bad}illegal base64 data at input byte {len(text)}") from error
    except orjson.JSONDecodeError as error:
        first = decoded[:1].decode("latin-1")
        raise bad_request(f"{bad}invalid character '{first}' looking for beginning of value") from error
    except (KeyError, TypeError, ValueError) as error:
        raise bad_request(f"{bad}it has no version or no start") from error


# -- Watches


def open_watch(core: Core, request: Request) -> Watch:
    """The watch, begun. Raises Refusal for what can be refused before the first event (WATCH-14)."""
    chosen = selection(core, request)
    options = request.options
    _check_watch_options(options)
    text = options.resource_version
    version = _parse_version(text, Refusal(500, "", _malformed(text))) if text else 0
    initial = options.send_initial_events
    present = version == 0 if initial is None else initial
    if not present and version == 0:
        version = core.store.version  # sendInitialEvents=false: from now on (WATCH-12)
    start = Start(
        after=version,
        present=present,
        mark_end=bool(initial) and options.allow_bookmarks,
        bookmarks=options.allow_bookmarks,
        timeout_seconds=options.timeout_seconds or None,
    )
    return Watch(core, chosen, start)


def _check_watch_options(options: Options) -> None:
    causes: list[Cause] = []
    match, initial = options.resource_version_match, options.send_initial_events
    if initial is None and match:
        causes.append(
            forbidden_field(_MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        )
    if initial is not None and match != "NotOlderThan":
        causes.append(
            forbidden_field(_MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        )
        if match:
            causes.append(not_supported(_MATCH, match, ("NotOlderThan",)))
    if options.continue_:
        causes.append(forbidden_field(_MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    if causes:
        raise invalid_options("ListOptions", causes)
