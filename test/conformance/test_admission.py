"""Admission webhooks: spec kube-api §16. A test's webhooks are an HTTPS server on loopback inside the test."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from localcluster.certificates import Certified, certified
from localcluster.testing.wire import Json, Reply, Wire

Behaviour = Callable[[Json], Json | web.Response | Awaitable[Json | web.Response]]
WIDGETS: Json = {"apiGroups": ["test.example.com"], "apiVersions": ["v1"], "resources": ["widgets", "widgets/*"]}
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations"


def allowed(request: Json) -> Json:
    return {"uid": request["uid"], "allowed": True}


def denying(**status: object) -> Behaviour:
    return lambda request: {"uid": request["uid"], "allowed": False, **status}


def patching(*operations: Json, **other: object) -> Behaviour:
    packed = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {**allowed(request), "patchType": "JSONPatch", "patch": packed, **other}


class Hooks:
    """The webhooks of one test: what each answers, and what it was asked."""

    def __init__(self, port: int, own: Certified) -> None:
        self.port, self.bundle = port, base64.b64encode(own.authority.encode()).decode()
        self.answers: dict[str, Behaviour] = {}
        self.asked: list[tuple[str, Json]] = []
        self.probed = asyncio.Event()

    async def respond(self, request: web.Request) -> web.Response:
        review = json.loads(await request.read())
        path = request.path.removeprefix("/")
        if path == "probe":
            self.probed.set()
            return _answer(allowed(review["request"]))
        self.asked.append((path, review["request"]))
        said = self.answers.get(path, allowed)(review["request"])
        answer = await said if isinstance(said, Awaitable) else said
        return answer if isinstance(answer, web.Response) else _answer(answer)

    def requests(self, path: str) -> list[Json]:
        return [request for asked, request in self.asked if asked == path]

    def hook(self, path: str, **fields: Any) -> Json:
        """A webhook of a configuration."""
        client = {"url": f"https://127.0.0.1:{self.port}/{path}", "caBundle": self.bundle}
        return {
            "name": f"{path}.test.example.com",
            "clientConfig": client,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "rules": [{**WIDGETS, "operations": ["*"]}],
            **fields,
        }


def _answer(response: Json) -> web.Response:
    body = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}
    return web.json_response(body)


@pytest.fixture(scope="module")
def own() -> Certified:
    return certified(datetime.now(UTC), ("127.0.0.1", "localhost"))  # noqa: TID251 - real servers live in real time


@pytest.fixture
def tls(own: Certified, tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "pair.pem").write_text(own.certificate + own.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    return context


@pytest.fixture
async def hooks(own: Certified, tls: ssl.SSLContext) -> AsyncIterator[Hooks]:
    """A server of webhooks, which allow everything until told otherwise."""
    found: list[Hooks] = []

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        return await found[0].respond(request)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{path:.*}", respond)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        found.append(Hooks(runner.addresses[0][1], own))
        yield found[0]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def registered(cluster: Wire, hooks: Hooks, which: str, *wanted: Json, name: str = "c") -> AsyncIterator[Json]:
    """A configuration of these webhooks for the test's namespace, once the server acts on it.

    A real one does so some 100 ms later, and there is no event for that: a further webhook tells it.
    """
    own = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    probe = hooks.hook("probe", rules=[rule], objectSelector={"matchLabels": {"probe": "yes"}})
    all_hooks = [{"namespaceSelector": own, **one} for one in (*wanted, probe)]
    path = CONFIGURATIONS.format(which)
    own_name = f"{name}-{cluster.namespace}-{which}"
    body: Json = {"metadata": {"name": own_name}, "webhooks": all_hooks}
    made = (await cluster.post(path, body)).ok(201)
    hooks.probed.clear()
    try:
        async with asyncio.timeout(20):
            while not hooks.probed.is_set():
                await probing(cluster)
                if not hooks.probed.is_set():
                    await asyncio.sleep(0.05)
        yield made
    finally:
        (await cluster.delete(f"{path}/{own_name}")).ok()


async def probing(cluster: Wire) -> None:
    labelled = {"metadata": {"name": "probe", "labels": {"probe": "yes"}}}
    (await cluster.post(cluster.path("configmaps"), labelled, dryRun="All")).ok(201)


def widget(name: str = "w1", *, version: str = "v1", labels: Json | None = None, **spec: Any) -> Json:
    metadata: Json = {"name": name, **({"labels": labels} if labels else {})}
    return {
        "apiVersion": f"test.example.com/{version}",
        "kind": "Widget",
        "metadata": metadata,
        "spec": {"size": 3, **spec},
    }


async def dry(cluster: Wire, widgets: str, **spec: Any) -> Reply:
    return await cluster.post(widgets, widget(**spec), dryRun="All")


V1 = {"group": "test.example.com", "version": "v1"}


@pytest.mark.spec("kube-api:ADM-1", "kube-api:ADM-2", "kube-api:ADM-3")
async def test_a_review_says_what_is_asked_by_whom_about_what(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """The object is complete but for its version in the store."""
    async with registered(cluster, hooks, "validating", hooks.hook("allow")):
        made = (await cluster.post(widgets, widget("a1"), fieldManager="fm")).ok(201)

    (request,) = hooks.requests("allow")
    metadata = request["object"]["metadata"]
    assert (metadata["uid"], metadata["generation"]) == (made["metadata"]["uid"], 1)
    assert "resourceVersion" not in metadata
    assert request["object"]["spec"] == made["spec"]
    assert request["userInfo"]["username"]
    assert {key: value for key, value in request.items() if key not in {"uid", "object", "userInfo"}} == {
        "kind": {**V1, "kind": "Widget"},
        "resource": {**V1, "resource": "widgets"},
        "requestKind": {**V1, "kind": "Widget"},
        "requestResource": {**V1, "resource": "widgets"},
        "name": "a1",
        "namespace": cluster.namespace,
        "operation": "CREATE",
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "fm"},
    }


@pytest.mark.spec("kube-api:ADM-2", "kube-api:ADM-3", "kube-api:ADM-4")
async def test_a_patch_is_an_update_even_if_it_changes_nothing(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """The new object has the version of the old one; the generation is the one that will be stored."""
    made = (await cluster.post(widgets, widget())).ok(201)
    async with registered(cluster, hooks, "validating", hooks.hook("allow")):
        (await cluster.patch(f"{widgets}/w1", {"spec": {"size": 4}}, fieldManager="fm2")).ok()
        (await cluster.patch(f"{widgets}/w1", {"spec": {"size": 4}})).ok()

    changing, *_, nothing = hooks.requests("allow")  # a real server whose cache lags asks once more
    assert changing["operation"] == "UPDATE"
    assert changing["options"] == {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "fm2"}
    assert changing["oldObject"]["spec"]["size"] == 3
    assert (changing["object"]["spec"]["size"], changing["object"]["metadata"]["generation"]) == (4, 2)
    assert changing["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert nothing["object"]["spec"] == nothing["oldObject"]["spec"]


@pytest.mark.spec("kube-api:ADM-2", "kube-api:ADM-3")
async def test_subresources_are_named_and_a_scale_is_shown_as_such(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """The resource is still that of the widgets."""
    (await cluster.post(widgets, widget())).ok(201)
    async with registered(cluster, hooks, "validating", hooks.hook("allow")):
        (await cluster.patch(f"{widgets}/w1/status", {"status": {"phase": "x"}})).ok()
        (await cluster.patch(f"{widgets}/w1/scale", {"spec": {"replicas": 2}})).ok()

    status, *_, scale = hooks.requests("allow")  # a real server whose cache lags asks once more
    assert (status["subResource"], status["requestSubResource"]) == ("status", "status")
    assert (status["kind"]["kind"], status["object"]["status"]["phase"]) == ("Widget", "x")
    assert (scale["subResource"], scale["resource"]["resource"]) == ("scale", "widgets")
    assert scale["kind"] == scale["requestKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (scale["object"]["spec"], scale["oldObject"]["spec"]) == ({"replicas": 2}, {"replicas": 1})


@pytest.mark.spec("kube-api:ADM-2")
async def test_deletes_show_the_old_object_to_both_kinds_of_webhooks(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """One of a collection has no name in the review."""
    (await cluster.post(widgets, widget("a"))).ok(201)
    (await cluster.post(widgets, widget("b"))).ok(201)
    async with (
        registered(cluster, hooks, "validating", hooks.hook("judging")),
        registered(cluster, hooks, "mutating", hooks.hook("changing")),
    ):
        (await cluster.delete(f"{widgets}/a", {"propagationPolicy": "Background"})).ok()
        (await cluster.delete(widgets, fieldSelector="metadata.name=b")).ok()

    assert [path for path, _ in hooks.asked] == ["changing", "judging"] * 2
    one, of_many = hooks.requests("judging")
    assert (one["operation"], one["object"], one["oldObject"]["metadata"]["name"]) == ("DELETE", None, "a")
    assert (one["options"]["kind"], one["options"]["propagationPolicy"]) == ("DeleteOptions", "Background")
    assert ("name" in of_many, of_many["oldObject"]["metadata"]["name"]) == (False, "b")


@pytest.mark.spec("kube-api:ADM-6")
async def test_a_refused_delete_leaves_the_object(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """And a mutating webhook may not change what goes."""
    (await cluster.post(widgets, widget())).ok(201)
    hooks.answers["no"] = denying()
    hooks.answers["change"] = patching({"op": "add", "path": "/metadata/annotations", "value": {}})
    deletes = [{**WIDGETS, "operations": ["DELETE"]}]

    async with registered(cluster, hooks, "validating", hooks.hook("no", rules=deletes)):
        refused = await cluster.delete(f"{widgets}/w1")
    async with registered(cluster, hooks, "mutating", hooks.hook("change", rules=deletes)):
        changing = await cluster.delete(f"{widgets}/w1")

    assert (refused.code, refused.message) == (
        400,
        'admission webhook "no.test.example.com" denied the request without explanation',
    )
    assert (changing.code, changing.message) == (
        500,
        (
            'Internal error occurred: admission webhook "change.test.example.com" attempted to modify the object,'
            " which is not supported for this operation"
        ),
    )
    (await cluster.get(f"{widgets}/w1")).ok()


@pytest.mark.spec("kube-api:ADM-3", "kube-api:CRT-3")
async def test_mutating_webhooks_come_before_the_name_and_the_uid(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """Validating ones see both."""
    body = {**widget(), "metadata": {"generateName": "gg-"}}
    async with (
        registered(cluster, hooks, "validating", hooks.hook("judging")),
        registered(cluster, hooks, "mutating", hooks.hook("changing")),
    ):
        made = (await cluster.post(widgets, body)).ok(201)

    (before,), (after,) = hooks.requests("changing"), hooks.requests("judging")
    assert {"name", "uid", "creationTimestamp", "generation"}.isdisjoint(before["object"]["metadata"])
    assert "name" not in before
    assert before["object"]["spec"]["mode"] == "Auto"
    assert after["name"] == after["object"]["metadata"]["name"] == made["metadata"]["name"]
    assert after["object"]["metadata"]["uid"] == made["metadata"]["uid"]


@pytest.mark.spec("kube-api:ADM-3")
async def test_mutating_webhooks_see_an_update_as_it_was_sent(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """The server's own part, the generation, comes later; what the path does not write is not yet taken away."""
    made = (await cluster.post(widgets, widget())).ok(201)
    async with registered(cluster, hooks, "mutating", hooks.hook("changing")):
        (await cluster.patch(f"{widgets}/w1", {"spec": {"size": 4}, "status": {"phase": "x"}})).ok()
        (await cluster.put(f"{widgets}/w1/status", {**made, "spec": {"size": 9}, "status": {"phase": "y"}})).ok(409)
        fresh = (await cluster.get(f"{widgets}/w1")).ok()
        put = {**fresh, "spec": {"size": 9}, "status": {"phase": "z"}}
        done = (await cluster.put(f"{widgets}/w1/status", put)).ok()

    patched, *_, status = hooks.requests("changing")
    assert (patched["object"]["spec"]["size"], patched["object"]["metadata"]["generation"]) == (4, 1)
    assert patched["object"]["status"]["phase"] == "x"
    assert (status["object"]["spec"]["size"], status["oldObject"]["spec"]["size"]) == (9, 4)
    assert (done["spec"]["size"], done["status"]["phase"]) == (4, "z")


NO = 'admission webhook "no.test.example.com" denied the request'
TEAPOT = {
    "code": 418,
    "reason": "Teapot",
    "message": "no thanks",
    "details": {"causes": [{"reason": "X", "message": "m", "field": "f"}]},
}
INVALID = {
    "code": 422,
    "reason": "Invalid",
    "message": 'Widget "x" is invalid: spec.size: Forbidden: nope',
    "details": {
        "name": "x",
        "kind": "Widget",
        "causes": [{"reason": "FieldValueForbidden", "message": "nope", "field": "spec.size"}],
    },
}


@pytest.mark.spec("kube-api:ADM-6")
@pytest.mark.parametrize("which", ["mutating", "validating"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, {"message": f"{NO} without explanation", "code": 400}),
        ({"status": {"message": "just a message"}}, {"message": f"{NO}: just a message", "code": 400}),
        (
            {"status": {"reason": "OnlyReason"}},
            {"message": f"{NO}: OnlyReason", "reason": "OnlyReason", "code": 400},
        ),
        ({"status": {"code": 200, "status": "Success"}}, {"message": f"{NO} without explanation", "code": 400}),
        ({"status": TEAPOT}, {**TEAPOT, "message": f"{NO}: no thanks"}),
        ({"status": INVALID}, {**INVALID, "message": f"{NO}: {INVALID['message']}"}),
    ],
)
async def test_a_denial_is_told_in_the_webhooks_words(
    cluster: Wire, widgets: str, hooks: Hooks, which: str, said: Json, told: Json
) -> None:
    """Its code, reason and details are passed on."""
    hooks.answers["no"] = denying(**said)
    async with registered(cluster, hooks, which, hooks.hook("no", failurePolicy="Ignore")):
        answer = await dry(cluster, widgets)

    assert answer.code == told["code"]
    assert answer.json == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", **told}


async def slow(request: Json) -> Json:
    await asyncio.sleep(30)
    return allowed(request)


def nothing(_: Json) -> web.Response:
    return web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"})


def http(code: int, **how: Any) -> Behaviour:
    return lambda _: web.Response(status=code, **how)


PATCH = base64.b64encode(b'[{"op":"remove","path":"/spec"}]').decode()
STRUCT = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
CALL = "failed to call webhook:"
BAD = "received invalid webhook response:"
STRING = f"{CALL} couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type"
FAILURES: dict[str, tuple[Behaviour, str]] = {
    "wrong-uid": (lambda _: {"uid": "x", "allowed": True}, f'{BAD} expected response.uid="UID", got "x"'),
    "http-500": (http(500), f'{CALL} an error on the server ("") has prevented the request from succeeding'),
    "http-500-json": (
        http(500, text="{}", content_type="application/json"),
        f'{CALL} an error on the server ("unknown") has prevented the request from succeeding',
    ),
    "http-500-text": (
        http(500, text="boom"),
        f'{CALL} an error on the server ("boom") has prevented the request from succeeding',
    ),
    "http-404": (http(404), f"{CALL} the server could not find the requested resource"),
    "http-503": (http(503), f"{CALL} the server is currently unable to handle the request"),
    "http-400": (http(400), f"{CALL} the server rejected our request for an unknown reason"),
    "string": (http(200, text='"no"', content_type="application/json"), f"{STRING} {STRUCT}"),
    "empty": (
        http(200, text="", content_type="application/json"),
        f"{CALL} 0-length response with status code: 200 and content type: application/json; charset=utf-8",
    ),
    "nothing": (http(200, text="{}", content_type="application/json"), f"{BAD} webhook response was absent"),
    "no-kind": (
        lambda request: web.json_response({"response": allowed(request)}),
        f"{BAD} expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
    ),
    "other-kind": (
        lambda _: web.json_response({"kind": "Pod", "apiVersion": "v1"}),
        f'{CALL} no kind "Pod" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"',
    ),
    "page": (http(200, text="<html>no</html>", content_type="text/html"), f"{STRING} {STRUCT}"),
    "wrong-type": (
        lambda request: {**allowed(request), "allowed": "yes"},
        f"{CALL} json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool",
    ),
    "no-response": (nothing, f"{BAD} webhook response was absent"),
    "slow": (slow, f'{CALL} Post "URL?timeout=1s": context deadline exceeded'),
}


@pytest.mark.spec("kube-api:ADM-5", "kube-api:ADM-8")
@pytest.mark.parametrize("which", ["mutating", "validating"])
@pytest.mark.parametrize("case", FAILURES)
async def test_what_is_no_answer_is_a_failure_to_call(
    cluster: Wire, widgets: str, hooks: Hooks, which: str, case: str
) -> None:
    """Where the policy is to ignore that, the request goes on."""
    hooks.answers["bad"], told = FAILURES[case]
    hook = hooks.hook("bad", timeoutSeconds=1)
    async with registered(cluster, hooks, which, hook):
        answer = await dry(cluster, widgets)
    async with registered(cluster, hooks, which, {**hook, "failurePolicy": "Ignore"}):
        (await dry(cluster, widgets)).ok(201)

    uid = hooks.requests("bad")[0]["uid"]
    told = told.replace("UID", uid).replace("URL", hook["clientConfig"]["url"])
    why = f'failed calling webhook "bad.test.example.com": {told}'
    assert (answer.code, answer.json["reason"]) == (500, "InternalError")
    assert answer.message == f"Internal error occurred: {why}"
    assert answer.json["details"] == {"causes": [{"message": why}]}


@pytest.mark.spec("kube-api:ADM-5")
@pytest.mark.parametrize(
    ("which", "fields", "told"),
    [
        ("mutating", {"patch": PATCH}, "webhook returned response.patch but not response.patchType"),
        ("mutating", {"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        ("validating", {"patch": PATCH, "patchType": "JSONPatch"}, "validating webhook may not return response.patch"),
        ("validating", {"patchType": "JSONPatch"}, "validating webhook may not return response.patchType"),
    ],
)
async def test_a_patch_is_for_mutating_webhooks_and_says_what_it_is(
    cluster: Wire, widgets: str, hooks: Hooks, which: str, fields: Json, told: str
) -> None:
    """Anything else is no answer."""
    hooks.answers["bad"] = lambda request: {**allowed(request), **fields}
    async with registered(cluster, hooks, which, hooks.hook("bad")):
        answer = await dry(cluster, widgets)

    assert answer.code == 500
    assert answer.message == f'Internal error occurred: failed calling webhook "bad.test.example.com": {BAD} {told}'


@pytest.mark.spec("kube-api:ADM-8")
async def test_who_cannot_be_reached_fails_the_request(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """Nobody listens, the certificate is a stranger's, or the service is not there."""
    closed = {"url": "https://127.0.0.1:1/x", "caBundle": hooks.bundle}
    stranger = {"url": f"https://127.0.0.1:{hooks.port}/x"}
    service = {"service": {"name": "nope", "namespace": cluster.namespace, "path": "/x"}}
    told = []
    for index, client in enumerate((closed, stranger, service)):
        hook = hooks.hook("x", clientConfig=client, name=f"x{index}.test.example.com")
        async with registered(cluster, hooks, "validating", hook, name=f"c{index}"):
            told.append((await dry(cluster, widgets)).message)

    failed = (
        'Internal error occurred: failed calling webhook "x{}.test.example.com": failed to call webhook: Post "{}": '
    )
    assert told == [
        failed.format(0, "https://127.0.0.1:1/x?timeout=10s") + "dial tcp 127.0.0.1:1: connect: connection refused",
        failed.format(1, f"https://127.0.0.1:{hooks.port}/x?timeout=10s")
        + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        failed.format(2, f"https://nope.{cluster.namespace}.svc:443/x?timeout=10s") + 'service "nope" not found',
    ]


@pytest.mark.spec("kube-api:PRO-5", "kube-api:ADM-5")
@pytest.mark.parametrize("which", ["mutating", "validating"])
async def test_warnings_reach_the_client_whatever_becomes_of_the_request(
    cluster: Wire, widgets: str, hooks: Hooks, which: str
) -> None:
    """Beside those about fields."""
    said = ["be careful", 'second "quoted" one']
    hooks.answers["warn"] = lambda request: {**allowed(request), "warnings": said}
    hooks.answers["no"] = denying(warnings=["and no"])
    async with registered(cluster, hooks, which, hooks.hook("warn")):
        passed = await dry(cluster, widgets, zork=1)
    async with registered(cluster, hooks, which, hooks.hook("no")):
        refused = await dry(cluster, widgets, zork=1)

    unknown = r'299 - "unknown field \"spec.zork\""'
    assert passed.code == 201
    assert passed.warnings == (unknown, '299 - "be careful"', r'299 - "second \"quoted\" one"')
    assert (refused.code, refused.warnings) == (400, (unknown, '299 - "and no"'))


@pytest.mark.spec("kube-api:ADM-13")
async def test_what_a_mutating_webhook_adds_is_pruned_completed_and_validated(
    cluster: Wire, widgets: str, hooks: Hooks
) -> None:
    """An unknown field goes without a warning; an invalid value is an invalid object."""
    hooks.answers["change"] = patching(
        {"op": "add", "path": "/metadata/annotations", "value": {"mutated": "yes"}},
        {"op": "add", "path": "/spec/title", "value": "abc"},
        {"op": "add", "path": "/spec/zork", "value": 1},
    )
    async with registered(cluster, hooks, "mutating", hooks.hook("change")):
        made = await dry(cluster, widgets)
        hooks.answers["change"] = patching({"op": "replace", "path": "/spec/size", "value": 99})
        invalid = await dry(cluster, widgets)

    assert made.ok(201)["metadata"]["annotations"] == {"mutated": "yes"}
    assert (made.json["spec"]["title"], "zork" in made.json["spec"], made.warnings) == ("abc", False, ())
    assert invalid.code == 422
    assert [cause[1] for cause in invalid.causes] == ["spec.size"]


@pytest.mark.spec("kube-api:ADM-13")
async def test_an_update_and_a_scale_are_changed_too(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """A patched Scale changes the replicas."""
    (await cluster.post(widgets, widget())).ok(201)
    hooks.answers["change"] = patching({"op": "add", "path": "/spec/title", "value": "abc"})
    hooks.answers["scale"] = patching({"op": "replace", "path": "/spec/replicas", "value": 3})
    whole = [{**WIDGETS, "resources": ["widgets"], "operations": ["UPDATE"]}]
    part = [{**WIDGETS, "resources": ["widgets/scale"], "operations": ["UPDATE"]}]
    wanted = (hooks.hook("change", rules=whole), hooks.hook("scale", rules=part))
    async with registered(cluster, hooks, "mutating", *wanted):
        patched = (await cluster.patch(f"{widgets}/w1", {"spec": {"size": 4}})).ok()
        scaled = (await cluster.patch(f"{widgets}/w1/scale", {"spec": {"replicas": 2}})).ok()

    stored = (await cluster.get(f"{widgets}/w1")).ok()
    assert (patched["spec"]["size"], patched["spec"]["title"]) == (4, "abc")
    assert (scaled["spec"]["replicas"], stored["spec"]["replicas"], stored["spec"]["title"]) == (3, 3, "abc")


@pytest.mark.spec("kube-api:ADM-5")
async def test_a_patch_that_does_not_apply_fails_the_request_whatever_the_policy(
    cluster: Wire, widgets: str, hooks: Hooks
) -> None:
    """It is an answer, so the policy for those who give none says nothing about it."""
    hooks.answers["bad"] = patching({"op": "remove", "path": "/nope/x"})
    async with registered(cluster, hooks, "mutating", hooks.hook("bad", failurePolicy="Ignore")):
        answer = await dry(cluster, widgets)

    why = 'remove operation does not apply: doc is missing path: "/nope/x": missing value'
    assert (answer.code, answer.message) == (500, f"Internal error occurred: {why}")


@pytest.mark.spec("kube-api:ADM-12")
async def test_mutating_webhooks_are_asked_in_order_and_once_more_if_they_wish(
    cluster: Wire, widgets: str, hooks: Hooks
) -> None:
    """By name of configuration, then as listed; each sees what those before it did."""
    changes = patching({"op": "add", "path": "/spec/title", "value": "abc"})
    hooks.answers["third"] = changes
    again, once = {"reinvocationPolicy": "IfNeeded"}, {"reinvocationPolicy": "Never"}
    async with (
        registered(cluster, hooks, "mutating", hooks.hook("third", **again), hooks.hook("fourth", **again), name="b"),
        registered(cluster, hooks, "mutating", hooks.hook("first", **again), hooks.hook("second", **once), name="a"),
    ):
        (await dry(cluster, widgets)).ok(201)

    assert [path for path, _ in hooks.asked] == ["first", "second", "third", "fourth", "first"]
    seen = [request["object"]["spec"].get("title") for _, request in hooks.asked]
    assert seen == [None, None, None, "abc", "abc"]


@pytest.mark.spec("kube-api:ADM-7")
async def test_validating_webhooks_are_asked_all_at_once(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """Each waits here until the other was asked."""
    both = asyncio.Barrier(2)

    async def together(request: Json) -> Json:
        await both.wait()
        return allowed(request)

    hooks.answers |= {"one": together, "other": together}
    async with registered(cluster, hooks, "validating", hooks.hook("one"), hooks.hook("other")):
        (await dry(cluster, widgets)).ok(201)

    assert sorted(path for path, _ in hooks.asked) == ["one", "other"]


@pytest.mark.spec("kube-api:ADM-11")
async def test_selectors_choose_by_labels_of_the_object_and_of_its_namespace(
    cluster: Wire, widgets: str, hooks: Hooks
) -> None:
    """Of an object, those it had or those it gets will do."""
    labelled = {"matchLabels": {"x": "y"}}
    elsewhere = {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}
    wanted = (hooks.hook("object", objectSelector=labelled), hooks.hook("space", namespaceSelector=elsewhere))
    async with registered(cluster, hooks, "validating", *wanted):
        (await cluster.post(widgets, widget("plain"))).ok(201)
        (await cluster.post(widgets, widget("labelled", labels={"x": "y"}))).ok(201)
        (await cluster.patch(f"{widgets}/labelled", {"metadata": {"labels": None}})).ok()
        (await cluster.patch(f"{widgets}/labelled", {"spec": {"size": 4}})).ok()

    assert [(path, request["operation"]) for path, request in hooks.asked] == [
        ("object", "CREATE"),
        ("object", "UPDATE"),
    ]
    assert {request["name"] for request in hooks.requests("object")} == {"labelled"}


@pytest.mark.spec("kube-api:ADM-11")
async def test_conditions_must_hold(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """They see both objects and the request."""
    conditions = [
        {"name": "size", "expression": "object.spec.size > 5"},
        {"name": "new", "expression": "oldObject == null && request.operation == 'CREATE'"},
        {"name": "who", "expression": "request.userInfo.username != '' && request.namespace.startsWith('t')"},
    ]
    async with registered(cluster, hooks, "validating", hooks.hook("big", matchConditions=conditions)):
        (await dry(cluster, widgets)).ok(201)
        (await dry(cluster, widgets, size=6)).ok(201)

    assert [request["object"]["spec"]["size"] for request in hooks.requests("big")] == [6]


@pytest.mark.spec("kube-api:ADM-11")
async def test_a_condition_that_cannot_be_evaluated_refuses_or_skips(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """As the policy says; unless another one does not hold, which settles it."""
    error = {"name": "error", "expression": "object.spec.nope > 5"}
    null = {"name": "null", "expression": "oldObject.spec.size > 5"}
    false = {"name": "false", "expression": "object.spec.size > 5"}
    answers = []
    for index, (conditions, policy) in enumerate(
        [([error], "Fail"), ([error, null], "Fail"), ([error], "Ignore"), ([error, false], "Fail")]
    ):
        hook = hooks.hook("x", matchConditions=conditions, failurePolicy=policy)
        async with registered(cluster, hooks, "validating", hook, name=f"c{index}"):
            answers.append(await dry(cluster, widgets))

    one = "expression 'object.spec.nope > 5' resulted in error: no such key: nope"
    two = "expression 'oldObject.spec.size > 5' resulted in error: no such key: spec"
    told = 'widgets.test.example.com "w1" is forbidden: '
    assert [answer.code for answer in answers] == [403, 403, 201, 201]
    assert [answer.message for answer in answers[:2]] == [told + one, f"{told}[{one}, {two}]"]
    assert answers[0].json["details"] == {"name": "w1", "group": "test.example.com", "kind": "widgets"}
    assert hooks.asked == []


@pytest.mark.spec("kube-api:ADM-10")
async def test_another_version_meets_the_rule_where_it_is_equivalent(cluster: Wire, widgets: str, hooks: Hooks) -> None:
    """The webhook sees the version that it asked for, and what the client asked for beside it."""
    v1beta1 = widgets.replace("/v1/", "/v1beta1/")
    hooks.answers["equivalent"] = patching({"op": "add", "path": "/spec/title", "value": "abc"})
    wanted = (hooks.hook("equivalent"), hooks.hook("exact", matchPolicy="Exact"))
    async with registered(cluster, hooks, "mutating", *wanted):
        made = await cluster.post(v1beta1, widget(version="v1beta1"), dryRun="All")

    ((path, request),) = hooks.asked
    assert (path, request["object"]["apiVersion"]) == ("equivalent", "test.example.com/v1")
    assert (request["kind"]["version"], request["resource"]["version"]) == ("v1", "v1")
    assert (request["requestKind"]["version"], request["requestResource"]["version"]) == ("v1beta1", "v1beta1")
    assert (made.ok(201)["apiVersion"], made.json["spec"]["title"]) == ("test.example.com/v1beta1", "abc")


@pytest.mark.spec("kube-api:ADM-13")
async def test_a_schema_is_looked_at_after_mutation_and_before_validation(
    cluster: Wire, widgets: str, hooks: Hooks
) -> None:
    """Only what strictness refuses is refused before anybody is asked."""
    async with (
        registered(cluster, hooks, "validating", hooks.hook("judging")),
        registered(cluster, hooks, "mutating", hooks.hook("changing")),
    ):
        invalid = await cluster.post(widgets, widget(size=50))
        mistyped = await cluster.post(widgets, widget(size="x"))
        strict = await cluster.post(widgets, widget(zork=1), fieldValidation="Strict")

    assert (invalid.code, mistyped.code, strict.code) == (422, 422, 400)
    assert [(path, request["object"]["spec"]["size"]) for path, request in hooks.asked] == [
        ("changing", 50),
        ("changing", "x"),
    ]


@pytest.mark.spec("kube-api:ADM-14")
@pytest.mark.parametrize("effects", ["None", "NoneOnDryRun"])
async def test_a_dry_run_asks_and_says_so(cluster: Wire, widgets: str, hooks: Hooks, effects: str) -> None:
    """No webhook may have side effects in one."""
    async with registered(cluster, hooks, "mutating", hooks.hook("allow", sideEffects=effects)):
        (await dry(cluster, widgets)).ok(201)

    (request,) = hooks.requests("allow")
    assert (request["dryRun"], request["options"]["dryRun"]) == (True, ["All"])


async def test_built_in_kinds_are_asked_about_too(cluster: Wire, hooks: Hooks) -> None:
    """A namespace is in itself; its labels are those that it will have."""
    name = f"{cluster.namespace}-x"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["namespaces"], "operations": ["CREATE"]}]
    own = {"matchLabels": {"mine": cluster.namespace}}
    hooks.answers["space"] = patching({"op": "add", "path": "/metadata/labels/also", "value": "this"})
    hook = hooks.hook("space", rules=rules, namespaceSelector=own)
    async with registered(cluster, hooks, "mutating", hook):
        made = (
            await cluster.post(
                "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"mine": cluster.namespace}}}
            )
        ).ok(201)
    await cluster.delete(f"/api/v1/namespaces/{name}")

    (request,) = hooks.requests("space")
    assert made["metadata"]["labels"]["also"] == "this"
    assert (request["name"], request["namespace"]) == (name, name)
    assert request["kind"] == {"group": "", "version": "v1", "kind": "Namespace"}


async def test_an_eviction_is_no_delete(cluster: Wire, hooks: Hooks) -> None:
    """Who watches over deletes of pods is not asked about it."""
    container = {"name": "a", "image": "i"}
    pods = cluster.path("pods")
    (await cluster.post(pods, {"metadata": {"name": "p"}, "spec": {"containers": [container]}})).ok(201)
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["DELETE"]}]
    hooks.answers["no"] = denying()
    async with registered(cluster, hooks, "validating", hooks.hook("no", rules=rules)):
        evicted = await cluster.post(f"{pods}/p/eviction", {"metadata": {"name": "p"}})

    assert (evicted.code, hooks.asked) == (201, [])


async def test_nobody_is_asked_about_webhook_configurations(cluster: Wire, hooks: Hooks) -> None:
    """One that refuses everything can still be taken away."""
    everything = {"apiGroups": ["admissionregistration.k8s.io"], "apiVersions": ["*"], "resources": ["*"]}
    hooks.answers["no"] = denying()
    rules = [{**everything, "operations": ["*"]}]
    async with registered(cluster, hooks, "validating", hooks.hook("no", rules=rules)) as made:
        path = f"{CONFIGURATIONS.format('validating')}/{made['metadata']['name']}"
        (await cluster.patch(path, {"metadata": {"labels": {"a": "b"}}})).ok()

    assert hooks.asked == []


@pytest.mark.spec("kube-api:ADM-9")
async def test_a_configuration_is_stored_with_its_defaults(cluster: Wire, hooks: Hooks) -> None:
    """Written out, so that a controller can hold its own against it."""
    service = {"service": {"name": "s", "namespace": "n"}}
    body = {"metadata": {"name": f"d-{cluster.namespace}"}, "webhooks": [hooks.hook("x", clientConfig=service)]}
    stored = []
    for which in ("mutating", "validating"):
        made = (await cluster.post(CONFIGURATIONS.format(which), body, dryRun="All")).ok(201)
        stored.append(made["webhooks"][0])

    common = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
        "clientConfig": {"service": {"name": "s", "namespace": "n", "port": 443}},
    }
    assert all(one.items() >= common.items() and one["rules"][0]["scope"] == "*" for one in stored)
    assert [one.get("reinvocationPolicy") for one in stored] == ["Never", None]


SYNTAX = (
    "compilation failed: ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-',"
    " '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | zork +\n | ......^"
)
WRONG: dict[str, tuple[Json, list[tuple[str, str]]]] = {
    "effects": (
        {"sideEffects": "Some"},
        [("sideEffects", 'Unsupported value: "Some": supported values: "None", "NoneOnDryRun"')],
    ),
    "no-effects": ({"sideEffects": None}, [("sideEffects", "Required value: must specify one of None, NoneOnDryRun")]),
    "policy": (
        {"failurePolicy": "Maybe"},
        [("failurePolicy", 'Unsupported value: "Maybe": supported values: "Fail", "Ignore"')],
    ),
    "match": (
        {"matchPolicy": "Maybe"},
        [("matchPolicy", 'Unsupported value: "Maybe": supported values: "Equivalent", "Exact"')],
    ),
    "reinvocation": (
        {"reinvocationPolicy": "Maybe"},
        [("reinvocationPolicy", 'Unsupported value: "Maybe": supported values: "IfNeeded", "Never"')],
    ),
    "seconds": (
        {"timeoutSeconds": 31},
        [("timeoutSeconds", "Invalid value: 31: the timeout value must be between 1 and 30 seconds")],
    ),
    "name": (
        {"name": "short"},
        [("name", 'Invalid value: "short": should be a domain with at least three segments separated by dots')],
    ),
    "no-client": (
        {"clientConfig": {}},
        [("clientConfig", "Required value: exactly one of url or service is required")],
    ),
    "http": (
        {"clientConfig": {"url": "http://x/y?z=1"}},
        [
            (
                "clientConfig.url",
                "Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ),
            ("clientConfig.url", 'Invalid value: "z=1": query parameters are not permitted in the URL'),
        ],
    ),
    "versions": (
        {"admissionReviewVersions": ["v2"]},
        [("admissionReviewVersions", 'Invalid value: ["v2"]: must include at least one of v1, v1beta1')],
    ),
    "no-versions": (
        {"admissionReviewVersions": []},
        [("admissionReviewVersions", "Required value: must specify one of v1, v1beta1")],
    ),
    "rules": (
        {"rules": [{"operations": ["MEND"], "apiGroups": ["*", "a"], "apiVersions": [""], "resources": ["x"]}]},
        [
            (
                "rules[0].operations[0]",
                'Unsupported value: "MEND": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
            ),
            ("rules[0].apiGroups", 'Invalid value: ["*","a"]: if \'*\' is present, must not specify other API groups'),
            ("rules[0].apiVersions[0]", "Required value"),
        ],
    ),
    "no-rule": (
        {"rules": [{}]},
        [
            ("rules[0].operations", "Required value"),
            ("rules[0].apiGroups", "Required value"),
            ("rules[0].apiVersions", "Required value"),
            ("rules[0].resources", "Required value"),
        ],
    ),
    "selector": (
        {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
        [("objectSelector.matchExpressions[0].operator", 'Invalid value: "Like": not a valid selector operator')],
    ),
    "syntax": (
        {"matchConditions": [{"name": "c", "expression": "zork +"}]},
        [("matchConditions[0].expression", f'Invalid value: "zork +": {SYNTAX}')],
    ),
    "unknown": (
        {"matchConditions": [{"name": "c", "expression": "request.zork == 'a'"}]},
        [
            (
                "matchConditions[0].expression",
                (
                    "Invalid value: \"request.zork == 'a'\": compilation failed: ERROR: <input>:1:8: undefined field"
                    " 'zork'\n | request.zork == 'a'\n | .......^"
                ),
            )
        ],
    ),
    "no-bool": (
        {"matchConditions": [{"name": "c", "expression": "'a'"}]},
        [("matchConditions[0].expression", "Invalid value: \"'a'\": must evaluate to bool but got string")],
    ),
    "twice": (
        {"matchConditions": [{"name": "c", "expression": "true"}, {"name": "c", "expression": "true"}, {}]},
        [
            ("matchConditions[1].name", 'Duplicate value: "c"'),
            ("matchConditions[2].expression", "Required value"),
            ("matchConditions[2].name", "Required value"),
        ],
    ),
}


@pytest.mark.spec("kube-api:ADM-9", "kube-api:ADM-11")
@pytest.mark.parametrize("case", WRONG)
async def test_a_configuration_that_could_not_work_is_refused(cluster: Wire, hooks: Hooks, case: str) -> None:
    """With every reason."""
    fields, told = WRONG[case]
    body = {"metadata": {"name": "wrong"}, "webhooks": [{**hooks.hook("x"), **fields}]}
    answer = await cluster.post(CONFIGURATIONS.format("mutating"), body, dryRun="All")

    assert answer.code == 422, answer.text
    assert [(field, message) for _, field, message in answer.causes] == [
        (f"webhooks[0].{field}", message) for field, message in told
    ]


async def test_two_webhooks_of_one_configuration_have_two_names(cluster: Wire, hooks: Hooks) -> None:
    """In messages they are known by them."""
    body = {"metadata": {"name": "wrong"}, "webhooks": [hooks.hook("x"), hooks.hook("x")]}
    answer = await cluster.post(CONFIGURATIONS.format("validating"), body, dryRun="All")

    assert [cause[1:] for cause in answer.causes] == [("webhooks[1].name", 'Duplicate value: "x.test.example.com"')]


@asynccontextmanager
async def in_effect(cluster: Wire, spec: Json, *actions: str) -> AsyncIterator[None]:
    """A policy about this namespace's widgets, bound, once the server acts on it.

    As for webhooks there is no event for that: a further validation refuses a probe, or warns of it.
    """
    name, group = f"vp-{cluster.namespace}", "/apis/admissionregistration.k8s.io/v1"
    own = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    rules = [{**WIDGETS, "operations": ["CREATE"]}]
    probe = {"expression": "object.metadata.name != 'probe'", "message": "probed"}
    whole = {"matchConstraints": {"resourceRules": rules, "namespaceSelector": own}, **spec}
    whole["validations"] = [probe, *whole["validations"]]
    policies, bindings = f"{group}/validatingadmissionpolicies", f"{group}/validatingadmissionpolicybindings"
    (await cluster.post(policies, {"metadata": {"name": name}, "spec": whole})).ok(201)
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": list(actions)}}
    (await cluster.post(bindings, binding)).ok(201)
    try:
        async with asyncio.timeout(20):
            while True:
                told = await cluster.post(cluster.path("widgets.test.example.com"), widget("probe"), dryRun="All")
                if told.code == 422 or told.warnings:
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        (await cluster.delete(f"{bindings}/{name}")).ok()
        (await cluster.delete(f"{policies}/{name}")).ok()


@pytest.mark.spec("kube-api:ADM-15")
async def test_a_policy_refuses_in_its_own_words(cluster: Wire, widgets: str) -> None:
    """A message, an expression that makes one, or the expression itself; variables are evaluated before."""
    spec = {
        "variables": [{"name": "size", "expression": "object.spec.size"}],
        "matchConditions": [{"name": "named", "expression": "object.metadata.name != 'spared'"}],
        "validations": [
            {"expression": "variables.size < 7", "message": "size too big"},
            {"expression": "variables.size != 4", "messageExpression": "'not ' + string(variables.size)"},
            {"expression": "object.spec.size != 5", "reason": "Forbidden"},
            {"expression": "object.spec.size != 6 || object.spec.nope > 1"},
        ],
    }
    async with in_effect(cluster, spec, "Deny"):
        refused = [await dry(cluster, widgets, size=size) for size in (7, 4, 5, 6)]
        passed = await dry(cluster, widgets)
        spared = await cluster.post(widgets, widget("spared", size=7), dryRun="All")

    name = f"vp-{cluster.namespace}"
    by = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: "
    told = [
        "size too big",
        "not 4",
        "failed expression: object.spec.size != 5",
        "expression 'object.spec.size != 6 || object.spec.nope > 1' resulted in error: no such key: nope",
    ]
    assert (passed.code, spared.code) == (201, 201)
    assert [(one.code, one.json["reason"]) for one in refused] == [
        *([(422, "Invalid")] * 2),
        (403, "Forbidden"),
        (422, "Invalid"),
    ]
    assert [one.message for one in refused] == [
        f'widgets.test.example.com "w1" is forbidden: {by}{text}' for text in told
    ]
    assert refused[0].json["details"] == {
        "name": "w1",
        "group": "test.example.com",
        "kind": "widgets",
        "causes": [{"message": f"{by}size too big"}],
    }


@pytest.mark.spec("kube-api:ADM-15")
async def test_a_policy_may_only_warn(cluster: Wire, widgets: str) -> None:
    """Then the request goes on."""
    spec = {"validations": [{"expression": "object.spec.size < 7", "message": "size too big"}]}
    async with in_effect(cluster, spec, "Warn"):
        answer = await dry(cluster, widgets, size=7)

    name = f"vp-{cluster.namespace}"
    by = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}'"
    assert (answer.code, answer.warnings) == (201, (f'299 - "{by}: size too big"',))
