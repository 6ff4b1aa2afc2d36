"""What becomes of a RayService that lives: real Ray Serve under `manta up`, asked where that says that it answers.

Most tests share one service, whose cluster is a head alone: each finds it as it was made, or waits until it is. The
same lives in virtual time, and many more of them: test/stories/test_rayservice_lives.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hack.e2e.asker import asking
from hack.e2e.serving import a_cluster_config, a_config, a_rayservice, an_application, some_code
from localcluster.api import Refusal
from localcluster.testing.real import CLUSTERS, PODS, RAYSERVICES, Live
from localcluster.testing.up import Up, manta_up

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

Json = dict[str, Any]
NAME = "greeter"
USUAL: Json = {
    "serveConfigV2": a_config(an_application()),
    "rayClusterConfig": a_cluster_config(),
    "suspend": False,
    "rayClusterDeletionDelaySeconds": 1,
}
REPLICA = r"^ray::ServeReplica:greeter:Greeter"
HEAD = r"/bin/ray start --head"  # not the shell before it


@dataclass(frozen=True, slots=True)
class Service:
    """The service that tests share, as one of them sees it."""

    up: Up
    live: Live
    url: str

    async def patch(self, **spec: Any) -> None:
        """A merge patch of its spec, as kubectl sends it."""
        await self.live.api.patch(RAYSERVICES, "default", NAME, {"spec": spec})

    async def until(self, true: Any) -> Json:
        """The service, once it was judged as it is wanted now, and that is true of it."""
        return await self.live.until(RAYSERVICES, NAME, lambda service: is_judged(service) and true(service))

    @property
    def clusters(self) -> set[str]:
        """The names of all that there were in this test."""
        return {one["metadata"]["name"] for one in self.live.ever(CLUSTERS)}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `manta up` for all."""
    with manta_up(tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.fixture
async def live(up: Up) -> AsyncIterator[Live]:
    """Its API, and what that tells from now on."""
    async with up.live() as found:
        yield found


@pytest.fixture
async def service(up: Up, live: Live) -> Service:
    """The service that all share, as it was made, whatever the test before did to it."""
    if NAME not in live.now(RAYSERVICES):
        await live.api.create("configmaps", "default", some_code("default"))
        await live.api.create(RAYSERVICES, "default", a_rayservice(NAME, "default", **USUAL))
    else:
        await live.api.patch(RAYSERVICES, "default", NAME, {"spec": USUAL})
    await live.until(RAYSERVICES, NAME, lambda one: is_judged(one) and is_ready(one) and running(one) == {"greeter"})
    await live.all(CLUSTERS, lambda clusters: len(clusters) == 1)
    found = Service(up, live, await last_url(up))
    async with asking(found.url) as client:
        await client.until(lambda said: said.startswith("hello, from "))
    return found


async def last_url(up: Up) -> str:
    """A Service that was made again is told again."""
    await up.url(NAME)
    told = [line for line in up.said if f"RayService {NAME}: serves on " in line]
    return told[-1].split()[-1]


def is_judged(service: Json) -> bool:
    """As it is wanted now."""
    seen: bool = (service.get("status") or {}).get("observedGeneration") == service["metadata"]["generation"]
    return seen


def is_ready(service: Json) -> bool:
    """It takes requests, and no other cluster is made for it."""
    return condition(service, "Ready")["status"] == "True" and not role(service, "pending").get("rayClusterName")


def role(service: Json, name: str) -> Json:
    """Of the status: that of the active cluster, or of the pending one."""
    return (service.get("status") or {}).get(f"{name}ServiceStatus") or {}


def condition(service: Json, type_: str) -> Json:
    """Its condition; one without a status for none."""
    conditions = (service.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == type_), {"status": ""})


def applications(service: Json) -> Json:
    """Those of the cluster that is made ready, or of the one that serves."""
    roles = [role(service, name) for name in ("pending", "active")]
    return next((one["applicationStatuses"] for one in roles if one.get("applicationStatuses")), {})


def running(service: Json) -> set[str]:
    """The applications that there are, unless one of them does not run."""
    found = applications(service)
    return set(found) if all(one.get("status") == "RUNNING" for one in found.values()) else set()


def process_of(said: str) -> int:
    """The one that answered."""
    return int(said.rpartition(" ")[2])


# What is changed in place


async def test_an_edit_of_the_serve_config_changes_the_answer_and_no_cluster(service: Service) -> None:
    """Asked all the time, and no request fails."""
    async with asking(service.url) as client:
        await client.until(lambda said: said.startswith("hello"))

        await service.patch(serveConfigV2=a_config(an_application("good day")))
        await client.until(lambda said: said.startswith("good day, from "))

    sys.stdout.write(f"{client.told}\n")
    assert client.failures == []
    assert len(service.clusters) == 1


async def test_more_replicas_of_a_deployment_are_more_processes_of_the_same_cluster(service: Service) -> None:
    """Scaled by Serve, in the pods that there are."""
    deployments = [{"name": "Greeter", "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}}]
    async with asking(service.url) as client:
        first = process_of(await client.until(bool))

        await service.patch(serveConfigV2=a_config(an_application(deployments=deployments)))
        await client.until(lambda said: process_of(said) != first)
        await client.until(lambda said: process_of(said) == first)

    assert client.failures == []
    assert len(service.clusters) == 1


@pytest.mark.spec("rayservice:E13")
async def test_other_numbers_of_workers_change_nothing_that_runs(service: Service) -> None:
    """They are for the next cluster: the one that serves is neither replaced nor written to."""
    (before,) = service.live.now(CLUSTERS).values()

    await service.patch(rayClusterConfig=a_cluster_config(workers=2))
    await service.until(is_ready)
    await service.patch(serveConfigV2=a_config(an_application("later")))
    async with asking(service.url) as client:  # what came after it has been done
        await client.until(lambda said: said.startswith("later"))

    (after,) = service.live.now(CLUSTERS).values()
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert {pod["metadata"]["labels"]["ray.io/node-type"] for pod in service.live.ever(PODS)} == {"head"}


async def test_two_applications_answer_on_their_own_routes(service: Service) -> None:
    """Both stand in the status."""
    second = an_application("GOOD DAY", name="loud", route_prefix="/loud")

    await service.patch(serveConfigV2=a_config(an_application(), second))
    await service.until(lambda one: running(one) == {"greeter", "loud"})

    async with asking(f"{service.url}/loud") as client:
        await client.until(lambda said: said.startswith("GOOD DAY, from "))
    async with asking(service.url) as client:
        await client.until(lambda said: said.startswith("hello, from "))
    assert len(service.clusters) == 1


YAML = """# spec rayservice 11.2
applications:
- name: greeter
  route_prefix: /
  import_path: greeter:echo
  deployments: [{name: Echo, ray_actor_options: {num_cpus: 0.1}}]
  args:
    exponents: [1e5, 1.0e5, 3.0e3, 1.e2, .5e1]
    base 60: [1:30, 1:30:00.5, 190:20:30]
    truths: [y, N, on, off, yes, true]
    dates: [2024-01-02, 2024-01-02 10:00:00]
    octal: [0o17, 08]
    whole: 1.0
    1: a number
    2.5: another
    y: a truth
    twice: 1
    twice: 2
    tabs:\t3
    tag: !foo 1
    quoted: ['1e5', "y"]
---
applications: []
"""
MEANT = {
    "exponents": [100000, 100000, 3000, 100, 5],
    "base 60": ["1:30", "1:30:00.5", "190:20:30"],
    "truths": [True, False, True, False, True, True],
    "dates": ["2024-01-02", "2024-01-02 10:00:00"],
    "octal": [15, 8],
    "whole": 1,
    "1": "a number",
    "2.5": "another",
    "true": "a truth",
    "twice": 2,
    "tabs": 3,
    "tag": "1",
    "quoted": ["1e5", "y"],
}


async def test_ray_gets_what_the_yaml_means_to_the_reference(service: Service) -> None:
    """The table of spec rayservice §11.2, as an application on real Ray finds it in its arguments."""
    await service.patch(serveConfigV2=YAML)

    async with asking(service.url) as client:
        said = json.loads(await client.until(lambda said: said.startswith("{")))

    assert said == MEANT
    assert json.dumps(said, sort_keys=True) == json.dumps(MEANT, sort_keys=True)  # 1 is not 1.0, nor true


# What is wrong


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("applications: [", "serveConfigV2 is no YAML"),
        ("- a\n- list\n", "serveConfigV2 should be a mapping, not list"),
        ("applications: []\nhttp_options: {keep_alive_timeout_s: .inf}\n", r"\.inf has no place in JSON"),
        ("applications: [{name: greeter}]\n", r"applications\[0\] has no import_path"),
    ],
)
async def test_a_configuration_that_no_serve_takes_is_refused_at_once(service: Service, text: str, why: str) -> None:
    """By admission, with a sentence: nothing was changed."""
    before = service.live.now(RAYSERVICES)[NAME]

    with pytest.raises(Refusal, match=why):
        await service.patch(serveConfigV2=text)

    after = await service.live.api.get(RAYSERVICES, "default", NAME)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_configuration_that_serve_refuses_is_told_and_changes_nothing(service: Service) -> None:
    """In Serve's words; the application goes on, and the next good configuration is taken."""
    async with asking(service.url) as client:
        process = process_of(await client.until(bool))

        await service.patch(serveConfigV2=a_config(an_application(logging_config={"encoding": "SONG"})))
        note = await warned(service.live, service.live.now(RAYSERVICES)[NAME]["metadata"]["uid"], "encoding")
        await client.until(lambda said: process_of(said) == process)
        await service.patch(serveConfigV2=a_config(an_application("well")))
        await client.until(lambda said: said.startswith("well, from "))

    assert note.startswith(f"Failed to update serve applications to the RayCluster default/{NAME}-")
    assert client.failures == []


async def warned(live: Live, uid: str, why: str) -> str:
    """The note of a Warning of the service that holds those words, one that there is or comes."""
    resource = "events.events.k8s.io"
    listing = await live.api.list(resource, "default")

    def tells(event: Json) -> bool:
        return (
            event["reason"] == "FailedToUpdateServeApplications"
            and event["regarding"]["uid"] == uid
            and why in event["note"]
        )

    for event in filter(tells, listing.items):
        return str(event["note"])
    async with asyncio.timeout(60):
        async for type_, event in live.api.watch(resource, "default", resource_version=listing.resource_version):
            if type_ != "BOOKMARK" and tells(event):
                return str(event["note"])
    raise AssertionError("the watch ended")


async def test_an_application_that_an_edit_broke_is_mended_by_the_next_one(service: Service) -> None:
    """Serve's own cause stands in the status."""
    await service.patch(serveConfigV2=a_config(an_application(import_path="greeter:nothing")))
    failed = await service.until(lambda one: applications(one).get("greeter", {}).get("status") == "DEPLOY_FAILED")

    await service.patch(serveConfigV2=a_config(an_application("mended")))
    await service.until(lambda one: running(one) == {"greeter"})

    assert "no attribute 'nothing'" in applications(failed)["greeter"]["message"]
    async with asking(service.url) as client:
        await client.until(lambda said: said.startswith("mended, from "))
    assert len(service.clusters) == 1


@pytest.mark.spec("ray-side:S4-30")
async def test_a_service_that_never_ran_says_why_in_a_sentence_until_it_is_mended(service: Service, live: Live) -> None:
    """Beside one that runs: the condition has the sentence, the status Serve's cause; then the same cluster serves."""
    broken = a_config(an_application(import_path="greeter:nothing"))
    await live.api.create(RAYSERVICES, "default", a_rayservice("broken", "default", serveConfigV2=broken))
    failed = await live.until(RAYSERVICES, "broken", lambda one: "DEPLOY_FAILED" in str(condition(one, "Ready")))
    assert applications(failed)["greeter"]["message"].startswith("Deploying app 'greeter' failed with exception")
    ready = condition(failed, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Initializing")
    assert ready["message"].startswith("application greeter is DEPLOY_FAILED: ")
    assert "no attribute 'nothing'" in ready["message"]

    await live.api.patch(
        RAYSERVICES, "default", "broken", {"spec": {"serveConfigV2": a_config(an_application("well"))}}
    )
    url = await service.up.url("broken")
    async with asking(url) as client:
        await client.until(lambda said: said.startswith("well, from broken-"))
    assert len({name for name in service.clusters if name.startswith("broken-")}) == 1

    await live.api.delete(RAYSERVICES, "default", "broken", propagation="Background")
    await live.all(PODS, lambda pods: not any(name.startswith("broken-") for name in pods))
    await live.all(RAYSERVICES, lambda services: list(services) == [NAME])


# What dies


async def test_a_replica_that_is_killed_is_replaced_in_the_same_pod(service: Service) -> None:
    """By Serve: the operator has nothing to do. A replica of the test before may be ending beside it, or its pod."""
    (before,) = (await service.live.all(PODS, lambda pods: len(pods) == 1)).values()
    clusters = service.clusters
    async with asking(service.url) as client:
        killed = process_of(await client.until(bool))

        service.up.kill(REPLICA, known_as=killed)
        await client.until(lambda said: process_of(said) != killed)

    await service.until(lambda one: is_ready(one) and running(one) == {"greeter"})
    (pod,) = service.live.now(PODS).values()
    assert (pod["metadata"]["uid"], restarts(pod)) == (before["metadata"]["uid"], restarts(before))
    assert service.clusters == clusters


def restarts(pod: Json) -> int:
    """Of the Ray container."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


@pytest.mark.spec("rayservice:E47")
async def test_a_service_whose_head_is_killed_comes_back_by_itself(service: Service) -> None:
    """The head starts anew in its pod and knows nothing: it gets its configuration again."""
    async with asking(service.url) as client:
        await client.until(bool)
        (pod,) = service.live.now(PODS)

        service.up.kill(HEAD)
        await service.live.until(PODS, pod, lambda one: one["status"]["containerStatuses"][0]["restartCount"] == 1)
        await service.live.until(PODS, pod, lambda one: not ready_pod(one))
        await service.live.until(PODS, pod, ready_pod)
        await client.until(lambda said: said.startswith(f"hello, from {pod}, "))

    sys.stdout.write(f"{client.told}\n")
    await service.until(lambda one: is_ready(one) and running(one) == {"greeter"})
    assert len(service.clusters) == 1
    assert set(service.live.now(PODS)) == {pod}


def ready_pod(pod: Json) -> bool:
    """By its own condition."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())


# What is asked to sleep


@pytest.mark.spec("rayservice:E51", "rayservice:E55")
async def test_a_suspended_service_has_nothing_that_runs_and_wakes_on_a_new_cluster(service: Service) -> None:
    """Its Services go, too; the new ones answer where `manta up` says."""
    (old,) = service.clusters

    await service.patch(suspend=True)
    asleep = await service.until(lambda one: condition(one, "Suspended")["status"] == "True")
    assert condition(asleep, "Ready")["reason"] == "SuspendComplete"
    assert service.live.now(CLUSTERS) == {}
    await service.live.gone(PODS)
    services = (await service.live.api.list("services", "default")).items
    assert [one["metadata"]["name"] for one in services if one["metadata"]["name"] != "kubernetes"] == []

    told = len(service.up.said)
    await service.patch(suspend=False)
    awake = await service.until(is_ready)

    assert condition(awake, "Suspended")["reason"] == "RayServiceResumed"
    assert role(awake, "active")["rayClusterName"] != old
    async with asking(await service.up.url(NAME, after=told)) as client:
        await client.until(lambda said: said.startswith(f"hello, from {NAME}-") and old not in said)
