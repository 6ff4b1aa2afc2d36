"""Which serve Services have a door here, and who is told of it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from manta.doors import Door
from manta.services import Addresses, door_of
from manta.show import Plain

Json = dict[str, Any]


def a_serve_service(address: str = "10.96.0.7", **ports: int) -> Json:
    labels = {"ray.io/serve": "greeter-serve", "ray.io/originated-from-cr-name": "greeter"}
    metadata = {"namespace": "default", "name": "of-my-own", "labels": labels}
    return {
        "metadata": metadata,
        "spec": {"clusterIP": address, "ports": [{"name": name, "port": port} for name, port in ports.items()]},
    }


def test_the_port_called_serve_is_the_door() -> None:
    """A service of the user's own may have more, in any order."""
    assert door_of(a_serve_service(metrics=8080, serve=8000)) == Door("10.96.0.7", 8000, preferred=8000)


def test_a_service_without_an_address_or_that_port_has_no_door() -> None:
    """Headless, or a Service whose ports go by other names."""
    assert door_of(a_serve_service("None", serve=8000)) is None
    assert door_of(a_serve_service(http=80)) is None


async def test_whoever_waits_for_the_address_of_a_service_gets_it() -> None:
    """By the RayService's name: the Service's own may be any."""
    out = io.StringIO()
    addresses = Addresses(Plain(out))

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(addresses.of("default", "greeter"))
        await addresses.shared.opened(a_serve_service(serve=8000), 41234)

    assert waiting.result() == "http://127.0.0.1:41234"
    assert out.getvalue().endswith("RayService greeter: serves on http://127.0.0.1:41234\n")


async def test_a_service_that_is_made_again_is_told_again() -> None:
    """Its port may be another one."""
    out = io.StringIO()
    addresses = Addresses(Plain(out))
    await addresses.shared.opened(a_serve_service(serve=8000), 41234)

    await addresses.shared.opened(a_serve_service(serve=8000), 41235)

    assert "http://127.0.0.1:41235" in out.getvalue()
