"""An operator with nothing to do must be small: it stands beside every cluster (spec runtime §22)."""

from __future__ import annotations

from api.crds.installed import custom_resource_definitions
from localcluster.testing.factories import a_raycluster
from localcluster.testing.operator_process import operator_process
from localcluster.testing.wire import Json, Wire

IDLE_MIB = 60.0


def reported(cluster: Json) -> bool:
    return bool((cluster.get("status") or {}).get("conditions"))


async def test_an_idle_operator_takes_sixty_megabytes_at_most(cluster: Wire) -> None:
    """As it starts; and with a first cluster, for which models are built and code runs, not much more."""
    for definition in custom_resource_definitions():
        await cluster.serve(definition)
    async with operator_process(cluster.endpoint.kubeconfig, f"--watch-namespace={cluster.namespace}") as operator:
        idle = operator.memory_mib
        body = a_raycluster("r", workers=1, namespace=cluster.namespace)
        (await cluster.post(cluster.path("rayclusters.ray.io"), body)).ok(201)
        await cluster.until(cluster.path("rayclusters.ray.io", "r"), reported, seconds=30)
        busy = operator.memory_mib

    assert idle <= IDLE_MIB
    assert busy <= IDLE_MIB + 5
    assert operator.complaints() == []
