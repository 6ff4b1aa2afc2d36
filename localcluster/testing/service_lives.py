"""What RayServices live through, for fault tests (localcluster/testing/lives.py tells them).

In each of them requests, once they were served, never go to a cluster that does not serve; and there are never two
clusters in the making.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from localcluster.testing.cluster import Cluster
from localcluster.testing.factories import SERVED, a_rayservice
from localcluster.testing.view import View

__all__ = ["SERVICE_LIVES"]

Json: TypeAlias = dict[str, Any]

BETTER = SERVED.replace("app:main", "app:better")
CHANGED = {"rayVersion": "2.53.0"}


class Traffic:
    """Follows where requests go, from now on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.wrong: list[str] = []
        self.most_clusters = 0
        self._clusters: set[str] = set()
        cluster.follow("services", self._service)
        cluster.follow("rayclusters.ray.io", self._raycluster)

    def _service(self, old: Json | None, new: Json | None) -> None:
        if new is None or new["metadata"]["name"] != "web-serve-svc":
            return
        wanted = new["spec"]["selector"]["ray.io/cluster"]
        before = ((old or {}).get("spec") or {}).get("selector", {}).get("ray.io/cluster")
        if wanted != before and not self._cluster.serves(wanted):
            self.wrong.append(f"requests go to {wanted}, which does not serve")

    def _raycluster(self, old: Json | None, new: Json | None) -> None:
        name = (new or old or {"metadata": {"name": ""}})["metadata"]["name"]
        if new is None or "deletionTimestamp" in new["metadata"]:
            self._clusters.discard(name)
        else:
            self._clusters.add(name)
        self.most_clusters = max(self.most_clusters, len(self._clusters))

    def check(self, clusters: int) -> None:
        """Nothing was lost, and there were never more clusters than so many."""
        assert self.wrong == []
        assert self.most_clusters <= clusters


async def _up(cluster: Cluster, **spec: Any) -> View:
    await cluster.create(a_rayservice("web", **spec))
    return await cluster.until("RayService", "web", condition="Ready")


def _active(service: View) -> str:
    return str(service["status"]["activeServiceStatus"].get("rayClusterName") or "")


async def _rests(cluster: Cluster) -> View:
    """It serves, from one cluster, and nothing is written any more."""
    await cluster.after(300)  # something may have gone wrong with the last word
    assert await cluster.writes_during(3600) == []
    service = await cluster.until("RayService", "web", condition="Ready")
    clusters = await cluster.all_of("RayCluster")
    assert [one.name for one in clusters] == [_active(service)]
    for name in ("web-head-svc", "web-serve-svc"):
        found = await cluster.get("Service", name)
        assert found["spec"]["selector"]["ray.io/cluster"] == _active(service)
    return service


async def a_service_comes_up(cluster: Cluster) -> None:
    """One cluster, one configuration, two Services, and rest."""
    traffic = Traffic(cluster)
    await _up(cluster)
    await _rests(cluster)
    traffic.check(clusters=1)


async def a_service_gets_another_configuration(cluster: Cluster) -> None:
    """The same cluster serves it."""
    traffic = Traffic(cluster)
    before = _active(await _up(cluster))
    await cluster.patch("RayService", "web", {"spec": {"serveConfigV2": BETTER}})
    assert _active(await _rests(cluster)) == before
    assert cluster.dashboards.serve.configured[-1][1]["applications"][0]["import_path"] == "app:better"
    traffic.check(clusters=1)


async def a_service_moves_to_another_cluster(cluster: Cluster) -> None:
    """The new one takes over when it serves; the old one goes after its delay."""
    traffic = Traffic(cluster)
    before = _active(await _up(cluster))
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": CHANGED}})
    await cluster.until("RayService", "web", where=lambda one: _active(one) not in ("", before))
    assert _active(await _rests(cluster)) != before
    traffic.check(clusters=2)


async def a_service_changes_its_mind(cluster: Cluster) -> None:
    """A second change before the first is done: the pending cluster is replaced, the active one serves on."""
    traffic = Traffic(cluster)
    before = _active(await _up(cluster))
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": CHANGED}})
    await cluster.until("RayService", "web", condition="UpgradeInProgress")
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": {"rayVersion": "2.54.0"}}})
    await cluster.until("RayService", "web", where=lambda one: _active(one) not in ("", before))
    service = await _rests(cluster)
    (found,) = await cluster.all_of("RayCluster")
    assert found["spec"]["rayVersion"] == "2.54.0"
    assert found.name == _active(service)
    traffic.check(clusters=3)  # the first pending one stays for its delay


async def a_service_is_suspended(cluster: Cluster) -> None:
    """Nothing is left, and another cluster serves after that."""
    before = _active(await _up(cluster))
    await cluster.patch("RayService", "web", {"spec": {"suspend": True}})
    await cluster.until("RayService", "web", condition="Suspended")
    assert await cluster.all_of("RayCluster") == []
    await cluster.patch("RayService", "web", {"spec": {"suspend": False}})
    await cluster.until("RayService", "web", condition="Ready")
    assert _active(await _rests(cluster)) != before


async def a_service_is_deleted_while_it_moves(cluster: Cluster) -> None:
    """Both clusters go, then it."""
    await _up(cluster)
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": CHANGED}})
    await cluster.until("RayService", "web", condition="UpgradeInProgress")
    await cluster.delete("RayService", "web")
    await cluster.until("RayService", "web", gone=True)
    await cluster.after(300)
    assert await cluster.all_of("RayCluster") == []
    assert [one.name for one in await cluster.all_of("Service")] == ["kubernetes"]
    assert await cluster.writes_during(3600) == []


async def a_service_loses_its_head(cluster: Cluster) -> None:
    """The new head gets the configuration again; it is the same cluster."""
    before = _active(await _up(cluster))
    (head,) = await cluster.pods(before, node_type="head")
    await cluster.delete("Pod", head.name)
    await cluster.until("Pod", head.name, gone=True)
    await cluster.after(300)
    assert _active(await _rests(cluster)) == before
    assert len({run for run, _ in cluster.dashboards.serve.configured}) == 2


SERVICE_LIVES = (
    a_service_comes_up,
    a_service_gets_another_configuration,
    a_service_moves_to_another_cluster,
    a_service_changes_its_mind,
    a_service_is_suspended,
    a_service_is_deleted_while_it_moves,
    a_service_loses_its_head,
)
