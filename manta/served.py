"""Which kinds the local cluster serves, and what to write instead of one that it does not; known without asking it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Any, Final, NoReturn

import orjson

from api.v1.wire import GROUP, RAY_CLUSTERS, RAY_CRON_JOBS, RAY_JOBS, RAY_SERVICES
from localcluster.apiserver.custom import versions_of
from localcluster.apiserver.kinds.base import Kind
from localcluster.apiserver.kinds.table import KINDS, PLAIN
from localcluster.resources import BUILT_IN, ResourceInfo
from manta.documents import Document

__all__ = ["DEFINITION", "RAY", "Nowhere", "ServedKind", "known_elsewhere", "ray_kinds", "served_kind", "way_out"]

DEFINITION: Final = "CustomResourceDefinition"
RAY: Final = (RAY_CLUSTERS, RAY_JOBS, RAY_SERVICES, RAY_CRON_JOBS)


@dataclass(frozen=True, slots=True)
class ServedKind:
    """A kind under one version: its names, how its objects are read and checked, and its schema if it has one."""

    resource: ResourceInfo
    rules: Kind
    schema: Mapping[str, Any]


class Nowhere:
    """The world of an object that is in no cluster: there is nothing else, and neither time nor chance."""

    @property
    def services(self) -> NoReturn:
        """See World."""
        raise NotImplementedError("checks of a schema depend on no address")

    def now(self) -> NoReturn:
        """See World."""
        raise NotImplementedError("checks of a schema depend on no time")

    def letters(self, count: int) -> NoReturn:
        """See World."""
        raise NotImplementedError("checks of a schema depend on no chance")

    def number(self, below: int) -> NoReturn:
        """See World."""
        raise NotImplementedError("checks of a schema depend on no chance")

    def find(self, store: str, namespace: str, name: str) -> None:
        """See World."""
        return

    def fields(self, store: str) -> Iterable[Mapping[str, str]]:
        """See World."""
        return ()


@functools.cache
def ray_kinds() -> Mapping[tuple[str, str], ServedKind]:
    """Ray's kinds by (apiVersion, kind), from the definitions that come with this package."""
    served = {}
    for resource in RAY:
        text = files("api.crds").joinpath(f"{resource.plural}.{GROUP}.json").read_bytes()
        for version in versions_of(orjson.loads(text)):
            served[version.resource.api_version, resource.kind] = ServedKind(
                version.resource, version.rules, version.schema
            )
    return served


@functools.cache
def built_in() -> Mapping[tuple[str, str], ServedKind]:
    """What the local cluster serves by itself."""
    return {
        (one.api_version, one.kind): ServedKind(one, KINDS.get(one.name, PLAIN), {})
        for one in BUILT_IN
        if "create" in one.verbs
    }


def served_kind(api_version: str, kind: str) -> ServedKind | None:
    """The kind of that name under exactly that version, or None."""
    mine = ray_kinds() if api_version.startswith(f"{GROUP}/") else built_in()
    return mine.get((api_version, kind))


def known_elsewhere(documents: Iterable[Document]) -> set[tuple[str, str]]:
    """(apiVersion, kind) of what the documents themselves define."""
    found = set()
    for document in documents:
        if document.kind == DEFINITION:
            spec = document.body.get("spec")
            found |= set(defined(spec)) if isinstance(spec, dict) else set()
    return found


def defined(spec: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The versions and the kind of a CustomResourceDefinition, as far as they can be read."""
    names, versions = spec.get("names"), spec.get("versions")
    if isinstance(names, dict) and isinstance(versions, list):
        for version in versions:
            if isinstance(version, dict):
                yield f"{spec.get('group')}/{version.get('name')}", str(names.get("kind"))


def way_out(api_version: str, kind: str) -> str:
    """What might be meant by a kind that is not served; "" if nothing comes near."""
    everything = [*ray_kinds(), *built_in()]
    versions = [version for version, name in everything if name == kind]
    if versions:
        return f"{kind} is served as {listed(versions)}"
    lower = {name.lower(): name for _, name in everything}
    near = get_close_matches(kind.lower(), lower, n=1)
    if near:
        name = lower[near[0]]
        return f"did you mean {name} ({listed([version for version, other in everything if other == name])})?"
    here = [name for version, name in everything if version == api_version]
    return f"{api_version} has {listed(here)}" if here else ""


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
