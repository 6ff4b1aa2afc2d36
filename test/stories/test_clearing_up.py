"""What goes leaves nothing behind, and takes nobody along who only has its name."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.controllers.garbage import GarbageCollector
from localcluster.controllers.manager import mirroring
from localcluster.testing.cluster import START, a_cluster
from localcluster.testing.factories import a_pod


async def test_a_pod_that_is_gone_leaves_nothing_on_its_node() -> None:
    """Deleted in order, or from one moment to the next: no container of it runs on."""
    async with a_cluster(operator=False) as cluster:
        for name in ("orderly", "at-once"):
            await cluster.create(a_pod(name))
            await cluster.until("Pod", name, phase="Running")
        placed = {one.pod_uid for one in cluster.node.containers()}

        await cluster.delete("Pod", "orderly")
        await cluster.delete("Pod", "at-once", grace_seconds=0)
        await cluster.after(60)

        assert (len(placed), cluster.node.containers(), cluster.node.sandboxes) == (2, [], 0)


class Replacing(LocalApi):
    """Somebody replaces an object between the decision to delete it and the deletion."""

    async def delete(self, resource: str, namespace: str, name: str, **options: Any) -> None:
        replaced = await self.get(resource, namespace, name)
        await super().delete(resource, namespace, name)
        await self.create(resource, namespace, {"metadata": {"name": name, "namespace": namespace}})
        assert replaced["metadata"]["uid"] == options.get("uid", replaced["metadata"]["uid"])
        await super().delete(resource, namespace, name, **options)


async def test_what_has_taken_the_name_of_garbage_stays() -> None:
    """The garbage collector deletes exactly the object that it judged."""
    api = Replacing(ApiServer(now=lambda: START, chance=random.Random(1)))
    async with mirroring(api) as mirrors, asyncio.TaskGroup() as group:
        collecting = group.create_task(GarbageCollector(api, mirrors).run())
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}
        metadata = {"name": "child", "namespace": "default", "ownerReferences": [owner]}
        made = await api.create("configmaps", "default", {"metadata": metadata})

        await asyncio.sleep(60)

        left = await api.get("configmaps", "default", "child")
        assert left["metadata"]["uid"] != made["metadata"]["uid"]
        assert "ownerReferences" not in left["metadata"]
        collecting.cancel()
