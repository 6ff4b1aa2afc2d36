"""The verbs on plain objects: creating, changing, deleting, reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.requests import Admission, Answer, Body, ListAnswer, Options, Patch, Request, Review
from localcluster.apiserver.server import ApiServer

MAPS = "configmaps"


def asked(server: ApiServer, name: str = "", resource: str = MAPS, **options: Any) -> Request:
    """A request in the namespace `default`."""
    found = server.registry.named(resource)
    assert found is not None
    return Request(found, "default" if found.namespaced else "", name, options=Options(**options))


def a_map(name: str = "a", data: Json | None = None, **metadata: Any) -> Json:
    return {"metadata": {"name": name, **metadata}, "data": data or {"x": "1"}}


async def refused(doing: Any) -> Refusal:
    """The refusal that the call ends in."""
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value


# -- Create


@pytest.mark.spec("kube-api:CRT-1")
async def test_the_server_sets_what_is_its_own_over_whatever_was_sent(api: LocalApi) -> None:
    """Identity, time, version."""
    sent = a_map(uid="mine", creationTimestamp="2001-01-01T00:00:00Z", selfLink="/x", managedFields=[{}])

    made = await api.create(MAPS, "default", sent)

    metadata = made["metadata"]
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["uid"] != "mine"
    assert metadata.keys() == {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}


async def test_what_the_caller_sent_is_not_changed(api: LocalApi) -> None:
    """A caller may create the same body twice under two names."""
    sent = a_map(labels={"a": "b"})
    before = {"metadata": dict(sent["metadata"]), "data": dict(sent["data"])}

    await api.create(MAPS, "default", sent)

    assert sent == before


@pytest.mark.spec("kube-api:CRT-3")
async def test_a_generated_name_is_at_most_63_characters_long(api: LocalApi) -> None:
    """The base is cut, the five random characters are not."""
    made = await api.create(MAPS, "default", {"metadata": {"generateName": "y" * 62 + "-"}})

    assert len(made["metadata"]["name"]) == 63
    assert made["metadata"]["name"].startswith("y" * 58)


@pytest.mark.spec("kube-api:ERR-5")
async def test_a_taken_name_is_refused(api: LocalApi) -> None:
    """Also in a dry run."""
    await api.create(MAPS, "default", a_map())

    refusal = await refused(api.create(MAPS, "default", a_map()))

    assert (refusal.code, refusal.reason, refusal.message) == (409, "AlreadyExists", 'configmaps "a" already exists')
    assert refusal.status["details"] == {"name": "a", "kind": "configmaps"}


@pytest.mark.spec("kube-api:CRT-9")
async def test_a_dry_run_answers_and_leaves_nothing(server: ApiServer) -> None:
    """With a uid and without a version."""
    answer = await server.create(asked(server, dry_run=("All",)), Body(a_map()))

    assert answer.code == 201
    assert "resourceVersion" not in answer.object["metadata"]
    assert (await server.list(asked(server))).items == []


@pytest.mark.spec("kube-api:CRT-4", "kube-api:DEL-16")
async def test_nothing_is_created_in_a_namespace_that_is_absent_or_going(api: LocalApi) -> None:
    """404, and 403 with a cause that controllers look for."""
    await api.create("namespaces", "", {"metadata": {"name": "going"}})
    await api.delete("namespaces", "", "going")

    absent = await refused(api.create(MAPS, "nope", a_map()))
    going = await refused(api.create(MAPS, "going", a_map()))

    assert (absent.code, absent.message) == (404, 'namespaces "nope" not found')
    assert (going.code, going.details["causes"][0]["reason"]) == (403, "NamespaceTerminating")


@pytest.mark.spec("kube-api:FV-1")
@pytest.mark.parametrize(("mode", "warned"), [("", True), ("Warn", True), ("Ignore", False)])
async def test_unknown_and_duplicate_fields_are_warned_of_unless_ignored(
    server: ApiServer, mode: str, warned: bool
) -> None:
    """And dropped in any case."""
    body = Body({**a_map(zork=1), "Data": {}}, duplicates=("data",))

    answer = await server.create(asked(server, field_validation=mode), body)

    warnings = ('duplicate field "data"', 'unknown field "metadata.zork"', 'unknown field "Data"')
    assert answer.warnings == (warnings if warned else ())
    assert "Data" not in answer.object


@pytest.mark.spec("kube-api:FV-1")
async def test_a_strict_request_with_an_unknown_field_is_refused(server: ApiServer) -> None:
    """400, before anything else is checked."""
    body = Body({**a_map(), "bogus": 1}, duplicates=("data.x",))

    refusal = await refused(server.create(asked(server, field_validation="Strict"), body))

    problems = 'strict decoding error: duplicate field "data.x", unknown field "bogus"'
    assert refusal.message == f'ConfigMap in version "v1" cannot be handled as a ConfigMap: {problems}'


@pytest.mark.spec("kube-api:UPD-7")
async def test_metadata_that_breaks_the_rules_is_refused_with_every_cause(api: LocalApi) -> None:
    """Owners, two controllers, labels."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "uid": "u", "controller": True}
    owners = [{**owner, "name": "a"}, {**owner, "name": "b"}, {"kind": "X"}]

    refusal = await refused(api.create(MAPS, "default", a_map(ownerReferences=owners, labels={"a b": "c"})))

    fields = [cause["field"] for cause in refusal.details["causes"]]
    assert fields == [
        "metadata.labels",
        "metadata.ownerReferences.apiVersion",
        "metadata.ownerReferences.name",
        "metadata.ownerReferences.uid",
        "metadata.ownerReferences",
    ]


# -- Update and patch


@pytest.mark.spec("kube-api:UPD-5")
async def test_a_write_that_changes_nothing_takes_no_version(api: LocalApi, server: ApiServer) -> None:
    """Put or patch."""
    made = await api.create(MAPS, "default", a_map())
    version = server.version

    await api.update(MAPS, "default", made)
    again = await api.patch(MAPS, "default", "a", {"data": {"x": "1"}})

    assert (server.version, again) == (version, made)


@pytest.mark.spec("kube-api:ERR-6", "kube-api:UPD-1", "kube-api:PATCH-3")
async def test_a_stale_version_is_a_conflict_and_none_is_not(api: LocalApi) -> None:
    """For puts and for patches that carry one."""
    made = await api.create(MAPS, "default", a_map())
    stale = made["metadata"]["resourceVersion"]
    await api.patch(MAPS, "default", "a", {"data": {"x": "2"}})

    put = await refused(api.update(MAPS, "default", made))
    patch = await refused(api.patch(MAPS, "default", "a", {"metadata": {"resourceVersion": stale}, "data": {"x": "3"}}))
    free = await api.update(MAPS, "default", a_map(data={"x": "4"}))

    assert {put.reason, patch.reason} == {"Conflict"}
    assert free["data"] == {"x": "4"}


@pytest.mark.spec("kube-api:UPD-2", "kube-api:PATCH-3")
async def test_another_uid_is_never_written_to(api: LocalApi) -> None:
    """409 for a put, 422 for a patch."""
    await api.create(MAPS, "default", a_map())

    put = await refused(api.update(MAPS, "default", a_map(uid="nope", data={"x": "2"})))
    patch = await refused(api.patch(MAPS, "default", "a", {"metadata": {"uid": "nope"}}))

    assert (put.code, "Precondition failed: UID in precondition: nope" in put.message) == (409, True)
    assert (patch.code, patch.details["causes"][0]["field"]) == (422, "metadata.uid")


@pytest.mark.spec("kube-api:UPD-4")
@pytest.mark.parametrize(("resource", "code"), [("leases.coordination.k8s.io", 0), (MAPS, 404), ("pods", 404)])
async def test_a_put_to_an_absent_name_creates_only_some_kinds(api: LocalApi, resource: str, code: int) -> None:
    """Leases among them."""
    body = {"metadata": {"name": "new"}, "spec": {"containers": [{"name": "a", "image": "i"}]}}

    if code:
        assert (await refused(api.update(resource, "default", body))).code == code
    else:
        assert (await api.update(resource, "default", {"metadata": {"name": "new"}}))["metadata"]["uid"]


@pytest.mark.spec("kube-api:PATCH-1")
async def test_patches_that_are_not_understood_are_refused_as_such(server: ApiServer) -> None:
    """Even for an absent object."""
    request = asked(server, "nope")

    assert (await refused(server.patch(request, Patch("apply", {})))).code == 415


@pytest.mark.spec("kube-api:PATCH-4", "kube-api:TOP-11")
async def test_a_json_patch_that_does_not_fit_is_invalid_without_details(api: LocalApi) -> None:
    """The bare sentence."""
    await api.create(MAPS, "default", a_map())

    refusal = await refused(
        api.patch(MAPS, "default", "a", [{"op": "test", "path": "/data/x", "value": "9"}], kind="json")
    )

    assert (refusal.code, refusal.reason, refusal.details) == (422, "Invalid", {})
    assert refusal.message == "the server rejected our request due to an error in our request"


@pytest.mark.spec("kube-api:PATCH-6")
async def test_a_patch_that_makes_something_else_of_the_object_is_invalid(api: LocalApi) -> None:
    """The subject is empty, the field is `patch`."""
    await api.create(MAPS, "default", a_map())

    refusal = await refused(api.patch(MAPS, "default", "a", {"data": {"x": 5}}))

    assert refusal.message.startswith(' "" is invalid: patch: Invalid value: "{')
    assert refusal.message.endswith("cannot unmarshal number into Go struct field ConfigMap.data of type string")
    assert [cause["field"] for cause in refusal.details["causes"]] == ["patch"]


@pytest.mark.spec("kube-api:PATCH-2")
async def test_a_dry_patch_answers_with_the_version_that_stays(server: ApiServer, api: LocalApi) -> None:
    """And nothing is stored."""
    made = await api.create(MAPS, "default", a_map())

    answer = await server.patch(asked(server, "a", dry_run=("All",)), Patch("merge", {"data": {"x": "dry"}}))

    assert answer.object["data"] == {"x": "dry"}
    assert answer.object["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert await api.get(MAPS, "default", "a") == made


# -- Delete


@pytest.mark.spec("kube-api:DEL-1", "kube-api:DEL-6")
async def test_an_object_with_a_finalizer_goes_when_that_goes(api: LocalApi, server: ApiServer) -> None:
    """Until then it is marked, and no finalizer can be added."""
    await api.create(MAPS, "default", a_map(finalizers=["a.b/c"]))

    marked = await server.delete(asked(server, "a"))
    more = await refused(api.patch(MAPS, "default", "a", {"metadata": {"finalizers": ["a.b/c", "x.y/z"]}}))
    last = await api.patch(MAPS, "default", "a", {"metadata": {"finalizers": None}})

    assert marked.object["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert more.message.endswith('found new finalizers []string{"x.y/z"}')
    assert last["metadata"]["resourceVersion"] == marked.object["metadata"]["resourceVersion"]
    assert (await refused(api.get(MAPS, "default", "a"))).code == 404


@pytest.mark.spec("kube-api:DEL-4")
async def test_a_delete_of_another_uid_deletes_nothing(api: LocalApi) -> None:
    """A reused name is not hit by mistake; here the details name the kind."""
    await api.create(MAPS, "default", a_map())

    refusal = await refused(api.delete(MAPS, "default", "a", uid="nope"))

    assert (refusal.code, refusal.details["kind"]) == (409, "ConfigMap")
    assert (await api.get(MAPS, "default", "a"))["metadata"]["name"] == "a"


@pytest.mark.spec("kube-api:DEL-7")
@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_dependents_are_left_to_the_garbage_collector(api: LocalApi, policy: str, finalizer: str) -> None:
    """Which finds the finalizer it must take away."""
    await api.create(MAPS, "default", a_map())

    await api.delete(MAPS, "default", "a", propagation=policy)

    assert (await api.get(MAPS, "default", "a"))["metadata"]["finalizers"] == [finalizer]


@pytest.mark.spec("kube-api:DEL-7")
async def test_an_object_on_its_way_out_can_still_be_made_to_wait_for_its_dependents(api: LocalApi) -> None:
    """A second delete, in the foreground."""
    await api.create(MAPS, "default", a_map(finalizers=["example.com/mine"]))
    await api.delete(MAPS, "default", "a", propagation="Background")

    await api.delete(MAPS, "default", "a", propagation="Foreground")

    assert (await api.get(MAPS, "default", "a"))["metadata"]["finalizers"] == ["example.com/mine", "foregroundDeletion"]


@pytest.mark.spec("kube-api:DEL-10")
async def test_deleting_a_collection_answers_it_as_it_was(api: LocalApi, server: ApiServer) -> None:
    """Selectors choose."""
    for name, group in (("a", "x"), ("b", "y"), ("c", "x")):
        await api.create(MAPS, "default", a_map(name, labels={"g": group}))

    gone = await server.delete_collection(asked(server, labels="g=x"))

    assert [one["metadata"]["name"] for one in gone.objects] == ["a", "c"]
    assert [one["metadata"]["name"] for one in (await api.list(MAPS, "default")).items] == ["b"]


@pytest.mark.spec("kube-api:DEL-13")
async def test_a_namespace_goes_when_its_own_finalizer_went(api: LocalApi) -> None:
    """Through /finalize; the main path does not touch it."""
    await api.create("namespaces", "", {"metadata": {"name": "n"}})

    await api.delete("namespaces", "", "n")
    going = await api.patch("namespaces", "", "n", {"spec": {"finalizers": []}})
    await api.update("namespaces", "", {"metadata": {"name": "n"}, "spec": {"finalizers": []}}, subresource="finalize")

    assert (going["status"]["phase"], going["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
    assert (await refused(api.get("namespaces", "", "n"))).code == 404


# -- Lists


async def page(server: ApiServer, **options: Any) -> ListAnswer:
    return await server.list(asked(server, **options))


@pytest.mark.spec("kube-api:LIST-2", "kube-api:LIST-3")
async def test_all_pages_show_the_state_of_the_first(server: ApiServer, api: LocalApi) -> None:
    """What was created or deleted in between does not show."""
    for name in "abcde":
        await api.create(MAPS, "default", a_map(name))
    first = await page(server, limit=2)
    await api.create(MAPS, "default", a_map("cc"))
    await api.delete(MAPS, "default", "d")

    second = await page(server, limit=2, continue_=first.continue_)
    third = await page(server, limit=2, continue_=second.continue_)

    names = [one["metadata"]["name"] for part in (first, second, third) for one in part.objects]
    assert names == ["a", "b", "c", "d", "e"]
    assert [part.remaining for part in (first, second, third)] == [3, 1, None]
    assert {part.resource_version for part in (first, second, third)} == {first.resource_version}


@pytest.mark.spec("kube-api:LIST-8", "kube-api:TOP-8")
async def test_an_expired_page_offers_to_go_on_from_the_present(server: ApiServer, api: LocalApi) -> None:
    """410, with a token in the metadata of the Status."""
    for name in "abc":
        await api.create(MAPS, "default", a_map(name))
    first = await page(server, limit=1)
    await api.delete(MAPS, "default", "b")
    server.compact()

    expired = await refused(page(server, limit=1, continue_=first.continue_))
    rest = await page(server, limit=1, continue_=expired.status["metadata"]["continue"])

    assert (expired.code, expired.reason) == (410, "Expired")
    assert [one["metadata"]["name"] for one in rest.objects] == ["c"]


@pytest.mark.spec("kube-api:LIST-6")
async def test_a_list_of_a_version_is_exact_only_when_asked(server: ApiServer, api: LocalApi) -> None:
    """With a limit, or by Exact; otherwise it is not older."""
    await api.create(MAPS, "default", a_map("a"))
    then = str(server.version)
    await api.create(MAPS, "default", a_map("b"))

    exact = await page(server, resource_version=then, resource_version_match="Exact")
    limited = await page(server, resource_version=then, limit=10)
    newer = await page(server, resource_version=then)

    assert [len(one.items) for one in (exact, limited, newer)] == [1, 1, 2]


@pytest.mark.spec("kube-api:LIST-5")
async def test_version_nought_ignores_the_limit(server: ApiServer, api: LocalApi) -> None:
    """As the watch cache does."""
    for name in "abc":
        await api.create(MAPS, "default", a_map(name))

    assert len((await page(server, resource_version="0", limit=2)).items) == 3


@pytest.mark.spec("kube-api:LIST-1")
async def test_items_of_built_in_lists_do_not_say_what_they_are(server: ApiServer, api: LocalApi) -> None:
    """The list does."""
    await api.create(MAPS, "default", a_map())

    listed = await page(server)

    assert listed.objects[0].keys() == {"metadata", "data"}
    assert listed.raw.startswith(b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":')


@pytest.mark.looptime
@pytest.mark.spec("kube-api:ERR-15", "kube-api:GET-1")
async def test_a_version_of_the_future_is_waited_for_three_seconds(server: ApiServer, api: LocalApi) -> None:
    """Then the answer is 504."""
    await api.create(MAPS, "default", a_map())

    refusal = await refused(server.get(asked(server, "a", resource_version="999")))

    assert refusal.message == f"Timeout: Too large resource version: 999, current: {server.version}"
    assert refusal.details["retryAfterSeconds"] == 1


# -- Admission


class Changing:
    """Admission that changes objects, lets something happen meanwhile, or refuses."""

    def __init__(self, **does: Any) -> None:
        self.does = does
        self.seen: list[Review] = []

    async def mutate(self, review: Review) -> Json | None:
        self.seen.append(replace(review))
        if "meanwhile" in self.does:
            await self.does.pop("meanwhile")
        if review.object is None:
            return None
        return {**review.object, **self.does["merge"]} if "merge" in self.does else None

    async def validate(self, review: Review) -> None:
        self.seen.append(replace(review))
        if review.operation in self.does.get("refuse", ()):
            raise Refusal(403, "Forbidden", "no")


def admitted_by(server: ApiServer, admission: Admission) -> ApiServer:
    server.admission = admission
    return server


@pytest.mark.spec("kube-api:CRT-3", "kube-api:ADM-3", "kube-api:ADM-13")
async def test_admission_changes_objects_before_they_are_named_and_judges_them_after(server: ApiServer) -> None:
    """What it adds is decoded like what a client sends."""
    admission = Changing(merge={"data": {"x": "changed"}, "zork": 1})
    body = Body({"metadata": {"generateName": "gen-"}})

    made = await admitted_by(server, admission).create(asked(server), body)

    mutating, validating = admission.seen
    assert (mutating.name, mutating.object and "uid" in mutating.object["metadata"]) == ("", False)
    assert validating.name == made.object["metadata"]["name"]
    assert (made.object["data"], "zork" in made.object) == ({"x": "changed"}, False)


@pytest.mark.spec("kube-api:PATCH-3")
async def test_a_patch_is_tried_again_when_the_object_changed_while_admission_was_asked(
    server: ApiServer, api: LocalApi
) -> None:
    """Both changes are kept."""
    await api.create(MAPS, "default", a_map())
    other = api.patch(MAPS, "default", "a", {"data": {"other": "1"}})
    admitted_by(server, Changing(meanwhile=other))

    done: Answer = await server.patch(asked(server, "a"), Patch("merge", {"data": {"mine": "1"}}))

    assert done.object["data"] == {"x": "1", "other": "1", "mine": "1"}


async def test_a_put_with_a_version_conflicts_when_the_object_changed_meanwhile(
    server: ApiServer, api: LocalApi
) -> None:
    """It named the version it had seen."""
    made = await api.create(MAPS, "default", a_map())
    other = api.patch(MAPS, "default", "a", {"data": {"other": "1"}})
    admitted_by(server, Changing(meanwhile=other))

    assert (await refused(api.update(MAPS, "default", {**made, "data": {}}))).reason == "Conflict"


async def test_admission_is_asked_about_deletes_with_the_old_object_alone(server: ApiServer, api: LocalApi) -> None:
    """And may refuse them."""
    await api.create(MAPS, "default", a_map())
    admission = Changing(refuse=("DELETE",))
    admitted_by(server, admission)

    assert (await refused(api.delete(MAPS, "default", "a", propagation="Foreground"))).code == 403
    review = admission.seen[-1]
    assert (review.object, review.old_object and review.old_object["metadata"]["name"]) == (None, "a")
    assert review.options == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/v1",
        "propagationPolicy": "Foreground",
    }


@pytest.mark.spec("kube-api:ADM-4")
async def test_admission_is_asked_about_a_patch_that_changes_nothing(server: ApiServer, api: LocalApi) -> None:
    """And about a dry run, which it is told."""
    made = await api.create(MAPS, "default", a_map())
    admission = Changing()
    admitted_by(server, admission)

    await server.patch(asked(server, "a"), Patch("merge", {}))
    await server.patch(asked(server, "a", dry_run=("All",)), Patch("merge", {"data": {"x": "2"}}))

    assert [review.dry_run for review in admission.seen] == [False, False, True, True]
    assert {review.options["kind"] for review in admission.seen} == {"UpdateOptions"}
    assert await api.get(MAPS, "default", "a") == made
