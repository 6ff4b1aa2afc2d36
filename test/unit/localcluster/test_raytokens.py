"""On a shared host Ray asks for a token unless its user says otherwise, and whoever made it is told."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from api.crds.installed import custom_resource_definitions
from api.meta import Json
from localcluster.apiserver.requests import Request, Review
from localcluster.raytokens import LOCKED, OPEN, SPECS, TokensByDefault
from localcluster.resources import ResourceInfo
from localcluster.running import running
from localcluster.testing.factories import a_raycluster, a_raycronjob, a_rayjob, a_rayservice
from manta.api import Api, connected, path_of

CLUSTER = path_of("ray.io/v1", "RayCluster", "default", "c")
MAKERS: dict[str, Callable[[], Json]] = {
    "RayCluster": partial(a_raycluster, "c"),
    "RayJob": partial(a_rayjob, "c"),
    "RayService": partial(a_rayservice, "c"),
    "RayCronJob": partial(a_raycronjob, "c", "@daily"),
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Of a cluster at this level, as `manta` speaks to it."""
    chance, at = random.Random(1), datetime(2024, 1, 1, tzinfo=UTC)
    socket = tmp_path / "s"
    async with (
        running(now=lambda: at, chance=chance, token="token", socket=socket, tokens=True) as cluster,
        connected(str(socket), "token") as api,
    ):
        for definition in custom_resource_definitions():
            await cluster.api.create("customresourcedefinitions.apiextensions.k8s.io", "", definition)
        yield api


def spec_of(body: Json) -> Json:
    """The spec of the RayCluster in it."""
    for name in SPECS[body["kind"]]:
        body = body[name]
    return body


@pytest.mark.parametrize("kind", SPECS)
async def test_who_says_nothing_of_authentication_gets_it(kind: str, api: Api) -> None:
    """Whatever the kind: the cluster that comes of it has its spec."""
    created = await api.create(MAKERS[kind]())

    assert spec_of(created)["authOptions"] == {"mode": "token"}
    assert api.warnings == [LOCKED]


async def test_a_version_is_no_text(api: Api) -> None:
    """2.100 is later than 2.52."""
    created = await api.create(a_raycluster("c", ray_version="2.100.0"))

    assert created["spec"]["authOptions"] == {"mode": "token"}


async def test_who_says_something_has_the_last_word(api: Api) -> None:
    """It may be that he wants none."""
    created = await api.create(a_raycluster("c", auth_options={"mode": "disabled"}))

    assert created["spec"]["authOptions"] == {"mode": "disabled"}
    assert api.warnings == []


@pytest.mark.parametrize("version", ["2.51.9", "2.9.0", "2.52.0-rc1", "nightly", None])
async def test_a_ray_that_may_not_know_tokens_is_left_alone_and_its_user_told(version: str | None, api: Api) -> None:
    """The operator would refuse it."""
    created = await api.create(a_raycluster("c", ray_version=version))

    assert "authOptions" not in created["spec"]
    assert api.warnings == [OPEN]


async def test_who_replaces_it_by_what_says_nothing_keeps_it(api: Api) -> None:
    """`kubectl replace` of the same file must not take the lock off a cluster that runs."""
    created = await api.create(a_raycluster("c"))
    again = a_raycluster("c", workers=0)
    again["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]

    replaced = await api.request("PUT", CLUSTER, body=again)

    assert replaced["spec"]["authOptions"] == {"mode": "token"}
    assert len(replaced["spec"].get("workerGroupSpecs") or ()) == 0


async def test_who_takes_it_off_has_taken_it_off(api: Api) -> None:
    """A replacement that says `disabled` is stored as it is."""
    created = await api.create(a_raycluster("c"))
    again = a_raycluster("c", auth_options={"mode": "disabled"})
    again["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]

    replaced = await api.request("PUT", CLUSTER, body=again)

    assert replaced["spec"]["authOptions"] == {"mode": "disabled"}


async def test_who_switched_it_off_and_then_says_nothing_does_not_get_it(api: Api) -> None:
    """What is kept is a lock: Ray's processes would not find a token that came to a cluster without."""
    created = await api.create(a_raycluster("c", auth_options={"mode": "disabled"}))
    again = a_raycluster("c")
    again["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]

    replaced = await api.request("PUT", CLUSTER, body=again)

    assert "authOptions" not in replaced["spec"]
    assert api.warnings == []


# Without a server: what it would not ask for, and who else is asked ---------------------------------------------------


class Others:
    """Admission that answers with what it is told to, and keeps what it was shown."""

    def __init__(self, answer: Json | None = None) -> None:
        self.answer, self.shown = answer, list[Json | None]()

    async def mutate(self, review: Review) -> Json | None:
        self.shown.append(review.object)
        return self.answer

    async def validate(self, review: Review) -> None:
        self.shown.append(review.object)


def a_review(subresource: str = "", *, group: str = "ray.io", version: str = "v1", kind: str = "RayCluster") -> Review:
    """A RayCluster is created, unless it is said otherwise."""
    request = Request(ResourceInfo(group, version, "rayclusters", "raycluster", kind), "default", "c", subresource)
    return Review("CREATE", request, "c", a_raycluster("c"), None, {}, False, [])


@pytest.mark.parametrize(
    "review",
    [a_review("status"), a_review(group="example.com"), a_review(version="v1alpha1"), a_review(kind="Service")],
    ids=["a status", "another group", "another version", "another kind"],
)
async def test_what_is_no_ray_object_of_ours_is_left_alone(review: Review) -> None:
    """A subresource least of all: there nothing but that can be changed."""
    assert await TokensByDefault(Others()).mutate(review) is None
    assert review.warnings == []


async def test_the_others_see_what_was_given_and_have_the_last_word() -> None:
    """The cluster's own webhooks come after this."""
    others, review = Others(), a_review()
    given = await TokensByDefault(others).mutate(review)

    assert given is not None
    assert others.shown == [given]
    assert await TokensByDefault(Others({"theirs": 1})).mutate(a_review()) == {"theirs": 1}


async def test_a_version_that_the_others_fill_in_counts() -> None:
    """The operator's webhook reads it off the head's image; the cluster that comes of it would have a token."""
    review = a_review()
    review.object = a_raycluster("c", ray_version=None)

    given = await TokensByDefault(Others(a_raycluster("c", ray_version="2.52.0"))).mutate(review)

    assert given is not None
    assert given["spec"]["authOptions"] == {"mode": "token"}
    assert review.warnings == [LOCKED]


async def test_who_is_given_options_by_the_others_keeps_those() -> None:
    """A webhook of the cluster's may have its own mind."""
    review = a_review()
    review.object = a_raycluster("c", ray_version=None)
    theirs = a_raycluster("c", auth_options={"mode": "disabled"})

    assert await TokensByDefault(Others(theirs)).mutate(review) == theirs
    assert review.warnings == []


async def test_the_others_validate() -> None:
    """What they refuse, this does not let pass."""
    others, review = Others(), a_review()
    await TokensByDefault(others).validate(review)

    assert others.shown == [review.object]


async def test_what_was_asked_is_not_changed_in_place() -> None:
    """It may be the stored object itself."""
    review = a_review()
    asked = review.object
    await TokensByDefault(Others()).mutate(review)

    assert asked == a_raycluster("c")
