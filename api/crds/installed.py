"""Reads the CustomResourceDefinitions that come with the package (written by hack/generate.py).

They carry our descriptions, so `kubectl explain` speaks; everything else is as in config/crd/bases. Being over
256 KiB, they are created or applied on the server's side, never by a client-side apply.
"""

from __future__ import annotations

import json
from importlib.resources import files

from api.meta import Json
from api.v1.definitions import DEFINITIONS

__all__ = ["custom_resource_definitions"]


def custom_resource_definitions() -> tuple[Json, ...]:
    """All four, in the order in which they are to be created; the caller's own copies."""
    folder = files("api.crds")
    return tuple(
        json.loads(folder.joinpath(f"{one.resource.plural}.{one.resource.group}.json").read_bytes())
        for one in DEFINITIONS
    )
