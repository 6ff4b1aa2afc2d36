"""Jobs, events, leases, secrets and the other small kinds."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver.kinds.base import DecodeError
from localcluster.apiserver.kinds.quantities import amount, canonical
from localcluster.apiserver.local import LocalApi

JOBS = "jobs.batch"
EVENTS = "events.events.k8s.io"
LEASES = "leases.coordination.k8s.io"


def a_job(**template: Any) -> Json:
    spec = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}], **template}
    return {"metadata": {"name": "j"}, "spec": {"template": {"spec": spec}}}


async def refused(doing: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value


@pytest.mark.spec("kube-api:JOB-1")
async def test_a_job_is_given_counts_and_the_labels_of_its_pods(api: LocalApi) -> None:
    """With and without the prefix."""
    job = await api.create(JOBS, "default", a_job())

    spec, uid = job["spec"], job["metadata"]["uid"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"], spec["suspend"]) == (1, 1, 6, False)
    assert (spec["completionMode"], spec["podReplacementPolicy"]) == ("NonIndexed", "TerminatingOrFailed")
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = spec["template"]["metadata"]["labels"]
    assert (labels["job-name"], labels["batch.kubernetes.io/controller-uid"]) == ("j", uid)
    assert job["metadata"]["labels"] == labels


@pytest.mark.spec("kube-api:JOB-1")
async def test_a_job_must_say_what_becomes_of_a_failed_pod(api: LocalApi) -> None:
    """There is no default."""
    job = a_job()
    del job["spec"]["template"]["spec"]["restartPolicy"]

    refusal = await refused(api.create(JOBS, "default", job))

    text = 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    assert refusal.message == f'Job.batch "j" is invalid: {text}'


async def test_the_template_of_a_job_that_runs_stays(api: LocalApi) -> None:
    """It may still be suspended."""
    await api.create(JOBS, "default", a_job())
    other = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "other"}]}}}}

    refusal = await refused(api.patch(JOBS, "default", "j", other))
    suspended = await api.patch(JOBS, "default", "j", {"spec": {"suspend": True}})

    assert [cause["field"] for cause in refusal.details["causes"]] == ["spec.template"]
    assert (suspended["spec"]["suspend"], suspended["metadata"]["generation"]) == (True, 2)


@pytest.mark.spec("kube-api:EVT-1")
async def test_an_event_of_the_new_api_shows_in_the_old_one(api: LocalApi) -> None:
    """One store, two views."""
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "R",
        "note": "n",
        "type": "Normal",
        "action": "A",
        "reportingController": "x.y/c",
        "reportingInstance": "i",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }

    made = await api.create(EVENTS, "default", event)
    old = await api.get("events", "default", "e")

    assert (made["note"], made["deprecatedFirstTimestamp"], "message" in made) == ("n", None, False)
    assert (old["message"], old["involvedObject"]["name"], old["reportingComponent"]) == ("n", "p", "x.y/c")
    assert old["metadata"]["uid"] == made["metadata"]["uid"]


@pytest.mark.spec("kube-api:EVT-1")
async def test_an_event_of_the_old_api_can_be_patched_through_the_new_one(api: LocalApi) -> None:
    """In its words."""
    event = {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "type": "Normal"}
    await api.create("events", "default", {"metadata": {"name": "e"}, **event, "message": "m"})

    patched = await api.patch(EVENTS, "default", "e", {"note": "new", "eventTime": "2026-01-01T00:00:00.000000Z"})

    assert patched["note"] == "new"
    assert (await api.get("events", "default", "e"))["message"] == "new"


@pytest.mark.spec("kube-api:EVT-1")
async def test_what_an_event_lacks_or_misplaces_is_told(api: LocalApi) -> None:
    """Time and type in the new view; the namespace of what it is about in both."""
    regarding = {"kind": "Pod", "namespace": "default", "name": "p"}
    lacking = await refused(api.create(EVENTS, "default", {"metadata": {"name": "e"}, "regarding": regarding}))
    elsewhere = {"metadata": {"name": "e"}, "involvedObject": {**regarding, "namespace": "n1"}}
    misplaced = await refused(api.create("events", "default", elsewhere))

    assert [cause["field"] for cause in lacking.details["causes"]] == ["eventTime", "type"]
    text = 'involvedObject.namespace: Invalid value: "n1": does not match event.namespace'
    assert misplaced.message == f'Event "e" is invalid: {text}'


@pytest.mark.spec("kube-api:SEL-5")
async def test_each_view_of_events_is_selected_by_its_own_words(api: LocalApi) -> None:
    """And refuses those of the other."""
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    await api.create("events", "default", {"metadata": {"name": "e"}, "involvedObject": about, "type": "Normal"})

    old = await api.list("events", "default", fields="involvedObject.name=p")
    new = await api.list(EVENTS, "default", fields="regarding.name=p")
    wrong = await refused(api.list(EVENTS, "default", fields="involvedObject.name=p"))

    assert (len(old.items), len(new.items)) == (1, 1)
    assert wrong.message == "field label not supported: involvedObject.name"


@pytest.mark.spec("kube-api:LEASE-1", "kube-api:TOP-10")
@pytest.mark.parametrize(
    ("time", "rest", "wanted"), [("2026-01-01T00:00:00Z", "Z", ".000000"), ("zork", "zork", "2006")]
)
async def test_the_times_of_a_lease_have_six_fractional_digits(
    api: LocalApi, time: str, rest: str, wanted: str
) -> None:
    """Anything else cannot be decoded."""
    lease = {"metadata": {"name": "l"}, "spec": {"renewTime": time}}

    refusal = await refused(api.create(LEASES, "default", lease))

    why = f'parsing time "{time}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "{rest}" as "{wanted}"'
    assert refusal.message == f'Lease in version "v1" cannot be handled as a Lease: {why}'


@pytest.mark.spec("kube-api:UPD-1")
async def test_a_lease_is_only_taken_by_who_has_seen_it(api: LocalApi) -> None:
    """A put without a version could take it from its holder; the first one creates."""
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    made = await api.update(LEASES, "default", lease)

    blind = await refused(api.update(LEASES, "default", {**lease, "spec": {"holderIdentity": "b"}}))
    seen = await api.update(LEASES, "default", {**made, "spec": {"holderIdentity": "b"}})

    assert [cause["field"] for cause in blind.details["causes"]] == ["metadata.resourceVersion"]
    assert seen["spec"]["holderIdentity"] == "b"


@pytest.mark.spec("kube-api:UPD-8")
async def test_what_a_secret_is_sent_as_text_is_kept_in_base64(api: LocalApi) -> None:
    """And not shown as text again."""
    made = await api.create("secrets", "default", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})

    assert (made["data"], made["type"], "stringData" in made) == ({"a": "Yg=="}, "Opaque", False)


@pytest.mark.spec("kube-api:UPD-8")
async def test_a_secret_that_is_no_base64_cannot_be_decoded(api: LocalApi) -> None:
    """The first bad byte is named."""
    refusal = await refused(api.create("secrets", "default", {"metadata": {"name": "s"}, "data": {"a": "!!"}}))

    assert (
        refusal.message == 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
    )


@pytest.mark.spec("kube-api:UPD-6")
async def test_an_immutable_secret_keeps_data_and_type(api: LocalApi) -> None:
    """Both are told."""
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "immutable": True}
    await api.create("secrets", "default", body)

    refusal = await refused(api.patch("secrets", "default", "s", {"type": "x/y", "stringData": {"a": "c"}}))

    assert [cause["field"] for cause in refusal.details["causes"]] == ["type", "data"]


@pytest.mark.spec("kube-api:UPD-8")
async def test_a_namespace_is_labelled_with_its_name(api: LocalApi) -> None:
    """And held until it is empty."""
    made = await api.create("namespaces", "", {"metadata": {"name": "n"}})

    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert (made["spec"]["finalizers"], made["status"]["phase"]) == (["kubernetes"], "Active")


async def test_the_role_of_a_binding_cannot_be_exchanged(api: LocalApi) -> None:
    """To bind another one is to make another binding."""
    bindings = "rolebindings.rbac.authorization.k8s.io"
    role = {"kind": "Role", "name": "r"}
    made = await api.create(bindings, "default", {"metadata": {"name": "system:x"}, "roleRef": role})

    refusal = await refused(api.patch(bindings, "default", "system:x", {"roleRef": {"name": "other"}}))

    assert made["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert "cannot change roleRef" in refusal.message


@pytest.mark.spec("kube-api:ADM-9")
async def test_a_webhook_is_stored_with_its_defaults_and_without_side_effects(api: LocalApi) -> None:
    """It fails closed, and waits ten seconds."""
    resource = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    rules = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]
    hook = {"name": "a.b.c", "clientConfig": {"url": "https://x"}, "rules": rules, "admissionReviewVersions": ["v1"]}

    made = await api.create(resource, "", {"metadata": {"name": "w"}, "webhooks": [{**hook, "sideEffects": "None"}]})
    some = {"metadata": {"name": "s"}, "webhooks": [{**hook, "sideEffects": "Some"}]}
    refusal = await refused(api.create(resource, "", some))

    stored = made["webhooks"][0]
    assert (stored["failurePolicy"], stored["matchPolicy"], stored["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert (stored["namespaceSelector"], stored["objectSelector"], stored["rules"][0]["scope"]) == ({}, {}, "*")
    assert (stored["reinvocationPolicy"], made["metadata"]["generation"]) == ("Never", 1)
    assert [cause["field"] for cause in refusal.details["causes"]] == ["webhooks[0].sideEffects"]


@pytest.mark.spec("kube-api:META-2")
async def test_annotations_of_a_deployment_count_and_labels_do_not(api: LocalApi) -> None:
    """As a real server counts generations."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = await api.create("deployments.apps", "default", {"metadata": {"name": "d"}, "spec": spec})

    labelled = await api.patch("deployments.apps", "default", "d", {"metadata": {"labels": {"x": "1"}}})
    annotated = await api.patch("deployments.apps", "default", "d", {"metadata": {"annotations": {"x": "1"}}})

    generations = [one["metadata"]["generation"] for one in (made, labelled, annotated)]
    assert generations == [1, 1, 2]


async def test_a_deployment_cannot_be_scaled_below_nothing(api: LocalApi) -> None:
    """Its own rules say so, whatever path was taken."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.create("deployments.apps", "default", {"metadata": {"name": "d"}, "spec": spec})

    up = await api.patch("deployments.apps", "default", "d", {"spec": {"replicas": 3}}, subresource="scale")
    down = await refused(api.patch("deployments.apps", "default", "d", {"spec": {"replicas": -1}}, subresource="scale"))

    assert (up["spec"], up["status"]["selector"]) == ({"replicas": 3}, "a=b")
    assert [cause["field"] for cause in down.details["causes"]] == ["spec.replicas"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        (1, "1"),
        (0.5, "500m"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Mi", "1000Mi"),
        ("1e3", "1e3"),
        ("1000", "1k"),
        ("100k", "100k"),
        ("0", "0"),
        ("0Gi", "0"),
        ("512", "512"),
    ],
)
def test_a_quantity_is_written_in_one_way(text: Any, expected: str) -> None:
    """The largest unit without a fraction."""
    assert canonical(text) == expected
    assert amount(canonical(text)) == amount(text)


@pytest.mark.parametrize("text", ["abc", "", "1 Gi", "1Zi", True, None, {}])
def test_what_is_no_quantity_cannot_be_decoded(text: Any) -> None:
    """Whatever it is."""
    with pytest.raises(DecodeError, match="quantities must match"):
        canonical(text)
