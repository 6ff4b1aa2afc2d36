"""What RayServices live through, for fault tests (localcluster/testing/lives.py tells them).

In each of them requests, once they were served, never go to a cluster that does not serve; and there are never two
clusters in the making.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from localcluster.testing.cluster import Cluster
from localcluster.testing.factories import SERVED, a_rayservice
from localcluster.testing.left_behind import a_service_of_kuberay
from localcluster.testing.view import View

__all__ = ["SERVICE_LIVES"]

Json: TypeAlias = dict[str, Any]

BETTER = SERVED.replace("app:main", "app:better")
CHANGED = {"rayVersion": "2.53.0"}
REST = 900.0  # with what comes before it longer than a failed pass waits


class Traffic:
    """Follows where requests go, and which clusters there are, from now on: at every change, whoever made it.

    `standing` are clusters that are there already.
    """

    def __init__(self, cluster: Cluster, *standing: str) -> None:
        self._cluster = cluster
        self.wrong: list[str] = []
        self.most_clusters = 0
        self._clusters = set(standing)
        self._pending = ""  # by the status
        self._selected = ""  # by the serve Service
        self._over = False  # the user wants no service any more
        cluster.follow("services", self._service)
        cluster.follow("rayservices.ray.io", self._rayservice)
        cluster.follow("rayclusters.ray.io", self._raycluster)

    def _service(self, old: Json | None, new: Json | None) -> None:
        """Requests go to a cluster that serves, or stay where they are."""
        if (new or old or {})["metadata"]["name"] != "web-serve-svc":
            return
        before, self._selected = self._selected, _selected(new)
        if self._selected != before and self._selected and not self._cluster.serves(self._selected):
            self.wrong.append(f"requests go to {self._selected}, which does not serve")

    def _rayservice(self, _: Json | None, new: Json | None) -> None:
        self._over = new is None or "deletionTimestamp" in new["metadata"] or bool(new["spec"].get("suspend"))
        self._pending = _name(new or {}, "pending")

    def _raycluster(self, old: Json | None, new: Json | None) -> None:
        """One is made only under the name that the status holds, and none is taken away that requests go to."""
        name = (new or old or {})["metadata"]["name"]
        if new is None or "deletionTimestamp" in new["metadata"]:
            if name in self._clusters and name == self._selected and not self._over:
                self.wrong.append(f"requests go to {name}, which is deleted")
            self._clusters.discard(name)
        elif name not in self._clusters:
            self._clusters.add(name)
            if old is None and name != self._pending:
                self.wrong.append(f"{name} was made, while {self._pending or 'none'} was pending")
        self.most_clusters = max(self.most_clusters, len(self._clusters))

    def check(self, clusters: int) -> None:
        """Nothing was lost, and there were never more clusters than so many."""
        assert not self.wrong, "; ".join(self.wrong)
        assert self.most_clusters <= clusters, f"{self.most_clusters} clusters at once"


def _selected(service: Json | None) -> str:
    return str(service["spec"]["selector"]["ray.io/cluster"]) if service is not None else ""


def _name(service: Json, role: str) -> str:
    """The cluster that the status of a RayService names."""
    return str(((service.get("status") or {}).get(f"{role}ServiceStatus") or {}).get("rayClusterName") or "")


async def _up(cluster: Cluster, **spec: Any) -> View:
    await cluster.create(a_rayservice("web", **spec))
    return await cluster.until("RayService", "web", condition="Ready")


def _active(service: View) -> str:
    return _name(service, "active")


async def _moving(cluster: Cluster, change: Json = CHANGED) -> View:
    """A change of the cluster's spec, up to a pending cluster."""
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": change}})
    return await cluster.until("RayService", "web", condition="UpgradeInProgress")


async def _rests(cluster: Cluster) -> View:
    """It serves, from one cluster, and nothing is written any more."""
    await cluster.after(300)  # something may have gone wrong with the last word
    assert await cluster.writes_during(REST) == []
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
    await _moving(cluster)
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
    await _moving(cluster)
    await cluster.delete("RayService", "web")
    await cluster.until("RayService", "web", gone=True)
    await cluster.after(300)
    assert await cluster.all_of("RayCluster") == []
    assert [one.name for one in await cluster.all_of("Service")] == ["kubernetes"]
    assert await cluster.writes_during(REST) == []


async def a_service_loses_its_head(cluster: Cluster) -> None:
    """The new head gets the configuration again; it is the same cluster."""
    before = _active(await _up(cluster))
    (head,) = await cluster.pods(before, node_type="head")
    await cluster.delete("Pod", head.name)
    await cluster.until("Pod", head.name, gone=True)
    await cluster.after(300)
    assert _active(await _rests(cluster)) == before
    assert len({run for run, _ in cluster.dashboards.serve.configured}) == 2


async def a_service_moves_while_its_operator_is_away(cluster: Cluster) -> None:
    """It dies in the middle of an upgrade, and the next one finishes what it finds."""
    traffic = Traffic(cluster)
    before = _active(await _up(cluster))
    new = _name(await _moving(cluster), "pending")
    await cluster.until("RayCluster", new)
    cluster.kill_operator()
    await cluster.after(120)
    if not cluster.operating:
        await cluster.start_operator()
    await cluster.until("RayService", "web", where=lambda one: _active(one) not in ("", before))
    assert _active(await _rests(cluster)) == new
    traffic.check(clusters=2)


async def a_service_is_changed_back(cluster: Cluster) -> None:
    """The user reverts his change half-way. The old cluster serves until a third one, like it, takes over (§13)."""
    traffic = Traffic(cluster)
    await _up(cluster)
    (old,) = await cluster.all_of("RayCluster")
    half_way = _name(await _moving(cluster), "pending")
    await cluster.until("RayCluster", half_way, phase="ready")
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": {"rayVersion": old["spec"]["rayVersion"]}}})
    service = await _rests(cluster)
    (found,) = await cluster.all_of("RayCluster")
    assert found["spec"] == old["spec"]
    assert service.condition("UpgradeInProgress")["status"] == "False"
    traffic.check(clusters=3)


async def a_service_of_another_operator_is_taken_over(cluster: Cluster) -> None:
    """Its cluster and its pods stay as they are; a change then makes a new cluster, as ever."""
    cluster.kill_operator()
    old = await a_service_of_kuberay(cluster)
    pods = {pod.uid for pod in await cluster.pods(old)}
    traffic = Traffic(cluster, old)
    await cluster.start_operator()
    await cluster.after(300)
    assert {pod.uid for pod in await cluster.pods(old)} == pods
    assert _active(await cluster.get("RayService", "web")) == old
    await _moving(cluster)
    await cluster.until("RayService", "web", where=lambda one: _active(one) not in ("", old))
    await _rests(cluster)
    traffic.check(clusters=2)


async def a_service_gets_another_group(cluster: Cluster) -> None:
    """At the end of its groups: the same cluster grows into it, and nothing that runs is touched."""
    traffic = Traffic(cluster)
    before = await _up(cluster)
    pods = {pod.uid for pod in await cluster.pods(_active(before))}
    (group,) = before["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    more = {"workerGroupSpecs": [group, group | {"groupName": "more"}]}
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": more}})
    assert _active(await _rests(cluster)) == _active(before)
    after = {pod.uid for pod in await cluster.pods(_active(before))}
    assert (len(after - pods), pods - after) == (1, set())
    traffic.check(clusters=1)


async def a_service_is_suspended_while_it_moves(cluster: Cluster) -> None:
    """Both clusters go; it comes back on the newest spec."""
    traffic = Traffic(cluster)
    await _up(cluster)
    await _moving(cluster)
    await cluster.patch("RayService", "web", {"spec": {"suspend": True}})
    await cluster.until("RayService", "web", condition="Suspended")
    assert await cluster.all_of("RayCluster") == []
    await cluster.patch("RayService", "web", {"spec": {"suspend": False}})
    await cluster.until("RayService", "web", condition="Ready")
    await _rests(cluster)
    (found,) = await cluster.all_of("RayCluster")
    assert found["spec"]["rayVersion"] == CHANGED["rayVersion"]
    traffic.check(clusters=2)


SERVICE_LIVES = (
    a_service_comes_up,
    a_service_gets_another_configuration,
    a_service_moves_to_another_cluster,
    a_service_changes_its_mind,
    a_service_is_suspended,
    a_service_is_deleted_while_it_moves,
    a_service_loses_its_head,
    a_service_moves_while_its_operator_is_away,
    a_service_is_changed_back,
    a_service_of_another_operator_is_taken_over,
    a_service_gets_another_group,
    a_service_is_suspended_while_it_moves,
)
