"""Groups whose pods end one after another while users scale: no worker that works is lost without a reason."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REPLICA = "ray.io/worker-group-replica-name"
MOST = 4  # replicas

Moves = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, MOST)),
        st.tuples(st.just("name"), st.integers(0, 2 * MOST)),  # in workersToDelete, with one replica less
        st.tuples(st.just("vanish"), st.integers(0, 2 * MOST)),  # one of those that terminate
        st.tuples(st.just("die"), st.integers(0, 2 * MOST)),  # somebody takes its node
        st.just(("run", 0)),
        st.just(("pass", 0)),
    ),
    max_size=30,
)


class Walk:
    """A cluster with one group, whose operator looks whenever it is told."""

    def __init__(self, a: Any, hosts: int) -> None:
        self.hosts, self.wanted = hosts, 2
        self.named: list[str] = []
        self.world = a.world(a.body(a.group(self.wanted, numOfHosts=hosts)))
        self.world.settle()
        self.world.run()
        self.world.settle()

    def alive(self) -> dict[str, list[str]]:
        """Replicas all of whose hosts work."""
        found: dict[str, list[str]] = {}
        for name in self.world.workers:
            pod = self.world.pods[name]
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running":
                found.setdefault(pod["metadata"]["labels"].get(REPLICA, name), []).append(name)
        return {replica: pods for replica, pods in found.items() if len(pods) == self.hosts}

    def move(self, what: str, number: int) -> None:
        """One thing happens."""
        workers = self.world.workers
        ending = [name for name in workers if "deletionTimestamp" in self.world.pods[name]["metadata"]]
        match what:
            case "scale":
                self.wanted = number
                self.asked()
            case "name" if workers:
                self.named.append(workers[number % len(workers)])
                self.wanted = max(0, self.wanted - 1)
                self.asked()
            case "vanish" if ending:
                self.world.vanish(ending[number % len(ending)])
            case "die" if workers:
                self.world.vanish(workers[number % len(workers)])
            case "run":
                self.world.run()
            case _:
                self.looked()

    def asked(self) -> None:
        """The spec says so."""
        self.world.scale(self.wanted, maxReplicas=MOST, scaleStrategy={"workersToDelete": list(self.named)})

    def looked(self) -> None:
        """A pass: of the replicas that work and were not named, as many stay as are wanted."""
        before = [pods for pods in self.alive().values() if not set(pods) & set(self.named)]

        self.world.step()

        after = self.alive()
        kept = sum(pods in after.values() for pods in before)
        assert kept >= min(len(before), self.wanted), (before, after)

    def until_calm(self) -> None:
        """Everything that was begun comes to its end."""
        for _ in range(4):
            self.world.settle()
            self.world.vanish()
            self.world.run()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `a` is a class, and keeps nothing
@given(hosts=st.integers(1, 3), moves=Moves)
def test_however_pods_end_no_worker_that_works_goes_for_it_and_all_that_is_wanted_comes(
    a: Any, hosts: int, moves: list[tuple[str, int]]
) -> None:
    """A slice whose hosts end one after another is neither a replica nor a surplus."""
    walk = Walk(a, hosts)

    for what, number in moves:
        walk.move(what, number)
        walk.looked()
    walk.until_calm()

    assert len(walk.alive()) == walk.wanted
    assert len(walk.world.workers) == walk.wanted * hosts
