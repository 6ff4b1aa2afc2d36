"""A random history of a cluster: users, losses and faults in an order that nobody chose, told again by its seed.

    async with a_cluster(restart_after=2.0) as cluster:
        await Walk(cluster, seed=7).go(steps=30)

After each step the promises of `promises.Witness` hold; at the end, when all faults are over, everything settles. What
breaks is raised with the seed and the steps that led there.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final, TypeAlias

from localcluster.api import Refusal
from localcluster.faults import Crash, When
from localcluster.testing.cluster import OPERATOR, Cluster
from localcluster.testing.factories import a_raycluster, a_rayjob
from localcluster.testing.promises import Witness, settled
from localcluster.testing.view import View

__all__ = ["Walk"]

Step: TypeAlias = Callable[[], Awaitable[str]]

CLUSTERS: Final = ("r0", "r1")
JOBS: Final = ("j0", "j1")
MOST_WORKERS: Final = 4
SETTLES_SECONDS: Final = 2400.0  # crash loops end after 5 min, silence of a dashboard is a failure after 5, and again
ERRORS: Final = (
    (409, "Conflict"),
    (429, "TooManyRequests"),
    (500, "InternalError"),
    (503, "ServiceUnavailable"),
    (504, "Timeout"),
)


class Walk:
    """One history. `said` is what happened so far, a line a step."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.said: list[str] = []
        self._cluster, self._seed = cluster, seed
        self._chance = random.Random(seed)
        self._open: list[tuple[float, ExitStack]] = []  # what hampers watches, and until when
        self._away = False
        self._steps: tuple[tuple[int, Step], ...] = (
            (6, self._create_cluster),
            (6, self._scale_cluster),
            (3, self._suspend_cluster),
            (2, self._delete_cluster),
            (6, self._create_job),
            (3, self._suspend_job),
            (2, self._delete_job),
            (5, self._lose_pod),
            (2, self._end_container),
            (3, self._lose_something),
            (5, self._kill_now),
            (6, self._kill_at_a_write),
            (8, self._fail_a_write),
            (4, self._fail_a_read),
            (3, self._hamper_watches),
            (3, self._cut_watches),
            (2, self._dashboards_go_and_come),
        )

    async def go(self, steps: int) -> None:
        """So many steps, and then rest."""
        witness = Witness(self._cluster)
        weights = [weight for weight, _ in self._steps]
        try:
            self._script_jobs()
            self._script_ends()
            for _, step in self._chance.choices(self._steps, weights, k=steps):
                self.said.append(f"{self._cluster.elapsed.total_seconds():8.1f} {await step()}")
                await self._time_passes()
                witness.check()
            await self._calm()
            witness.check()
            await settled(self._cluster)
            witness.check()
        except BaseException as error:
            error.add_note("\n".join((f"walk of seed {self._seed}:", *self.said)))
            raise
        finally:
            self._release(float("inf"))

    # Time ----------------------------------------------------------------------------------------------------------

    async def _time_passes(self) -> None:
        await self._cluster.after(self._chance.choice((0.0, 0.05, 0.3, 1.0, 3.0, 10.0, 45.0)))
        self._release(self._cluster.elapsed.total_seconds())

    def _release(self, now: float) -> None:
        """What hampers watches no longer than now ends."""
        for until, stack in list(self._open):
            if until <= now:
                stack.close()
                self._open.remove((until, stack))

    async def _calm(self) -> None:
        """Nothing more goes wrong, and there is time to mend what did."""
        self.said.append(f"{self._cluster.elapsed.total_seconds():8.1f} all faults are over")
        self._release(float("inf"))
        self._cluster.faults.clear()
        if self._away:
            self._cluster.dashboards.reachable()
        await self._cluster.after(SETTLES_SECONDS)

    # Users ---------------------------------------------------------------------------------------------------------

    def _script_jobs(self) -> None:
        self._cluster.dashboards.script("*fails*", outcome="FAILED", code=1)
        self._cluster.dashboards.script("*lasts*", runs_seconds=90.0)

    def _script_ends(self) -> None:
        """Pods take their time to end, each another one, and some too long."""
        for names in ("*[b-h]", "*[j-r]"):
            self._cluster.node.script(names, stop_seconds=self._chance.choice((0.0, 2.0, 20.0, 60.0)))

    async def _create_cluster(self) -> str:
        name, workers = self._chance.choice(CLUSTERS), self._chance.randint(0, MOST_WORKERS)
        spec: dict[str, Any] = {"upgrade_strategy": {"type": "Recreate"}} if self._chance.random() < 0.3 else {}
        if self._chance.random() < 0.15:
            spec["suspend"] = True
        body = a_raycluster(name, workers=workers, **spec)
        hosts = self._chance.choice((1, 1, 2))
        for group in body["spec"].get("workerGroupSpecs", ()):
            group["numOfHosts"] = hosts
        return await self._asked(f"create {name} with {workers} workers of {hosts}, {spec}", body)

    async def _scale_cluster(self) -> str:
        name, workers = self._chance.choice(CLUSTERS), self._chance.randint(0, MOST_WORKERS)
        found = await self._cluster.find("RayCluster", name)
        if found is None or not found.spec.worker_group_specs:
            return f"{name} cannot be scaled"
        groups = [{**group, "replicas": workers} for group in found.spec.worker_group_specs]
        await self._cluster.patch("RayCluster", name, {"spec": {"workerGroupSpecs": groups}})
        return f"scale {name} to {workers}"

    async def _suspend_cluster(self) -> str:
        return await self._turned("RayCluster", self._chance.choice(CLUSTERS))

    async def _delete_cluster(self) -> str:
        return await self._gone("RayCluster", self._chance.choice(CLUSTERS))

    async def _create_job(self) -> str:
        name, chance = self._chance.choice(JOBS), self._chance
        entrypoint = chance.choice(("python works.py", "python works.py", "python fails.py", "python lasts.py"))
        spec: dict[str, Any] = {"submission_mode": chance.choice(("K8sJobMode", "HTTPMode")), "entrypoint": entrypoint}
        if chance.random() < 0.25:
            spec["cluster_selector"] = {"ray.io/cluster": chance.choice(CLUSTERS)}
        else:
            spec |= {"shutdown_after_job_finishes": True, "backoff_limit": chance.choice((0, 0, 1, 2))}
            spec |= chance.choice(({}, {}, {"active_deadline_seconds": 60}, {"pre_running_deadline_seconds": 60}))
        workers = chance.randint(0, 2)
        return await self._asked(f"create {name}, {spec}", a_rayjob(name, workers=workers, **spec))

    async def _suspend_job(self) -> str:
        name = self._chance.choice(JOBS)
        found = await self._cluster.find("RayJob", name)
        if found is None or found.spec.cluster_selector:
            return f"{name} cannot be suspended"
        return await self._turned("RayJob", name)

    async def _delete_job(self) -> str:
        return await self._gone("RayJob", self._chance.choice(JOBS))

    async def _asked(self, said: str, body: dict[str, Any]) -> str:
        try:
            await self._cluster.create(body)
        except Refusal as refusal:
            if refusal.code != 409:
                raise
            return f"{said}: it exists"
        return said

    async def _turned(self, kind: str, name: str) -> str:
        """Suspend is set, or taken back."""
        found = await self._cluster.find(kind, name)
        if found is None:
            return f"no {name} to suspend"
        suspend = not found.spec.suspend
        await self._cluster.patch(kind, name, {"spec": {"suspend": suspend}})
        return f"{'suspend' if suspend else 'resume'} {name}"

    async def _gone(self, kind: str, name: str) -> str:
        if await self._cluster.find(kind, name) is None:
            return f"no {name} to delete"
        await self._cluster.delete(kind, name, propagation=self._chance.choice(("Background", "Foreground")))
        return f"delete {name}"

    # Losses --------------------------------------------------------------------------------------------------------

    async def _lose_pod(self) -> str:
        pods = await self._ray_pods()
        if not pods:
            return "no pod to lose"
        pod = self._chance.choice(pods)
        await self._cluster.delete("Pod", pod.name, grace_seconds=self._chance.choice((None, 0)))
        return f"lose pod {pod.name}"

    async def _end_container(self) -> str:
        pods = [pod for pod in await self._ray_pods() if pod.status.phase == "Running"]
        if not pods:
            return "no container to end"
        pod = self._chance.choice(pods)
        container = pod.spec.containers[0].name
        try:
            self._cluster.node.exit_container(pod.name, container, self._chance.choice((0, 1, 137)))
        except KeyError:
            return f"{container} of {pod.name} does not run"
        return f"end {container} of {pod.name}"

    async def _lose_something(self) -> str:
        kind = self._chance.choice(("Service", "Job", "RayCluster"))
        found = [one for one in await self._cluster.all_of(kind) if one.metadata.owner_references]
        if not found:
            return f"no {kind} to lose"
        one = self._chance.choice(found)
        await self._cluster.delete(kind, one.name, propagation="Background")
        return f"lose {kind} {one.name}"

    async def _ray_pods(self) -> list[View]:
        return [pod for pod in await self._cluster.all_of("Pod") if (pod.metadata.labels or {}).get("ray.io/cluster")]

    # Faults --------------------------------------------------------------------------------------------------------

    async def _kill_now(self) -> str:
        if not self._cluster.operating:
            return "the operator is dead already"
        self._cluster.faults.crashed()
        return "kill the operator"

    async def _kill_at_a_write(self) -> str:
        at: Crash = self._chance.choice(("before", "after", "answered"))
        nth = self._chance.randint(1, 4)
        self._cluster.faults.crash(When(writes=True, agent=OPERATOR, nth=nth, also=_counts), at)
        return f"kill the operator {at} its write {nth} from now"

    async def _fail_a_write(self) -> str:
        """A write is refused, lost on one of its ways, sent twice, or late."""
        nth, faults = self._chance.randint(1, 4), self._cluster.faults
        when = When(writes=True, agent=OPERATOR, nth=nth, also=_counts)
        how = self._chance.choice(("refused", "request lost", "answer lost", "sent twice", "late", "refused for long"))
        if how == "refused for long":
            verb, resource = self._chance.choice((("create", "pods"), ("patch", "*"), ("delete", "*")))
            times, code = self._chance.randint(2, 9), self._chance.choice((403, 500))
            reason = "Forbidden" if code == 403 else "InternalError"
            faults.refuse(When(verb, resource, agent=OPERATOR), code, reason, "exceeded quota", times=times)
            return f"{times} times {verb} {resource} is refused, {code}"
        if how == "refused":
            code, reason = self._chance.choice(ERRORS)
            wait = self._chance.choice((None, 1, 5)) if code in (429, 503) else None
            when.also = _counts if code != 409 else _may_conflict
            faults.refuse(when, code, reason, retry_after_seconds=wait)
            return f"write {nth} from now is refused, {code}"
        if how == "late":
            seconds = self._chance.choice((0.5, 5.0, 25.0))
            faults.delay(when, seconds)
            return f"write {nth} from now is {seconds:g} s late"
        {"request lost": faults.drop_request, "answer lost": faults.drop_answer, "sent twice": faults.replay}[how](when)
        return f"write {nth} from now: {how}"

    async def _fail_a_read(self) -> str:
        verb = self._chance.choice(("list", "watch", "get"))
        code, reason = self._chance.choice(((429, "TooManyRequests"), (500, "InternalError"), (410, "Expired")))
        times = self._chance.randint(1, 4)
        self._cluster.faults.refuse(When(verb, agent=OPERATOR), code, reason, times=times)
        return f"{times} times {verb} is refused, {code}"

    async def _hamper_watches(self) -> str:
        resource = self._chance.choice(("*", "pods", "rayclusters.ray.io", "rayjobs.ray.io"))
        seconds, faults = self._chance.choice((1.0, 8.0, 40.0)), self._cluster.faults
        late = self._chance.random() < 0.5
        block: AbstractContextManager[None] = (
            faults.lagging(seconds, resource=resource, agent=OPERATOR)
            if late
            else faults.holding_watches(resource=resource, agent=OPERATOR)
        )
        stack = ExitStack()
        stack.enter_context(block)
        until = self._cluster.elapsed.total_seconds() + self._chance.choice((2.0, 15.0, 90.0))
        self._open.append((until, stack))
        return f"watches of {resource} are {f'{seconds:g} s late' if late else 'silent'} until {until:.0f}"

    async def _cut_watches(self) -> str:
        resource = self._chance.choice(("*", "pods", "rayclusters.ray.io"))
        if forget := self._chance.random() < 0.5:
            self._cluster.server.compact()
        cut = self._cluster.faults.cut_watches(resource=resource, agent=OPERATOR)
        return f"cut {cut} watches of {resource}{', history is forgotten' if forget else ''}"

    async def _dashboards_go_and_come(self) -> str:
        self._away = not self._away
        if self._away:
            self._cluster.dashboards.unreachable()
        else:
            self._cluster.dashboards.reachable()
        return f"dashboards are {'away' if self._away else 'back'}"


def _counts(asked: Any) -> bool:
    """Events are best effort: nothing depends on them."""
    return not asked.resource.startswith("events")


def _may_conflict(asked: Any) -> bool:
    """A create can exist already, but is never in conflict."""
    return _counts(asked) and asked.verb in ("patch", "delete")
