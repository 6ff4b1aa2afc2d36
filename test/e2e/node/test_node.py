"""The node is one: scheduler, kubelet, containers, network, service addresses, names, probes, Jobs, garbage.

Everything else in test/e2e leans on this; when it fails, look no further.
"""

from __future__ import annotations

from typing import Any

import pytest

from hack.e2e.cluster import Cluster, KubectlFailed

Json = dict[str, Any]
pytestmark = pytest.mark.e2e

SERVER = "echo started; exec python3 -m http.server 8000"


@pytest.fixture
def image(cluster: Cluster) -> str:
    """Has a shell, Python and wget, as every image of Ray."""
    return cluster.use_image("ray")


def a_pod(name: str, image: str, command: str, **spec: Any) -> Json:
    container = {"name": "main", "image": image, "command": ["bash", "-c", command], **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def a_server(image: str) -> Json:
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    return a_pod("server", image, SERVER, container={"readinessProbe": probe})


def a_service(name: str, **spec: Any) -> Json:
    ports = [{"port": 80, "targetPort": 8000}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "server"}, "ports": ports, **spec},
    }


def a_job(name: str, image: str, command: str) -> Json:
    template = a_pod(name, image, command, restartPolicy="Never")["spec"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": template}},
    }


def test_a_pod_becomes_ready_by_its_probe_and_its_log_can_be_read(cluster: Cluster, namespace: str, image: str) -> None:
    cluster.apply(with_namespace(a_server(image), namespace))

    cluster.wait("condition=Ready", "pod/server", f"--namespace={namespace}")

    assert "started" in cluster.kubectl("logs", "server", f"--namespace={namespace}")
    assert cluster.kubectl("exec", "server", f"--namespace={namespace}", "--", "hostname").strip() == "server"


def test_a_service_is_reached_by_name_address_and_through_the_api_server(
    cluster: Cluster, namespace: str, image: str
) -> None:
    """By its address (kube-proxy), by its name (DNS), and a headless one by its pod's address."""
    objects = [a_server(image), a_service("web"), a_service("headless", clusterIP="None")]
    cluster.apply(*(with_namespace(one, namespace) for one in objects))
    cluster.wait("condition=Ready", "pod/server", f"--namespace={namespace}")
    address = cluster.get("service/web", f"--namespace={namespace}")["spec"]["clusterIP"]
    # A connection that begins before kube-proxy has written its rules is lost, and nothing would tell wget for minutes.
    once = "wget --quiet --timeout=2 --tries=1 --output-document=- http://{}"
    ask = f"for _ in $(seq 30); do {once} && break; sleep 0.5; done | grep --count DOCTYPE"
    full = f"web.{namespace}.svc.cluster.local"

    questions = [ask.format(where) for where in (address, "web", full, "headless:8000")]
    cluster.apply(with_namespace(a_job("client", image, " && ".join(questions)), namespace))
    cluster.wait("condition=Complete", "job/client", f"--namespace={namespace}")

    assert cluster.kubectl("logs", "job/client", f"--namespace={namespace}").split() == ["1", "1", "1", "1"]
    proxied = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/services/web:80/proxy/")
    assert "DOCTYPE" in proxied


def test_a_job_whose_pod_fails_says_with_which_code(cluster: Cluster, namespace: str, image: str) -> None:
    cluster.apply(with_namespace(a_job("fails", image, "exit 7"), namespace))

    cluster.wait("condition=Failed", "job/fails", f"--namespace={namespace}")

    (pod,) = cluster.get("pods", f"--namespace={namespace}", "--selector=job-name=fails")["items"]
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


def test_what_a_container_may_use_is_limited(cluster: Cluster, namespace: str, image: str) -> None:
    """A container that takes more memory than its limit is killed, and its status says OOMKilled."""
    hungry = "python3 -c 'bytearray(200 * 1024 * 1024)'"
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    cluster.apply(with_namespace(a_pod("hungry", image, hungry, restartPolicy="Never", container=limits), namespace))

    cluster.wait("jsonpath={.status.phase}=Failed", "pod/hungry", f"--namespace={namespace}")

    pod = cluster.get("pod/hungry", f"--namespace={namespace}")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_what_belongs_to_a_deleted_owner_is_collected(cluster: Cluster, namespace: str, image: str) -> None:
    cluster.apply(with_namespace(a_job("owner", image, "sleep 600"), namespace))
    cluster.wait("jsonpath={.status.active}=1", "job/owner", f"--namespace={namespace}")

    cluster.kubectl("delete", "job/owner", f"--namespace={namespace}", "--cascade=background")
    cluster.wait("delete", "pod", "--selector=job-name=owner", f"--namespace={namespace}")

    with pytest.raises(KubectlFailed, match="NotFound"):
        cluster.get("job/owner", f"--namespace={namespace}")


def with_namespace(thing: Json, namespace: str) -> Json:
    return {**thing, "metadata": {**thing["metadata"], "namespace": namespace}}


def test_an_api_server_that_was_killed_comes_back_with_all_it_knew(cluster: Cluster, namespace: str) -> None:
    """Whoever tests what an operator does meanwhile, uses this."""
    if cluster.node is None:
        pytest.skip(f"{cluster.provider} does not let us kill its API server")
    cluster.kubectl("create", "configmap", "kept", f"--namespace={namespace}")

    with cluster.node.without_api_server(), pytest.raises(KubectlFailed):
        cluster.get("configmap/kept", f"--namespace={namespace}")

    assert cluster.get("configmap/kept", f"--namespace={namespace}")["metadata"]["name"] == "kept"
