"""One question to a gRPC health service (grpc.health.v1.Health/Check), without a gRPC library.

A unary call is one HTTP/2 stream: headers, one message, and an answer of which only the message's single number
matters. Header compression is never used by us, and theirs need not be read: the answer's DATA frame says it all, and
without one the call failed.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

__all__ = ["NotHealthy", "ask_health"]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS = 4
PADDED = 8
SERVING: Final = 1
STATUSES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
FRAME_LIMIT: Final = 1 << 20


class NotHealthy(Exception):
    """It answered, and not that it serves."""


async def ask_health(host: str, port: int, service: str) -> None:
    """Returns if the service says SERVING. Raises NotHealthy, OSError; the time limit is the caller's."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question(f"{host}:{port}", service))
        status = await _answer(reader, writer)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the connection ended before an answer came") from error
    finally:
        writer.transport.abort()
    if status != SERVING:
        name = STATUSES.get(status, str(status))
        raise NotHealthy(f'service unhealthy (responded with "{name}")')


def question(authority: str, service: str) -> bytes:
    """All that we send: the preface, our (empty) settings, the call."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": "kube-probe/1.36",
    }
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())
    name = service.encode()
    message = b"\x0a" + _length(len(name)) + name if name else b""
    body = struct.pack(">BI", 0, len(message)) + message
    return (
        PREFACE
        + _frame(SETTINGS, 0, 0, b"")
        + _frame(HEADERS, END_HEADERS, 1, block)
        + _frame(DATA, END_STREAM, 1, body)
    )


def status_in(body: bytes) -> int:
    """The number in a HealthCheckResponse, framed as gRPC does it; 0 when it says none."""
    message = body[5:]
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    body, seen = b"", False
    while True:
        head = await reader.readexactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if size > FRAME_LIMIT:
            raise NotHealthy("no gRPC service answers there")
        payload = await reader.readexactly(size)
        if kind == SETTINGS and not flags & ACK:
            writer.write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(_frame(PING, ACK, 0, payload))
        elif kind == GOAWAY or (kind == RESET and stream == 1):
            raise NotHealthy("the health service refused the call")
        elif kind == DATA and stream == 1:
            seen = True
            body += payload[1 : -payload[0] or None] if flags & PADDED else payload
        if kind in (DATA, HEADERS) and stream == 1 and flags & END_STREAM:
            if not seen:
                raise NotHealthy("the health service is not implemented there, or does not know the service")
            return status_in(body)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    """A header's name or value, as it is. Shorter than 127 bytes, or split lengths as HPACK does it."""
    encoded = text.encode()
    return _prefixed(len(encoded)) + encoded


def _prefixed(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    return b"\x7f" + _length(number - 127)


def _length(number: int) -> bytes:
    """A number in groups of seven bits, as HPACK and protobuf both write it."""
    groups = b""
    while number > 127:
        groups += bytes([number & 0x7F | 0x80])
        number >>= 7
    return groups + bytes([number])
