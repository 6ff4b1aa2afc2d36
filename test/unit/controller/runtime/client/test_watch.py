"""Bytes of a watch become events, however the socket cuts them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.client.watch import LineSplitter, UnreadableEvent, event_of

LINES = st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=8)


@pytest.mark.spec("runtime:REF-17")
@given(LINES, st.data())
def test_lines_come_out_whole_wherever_the_chunks_end(lines: list[bytes], data: st.DataObject) -> None:
    """Empty lines are skipped, nothing else is lost or joined."""
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    splitter = LineSplitter()

    assert [line for chunk in chunks for line in splitter.feed(chunk)] == [line for line in lines if line]


def test_a_partial_last_line_is_never_an_event() -> None:
    """The stream broke in the middle of it: it is dropped with the stream."""
    splitter = LineSplitter()

    assert splitter.feed(b'{"type":"ADDED"}\n{"type":') == [b'{"type":"ADDED"}']


@pytest.mark.spec("runtime:REF-17")
def test_an_event_of_three_megabytes_is_delivered() -> None:
    """Fault F6: readers with a line limit fail above 128 KiB."""
    body = {"kind": "Pod", "metadata": {"name": "a"}, "blob": "x" * 3_000_000}
    line = json.dumps({"type": "ADDED", "object": body}).encode() + b"\n"
    splitter = LineSplitter()

    lines = [one for start in range(0, len(line), 65_536) for one in splitter.feed(line[start : start + 65_536])]

    event = event_of(lines[0])
    assert len(lines) == 1
    assert (event.type, json.loads(event.body)) == ("ADDED", body)


def test_a_line_beyond_the_limit_ends_the_stream() -> None:
    """Longer than anything etcd can hold: we lost the thread."""
    splitter = LineSplitter(limit=10)

    with pytest.raises(UnreadableEvent, match="longer than 10 bytes"):
        splitter.feed(b"x" * 11)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"type":"ADDED"}', b'{"object":{}}', b"\xff\xfe"])
def test_a_line_that_is_no_event_is_an_error_of_the_stream(line: bytes) -> None:
    """Half an event must not be guessed at."""
    with pytest.raises(UnreadableEvent):
        event_of(line)
