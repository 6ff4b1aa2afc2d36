"""Bytes of a watch -> events (spec runtime §2.3, decision D2).

Chunks come as the socket gives them; a line may span any number of them and has no length limit below 64 MiB. Only
what routes an event is read here: its type, and where its object lies.
"""

from __future__ import annotations

import msgspec

from controller.runtime.errors import RuntimeProblem
from controller.runtime.interfaces import WatchEvent

__all__ = ["LONGEST_LINE", "LineSplitter", "UnreadableEvent", "event_of"]

LONGEST_LINE = 64 * 1024 * 1024  # REF-17: far above what etcd can hold; longer means that we lost the thread


class UnreadableEvent(RuntimeProblem):
    """A line that is no watch event: the stream cannot be trusted any more."""


class LineSplitter:
    """Cuts a stream into lines; what has not ended with a newline stays, or is dropped with the stream."""

    __slots__ = ("_limit", "_parts", "_size")

    def __init__(self, limit: int = LONGEST_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now, without their newlines, empty ones left out. Raises UnreadableEvent."""
        lines = chunk.split(b"\n")
        if len(lines) > 1 and self._parts:
            # Parts are joined once, when the line ends: a line of many chunks costs its length, not its square.
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        rest = lines.pop()
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                raise UnreadableEvent(f"a line of the watch is longer than {self._limit} bytes")
        return [line for line in lines if line]


class _Envelope(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode = msgspec.json.Decoder(_Envelope).decode


def event_of(line: bytes) -> WatchEvent:
    """The event on a line. Raises UnreadableEvent."""
    try:
        envelope = _decode(line)
    except msgspec.MsgspecError as error:
        raise UnreadableEvent(f"a line of the watch is no event: {error}") from error
    return WatchEvent(envelope.type, bytes(envelope.object))
