"""Pods as real processes: what a container sees, how it ends, how it is reached.

In a real cell; test_without_namespaces.py runs all of it that is not about namespaces on a shared host as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from localcluster.node.cell import Program
from localcluster.testing.celled import Celled, Traces, a_celled_cluster, a_pod, a_service, is_ready, nothing_lives

pytestmark = [pytest.mark.local, pytest.mark.timeout(180)]

Json: TypeAlias = dict[str, Any]

ROOT = Path(__file__).parents[3]
PYTHON = Path(sys.executable).resolve()  # not the virtual environment's: that may stand in /tmp, and a pod has its own
SLICES = "endpointslices.discovery.k8s.io"


@asynccontextmanager
async def a_cluster(directory: Path) -> AsyncIterator[Celled]:
    """A cluster in a cell, of which nothing stays."""
    before = mounts()
    async with a_celled_cluster(directory, directory / "cache") as cluster:
        yield cluster
        traces = Traces(cluster.cell.process.pid)
    await nothing_lives(directory, traces)
    assert mounts() == before


def mounts() -> str:
    """The machine's."""
    return Path("/proc/self/mounts").read_text()


async def test_a_cell_whose_owner_died_before_it_began_starts_nothing(tmp_path: Path) -> None:
    """The kernel ends it with its owner only from when it was asked to: the lifeline tells of an earlier death."""
    began = tmp_path / "began"
    program = Program("any", ("touch", str(began)))
    (lifeline, owner), (report_read, report) = os.pipe(), os.pipe()
    os.close(owner)

    cell = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localcluster.node.cell", str(lifeline), str(report)),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=(lifeline, report),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    for one in (lifeline, report):
        os.close(one)
    await cell.communicate(json.dumps({"hostname": "any", "programs": [asdict(program)]}).encode())

    assert cell.returncode == 1
    assert os.read(report_read, 1) == b""
    assert not os.access(began, os.F_OK)
    os.close(report_read)


async def test_a_container_writes_its_log_and_ends_with_its_exit_code(tmp_path: Path) -> None:
    """From the command to the status, through processes."""
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("worker", "echo one; echo two >&2; exit 3"))

        pod = await cluster.ended("worker")

        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (pod["status"]["phase"], ended["exitCode"], ended["reason"]) == ("Failed", 3, "Error")
        assert await cluster.log("worker") == "one\ntwo\n"


async def test_a_container_sees_a_machine_of_its_own(tmp_path: Path) -> None:
    """Own name, address, processes and /tmp; the machine's files cannot be changed, what it writes is its own."""
    script = """
        hostname; echo "pid $BASHPID"; ls /proc | grep -c '^[0-9]'; ls -A /tmp | wc -l
        touch /etc/new 2>/dev/null || echo refused
        touch ~/mine /tmp/mine && echo written
        grep -c "$(hostname)" /etc/hosts; head -1 /etc/resolv.conf; cat /etc/hostname
    """
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("own", script))

        pod = await cluster.ended("own")

        lines = (await cluster.log("own")).splitlines()
        assert lines[:2] == ["own", "pid 1"]
        assert int(lines[2]) <= 4  # bash, ls, grep
        assert lines[4:] == ["refused", "written", "1", "nameserver 10.244.0.1", "own"]
        assert pod["status"]["podIP"].startswith("10.244.")
    assert not (Path.home() / "mine").exists()


async def test_volumes_are_where_the_pod_wants_them(tmp_path: Path) -> None:
    """Mount points that the machine does not have are made for the container alone."""
    volumes = [
        {"name": "code", "configMap": {"name": "code"}},
        {"name": "shared", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}},
        {"name": "about", "downwardAPI": {"items": [{"path": "me", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "machine", "hostPath": {"path": str(tmp_path / "host"), "type": "DirectoryOrCreate"}},
    ]
    mounts = [
        {"name": "code", "mountPath": "/home/ray/samples"},
        {"name": "code", "mountPath": "/no/such/place/main.py", "subPath": "main.py"},
        {"name": "shared", "mountPath": "/data"},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "about", "mountPath": "/etc/about"},
        {"name": "machine", "mountPath": "/var/machine"},
    ]
    script = """
        cat /home/ray/samples/main.py /no/such/place/main.py /data/from-init /etc/about/me; echo
        df --output=size /dev/shm | tail -1 | tr -d ' '
        touch /home/ray/samples/x 2>/dev/null || echo read-only
        echo kept > /var/machine/kept
    """
    first = {
        "name": "first",
        "image": "machine:any",
        "command": ["bash", "-c", "echo init > /data/from-init"],
        "volumeMounts": [{"name": "shared", "mountPath": "/data"}],
    }
    async with a_cluster(tmp_path) as cluster:
        code = {"metadata": {"name": "code"}, "data": {"main.py": "print(1)\n"}}
        await cluster.api.create("configmaps", "default", code)
        pod = a_pod("files", script, container={"volumeMounts": mounts}, volumes=volumes, initContainers=[first])
        await cluster.api.create("pods", "default", pod)

        await cluster.ended("files")

        lines = (await cluster.log("files")).splitlines()
        assert lines == ["print(1)", "print(1)", "init", "files", str(32 * 1024), "read-only"]
    assert [file.name for file in (tmp_path / "host").iterdir()] == ["kept"]
    assert not os.access("/no", os.F_OK)


async def test_pods_reach_each_other_by_service_name(tmp_path: Path) -> None:
    """By ClusterIP on the service's port, and headless on the pod's; names of nobody are denied at once."""
    serve = "cd; echo hello > index.html; exec python3 -m http.server 8000"
    ask = """
        python3 - <<'EOF'
import time, urllib.request, socket
print(urllib.request.urlopen("http://web", timeout=5).read().decode().strip())
print(urllib.request.urlopen("http://web.default.svc.cluster.local:80", timeout=5).read().decode().strip())
print(urllib.request.urlopen("http://bare:8000", timeout=5).read().decode().strip())
began = time.monotonic()
try:
    socket.getaddrinfo("pypi.example", 80)
except socket.gaierror:
    print("unknown", time.monotonic() - began < 1)
EOF
    """
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("services", "default", a_service("web", 80, 8000))
        headless = a_service("bare", 8000, 8000, clusterIP="None", selector={"app": "web"})
        await cluster.api.create("services", "default", headless)
        probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}}
        await cluster.api.create("pods", "default", a_pod("web", serve, container=probe))
        await cluster.ready("web")
        (behind, *_) = [one["metadata"]["name"] for one in (await cluster.api.list(SLICES, "default")).items]
        await cluster.until(SLICES, behind, lambda one: bool(one.get("endpoints")))

        await cluster.api.create("pods", "default", a_pod("asker", ask))
        await cluster.ended("asker")

        assert (await cluster.log("asker")).splitlines() == ["hello", "hello", "hello", "unknown True"]


async def test_endpoints_follow_an_http_probe_within_a_second(tmp_path: Path) -> None:
    """What stops to answer gets no more connections: Serve drains its proxies that way."""
    serve = """exec python3 - <<'EOF'
import http.server
class Answers(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Answers.asked += 1
        self.send_response(200 if Answers.asked <= 5 else 503)
        self.end_headers()
http.server.HTTPServer(("", 8000), Answers).serve_forever()
EOF
"""
    http = {"httpGet": {"path": "/-/healthz", "port": 8000}, "periodSeconds": 1, "failureThreshold": 1}
    clock = asyncio.get_running_loop().time
    async with a_cluster(tmp_path) as cluster:

        async def told(resource: str, name: str, ready: Callable[[Json], list[bool]], wanted: bool) -> float:
            await cluster.until(resource, name, lambda item: ready(item) == [wanted])
            return clock()

        await cluster.api.create("services", "default", a_service("web", 80, 8000))
        await cluster.api.create("pods", "default", a_pod("web", serve, container={"readinessProbe": http}))
        await cluster.until("endpoints", "web", lambda one: bool(one.get("subsets")))
        (behind,) = [one["metadata"]["name"] for one in (await cluster.api.list(SLICES, "default")).items if owned(one)]

        for wanted in (True, False):
            async with asyncio.TaskGroup() as group:
                pod = group.create_task(told("pods", "web", lambda one: [is_ready(one)], wanted))
                endpoint = group.create_task(told(SLICES, behind, endpoints_ready, wanted))
            assert abs(endpoint.result() - pod.result()) < 1


def owned(item: Json) -> bool:
    """A slice of the service `web`."""
    return bool(item["metadata"]["labels"].get("kubernetes.io/service-name") == "web")


def endpoints_ready(item: Json) -> list[bool]:
    """Of an EndpointSlice."""
    return [one["conditions"]["ready"] for one in item.get("endpoints") or ()]


async def test_an_exec_probe_runs_inside_the_container(tmp_path: Path) -> None:
    """It sees the container's files, and its failure makes the pod unready."""
    probe = {
        "readinessProbe": {
            "exec": {"command": ["bash", "-c", "cat ~/ready"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        }
    }
    script = "read -t 0.5 < <(exec sleep 1); touch ~/ready; exec sleep 600"
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("late", script, container=probe))

        await cluster.ready("late")

        messages = [one["message"] for one in (await cluster.api.list("events", "default")).items]
        assert any(re.search("Readiness probe failed: cat: .*/ready: No such file", message) for message in messages)


async def test_a_pod_that_is_deleted_hears_its_hook_and_term_and_says_goodbye(tmp_path: Path) -> None:
    """preStop runs first, TERM reaches the main process, and the log has both until the pod is gone."""
    script = "trap 'echo term; exit 0' TERM; echo up; while :; do read -t 600 < <(exec sleep 600); done"
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["bash", "-c", "echo hook > /proc/1/fd/1"]}}}}
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("polite", script, container=hook))
        await cluster.until("pods", "polite", lambda pod: (pod.get("status") or {}).get("phase") == "Running")
        async with asyncio.TaskGroup() as group:
            following = group.create_task(cluster.log("polite", follow="true"))
            await cluster.api.delete("pods", "default", "polite", grace_seconds=30)
            await cluster.gone("polite")

        assert following.result().splitlines()[-2:] == ["hook", "term"]


async def test_what_ignores_term_is_killed_after_its_grace_with_all_its_children(tmp_path: Path) -> None:
    """KILL ends the PID namespace: children in sessions of their own go, too."""
    script = "trap '' TERM; setsid sleep 600 & setsid sleep 600 & echo up; wait"
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("stubborn", script))
        await cluster.until("pods", "stubborn", lambda pod: (pod.get("status") or {}).get("phase") == "Running")
        before = Traces(cluster.cell.pids["local cluster"])
        loop = asyncio.get_running_loop()
        began = loop.time()

        await cluster.api.delete("pods", "default", "stubborn", grace_seconds=1)
        await cluster.gone("stubborn")

        assert loop.time() - began >= 1
        del before


async def test_an_image_that_nobody_knows_is_told_with_the_way_out(tmp_path: Path) -> None:
    """The event names the file in which the user says what the image is."""
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("strange", "true", image="registry.example/team/app:7"))

        def refused(pod: dict[str, object]) -> bool:
            return "ErrImagePull" in str(pod.get("status")) or "ImagePullBackOff" in str(pod.get("status"))

        await cluster.until("pods", "strange", refused)

        messages = [one["message"] for one in (await cluster.api.list("events", "default")).items]
        assert any("images.toml" in message and "registry.example/team/app:7" in message for message in messages)


async def test_a_container_may_open_its_own_output_again(tmp_path: Path) -> None:
    """`> /dev/stdout` adds to the log, as with any container runtime; a file would be cut off."""
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("again", "echo one; echo two > /dev/stdout; echo three"))

        await cluster.ended("again")

        assert await cluster.log("again") == "one\ntwo\nthree\n"


async def test_a_program_in_a_pod_reaches_the_api_server_with_its_token(tmp_path: Path) -> None:
    """By the service `kubernetes`, over TLS, trusting only what stands beside the token: what the autoscaler does."""
    script = f"""exec {PYTHON} - <<'EOF'
import json, os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
token, space = (open(f"{{folder}}/{{name}}").read() for name in ("token", "namespace"))
trusted = ssl.create_default_context(cafile=f"{{folder}}/ca.crt")
for host in (os.environ["KUBERNETES_SERVICE_HOST"], "kubernetes.default.svc"):
    url = f"https://{{host}}:{{os.environ['KUBERNETES_SERVICE_PORT']}}/api/v1/namespaces/{{space}}/pods/asker"
    asked = urllib.request.Request(url, headers={{"Authorization": "Bearer " + token}})
    print(json.load(urllib.request.urlopen(asked, context=trusted))["metadata"]["name"])
EOF
"""
    async with a_cluster(tmp_path) as cluster:
        await cluster.api.create("pods", "default", a_pod("asker", script))
        await cluster.ended("asker")

        assert (await cluster.log("asker")).splitlines() == ["asker", "asker"]
