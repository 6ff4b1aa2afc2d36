"""Loopback ports for what users open in a browser: the dashboards of Ray heads, and the tokens that those ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from manta.api import Api
from manta.doors import Door, Shared
from manta.podstates import state_of
from manta.show import Show
from manta.tokens import token_in, token_source

__all__ = ["dashboards"]

DASHBOARD: Final = 8265


def dashboards(show: Show, api: Api, directory: Path) -> Shared:
    """Every head that is ready has its dashboard on a port of this machine, and it is told.

    A token that it asks for is put into a file of `directory`: who has no kubectl can open the dashboard as well.
    """

    async def told(pod: Mapping[str, Any], port: int) -> None:
        asked = await asking(pod, api, directory)
        show.say(f"dashboard of {cluster_of(pod)} on http://127.0.0.1:{port}{asked}")

    return Shared("/api/v1/pods", "ray.io/node-type=head", door_of, told)


def door_of(pod: Mapping[str, Any]) -> Door | None:
    """Of a head that is ready."""
    return Door(pod["status"]["podIP"], DASHBOARD) if state_of(pod).word == "Ready" else None


def cluster_of(pod: Mapping[str, Any]) -> str:
    """The RayCluster's name."""
    return str(pod["metadata"]["labels"].get("ray.io/cluster", pod["metadata"]["name"]))


async def asking(pod: Mapping[str, Any], api: Api, directory: Path) -> str:
    """What is said of a dashboard that asks for a token: the file that has it from now on. "" of others."""
    source = token_source(pod)
    if source is None:
        return ""
    namespace, (secret, key) = pod["metadata"]["namespace"], source
    token = await token_in(api, namespace, secret, key)
    file = directory / f"{namespace}.{cluster_of(pod)}.token"
    if not token or not kept(file, token):
        return f"; it asks for a token: the key {key} of the Secret {namespace}/{secret}"
    return f"; it asks for a token, which is in {file}"


def kept(file: Path, token: str) -> bool:
    """Whether it could be written, for the user's eyes only: the dashboard is there also where a disk is full."""
    try:
        file.touch(mode=0o600)
        file.write_text(token)
    except OSError:
        return False
    return True
