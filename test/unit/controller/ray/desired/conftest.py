"""Clusters to build from: short factories, as fixtures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from api.meta import Json
from api.v1.raycluster import RayCluster
from controller.ray.desired.facts import Facts, facts_of
from controller.ray.options import Options

FactsOf = Callable[..., Facts]


def container(name: str = "ray", **more: Any) -> Json:
    return {"name": name, "image": "rayproject/ray:2.52.0", **more}


def template(ray: Json | None = None, *others: Json, metadata: Json | None = None, **more: Any) -> Json:
    pod: Json = {"spec": {"containers": [ray or container(), *others], **more}}
    return pod if metadata is None else {"metadata": metadata, **pod}


def _facts(
    *,
    name: str = "r",
    head: Json | None = None,
    groups: Sequence[Json] | None = None,
    labels: Json | None = None,
    annotations: Json | None = None,
    options: Options | None = None,
    **spec: Any,
) -> Facts:
    wanted = [{}] if groups is None else groups
    body = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": "8f2a",
            "labels": labels or {},
            "annotations": annotations or {},
        },
        "spec": {
            "headGroupSpec": {"template": template(), **(head or {})},
            "workerGroupSpecs": [{"groupName": "g", "replicas": 1, "template": template(), **one} for one in wanted],
            **spec,
        },
    }
    return facts_of(RayCluster.from_json(body), options or Options())


@pytest.fixture
def facts() -> FactsOf:
    """A function that makes the facts of a cluster: one head, one group "g", unless said otherwise."""
    return _facts


@pytest.fixture
def a_container() -> Callable[..., Json]:
    return container


@pytest.fixture
def a_template() -> Callable[..., Json]:
    return template
