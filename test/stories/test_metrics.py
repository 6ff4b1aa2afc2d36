"""What the operator tells Prometheus with --enable-metrics (spec raycluster §21, rayjob §13, rayservice §18)."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from controller.settings import Settings
from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_raycluster, a_rayjob, a_rayservice

MEASURED = replace(Settings(), enable_metrics=True)


def series(registry: CollectorRegistry, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels without the uid, and value, of every sample of that name."""
    return [
        ({key: value for key, value in sample.labels.items() if key not in ("uid", "namespace")}, sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    ]


async def test_a_cluster_is_told_with_its_owner_and_how_long_it_took_to_be_provisioned() -> None:
    async with a_cluster(settings=MEASURED) as cluster:
        await cluster.create(a_raycluster("r"))
        registry = cluster.kit.metrics.registry
        await cluster.after(1)
        before = series(registry, "kuberay_cluster_condition_provisioned")
        await cluster.until("RayCluster", "r", phase="ready")
        await cluster.after(1)

        assert before == [({"name": "r", "condition": "false"}, 1)]
        assert series(registry, "kuberay_cluster_condition_provisioned") == [({"name": "r", "condition": "true"}, 1)]
        assert series(registry, "kuberay_cluster_info") == [({"name": "r", "owner_kind": "None"}, 1)]
        ((labels, seconds),) = series(registry, "kuberay_cluster_provisioned_duration_seconds")
        assert labels == {"name": "r"}
        assert 5 <= seconds <= 30


async def test_a_retried_job_tells_how_long_each_attempt_took_until_it_is_gone() -> None:
    async with a_cluster(settings=MEASURED) as cluster:
        registry = cluster.kit.metrics.registry
        cluster.dashboards.script(outcome="FAILED", code=1, runs_seconds=100)
        await cluster.create(a_rayjob("train", submission_mode="HTTPMode", backoff_limit=1))
        await cluster.until("RayJob", "train", phase="Failed")
        await cluster.after(1)

        assert series(registry, "kuberay_job_deployment_status") == [
            ({"name": "train", "deployment_status": "Failed"}, 1)
        ]
        assert series(registry, "kuberay_cluster_info")[0][0]["owner_kind"] == "RayJob"
        ended = series(registry, "kuberay_job_execution_duration_seconds")
        assert [labels for labels, _ in ended] == [
            {"name": "train", "job_deployment_status": "Retrying", "retry_count": "0"},
            {"name": "train", "job_deployment_status": "Failed", "retry_count": "1"},
        ]
        assert all(100 <= seconds <= 130 for _, seconds in ended)

        await cluster.delete("RayJob", "train")
        await cluster.until("RayJob", "train", gone=True)
        await cluster.after(1)
        for name in ("info", "deployment_status", "execution_duration_seconds"):
            assert series(registry, f"kuberay_job_{name}") == []


async def test_controllers_have_the_reference_s_names_in_their_series() -> None:
    """Those of their kinds in small letters; in events they have longer ones."""
    gates = replace(MEASURED.options.gates, ray_cron_job=True)
    settings = replace(MEASURED, options=replace(MEASURED.options, gates=gates))
    async with a_cluster(settings=settings) as cluster:
        await cluster.create(a_raycluster("r"))
        await cluster.until("RayCluster", "r", phase="ready")
        registry = cluster.kit.metrics.registry

        reconciled = {labels["controller"] for labels, _ in series(registry, "controller_runtime_reconcile_total")}
        queued = [labels for labels, _ in series(registry, "workqueue_adds_total")]

    assert reconciled == {"raycluster", "rayjob", "rayservice", "raycronjob"}
    assert {one["name"] for one in queued} == {one["controller"] for one in queued} == reconciled


async def test_without_the_flag_nothing_is_told() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("r"))
        await cluster.until("RayCluster", "r", phase="ready")

        names = {metric.name for metric in cluster.kit.metrics.registry.collect()}
        assert not [name for name in names if name.startswith("kuberay_")]


async def test_a_service_tells_whether_it_is_ready_and_whether_it_is_being_upgraded() -> None:
    async with a_cluster(settings=MEASURED) as cluster:
        registry = cluster.kit.metrics.registry

        def conditions() -> list[str]:
            names = ("kuberay_service_condition_ready", "kuberay_service_condition_upgrade_in_progress")
            return [labels["condition"] for name in names for labels, _ in series(registry, name)]

        await cluster.create(a_rayservice("web"))
        await cluster.after(1)
        assert conditions() == ["false", "false"]

        await cluster.until("RayService", "web", condition="Ready")
        await cluster.after(1)
        assert conditions() == ["true", "false"]
        assert series(registry, "kuberay_service_info") == [({"name": "web"}, 1)]

        await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": {"rayVersion": "2.53.0"}}})
        await cluster.until("RayService", "web", condition="UpgradeInProgress")
        await cluster.after(1)
        assert conditions() == ["true", "true"]
