"""Asks a service once, as its user would, and shows what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from manta.lines import Line

__all__ = ["asked_once", "route_of", "shown"]

PATIENCE_SECONDS: Final = 20.0  # a first answer may take long: models are loaded, code is compiled
MOST_SHOWN: Final = 500  # characters of an answer


def route_of(service: Mapping[str, Any]) -> str:
    """The route of a RayService that is asked: "/" if it has that, else the first of its routes."""
    from api.v1.serve_config import ServeConfigError, parse_serve_config, routes_of  # takes a moment to load

    try:
        routes = routes_of(parse_serve_config((service.get("spec") or {}).get("serveConfigV2") or ""))
    except ServeConfigError:
        return "/"
    return min(routes, default="/")


async def asked_once(address: Awaitable[str], route: str) -> Line:
    """GET of that route under the address, once that is known; no answer is told as such. Never raises for it."""
    about = f"GET {route}"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), aiohttp.ClientSession() as session:
            url = await address + route
            about = f"GET {url}"
            async with session.get(url) as response:
                return Line("answer", about, shown(response.status, response.content_type, await response.read()))
    except TimeoutError:
        return Line("trouble", about, f"no answer within {PATIENCE_SECONDS:g} s")
    except aiohttp.ClientError as error:
        return Line("trouble", about, f"no answer: {error}")


def shown(code: int, type_: str, content: bytes) -> str:
    """An answer in a line or some; what is no text is only measured, and a code that means trouble is explained."""
    try:
        text = content.decode().rstrip("\n")
    except UnicodeDecodeError:
        return f"{code}, {len(content)} bytes of {type_}"
    said = f"{code}" if code < HTTPStatus.BAD_REQUEST else f"{code} {phrase(code)}".rstrip()
    rest = len(text) - MOST_SHOWN
    return f"{said}: {text[:MOST_SHOWN]}{f' ... and {rest} characters more' if rest > 0 else ''}"


def phrase(code: int) -> str:
    """What the code means; "" for one of nobody's."""
    return HTTPStatus(code).phrase if code in {one.value for one in HTTPStatus} else ""
