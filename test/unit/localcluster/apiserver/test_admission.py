"""What no real server need be asked about: who meets which webhook, how answers are read, and what is called."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.api import Json, Refusal
from localcluster.apiserver.admission_calls import Destination, destination
from localcluster.apiserver.admission_review import Admitted, CallFailed, denied, judged
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.requests import Body, Request
from localcluster.apiserver.server import ApiServer

CONFIGURATIONS = "validatingwebhookconfigurations.admissionregistration.k8s.io"
MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
HEAD = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}


class Asked:
    """Stands for the wire: notes each call, and answers as told or with a yes."""

    def __init__(self, answer: Callable[[Json], Json] | None = None) -> None:
        self.calls: list[tuple[Destination, Json, int]] = []
        self._answer = answer or (lambda request: {"uid": request["uid"], "allowed": True})

    async def __call__(self, where: Destination, body: bytes, seconds: int) -> bytes:
        request = orjson.loads(body)["request"]
        self.calls.append((where, request, seconds))
        return orjson.dumps({**HEAD, "response": self._answer(request)})

    @property
    def requests(self) -> list[Json]:
        return [request for _, request, _ in self.calls]


def a_hook(name: str = "a.test.example.com", *, resources: tuple[str, ...] = ("configmaps",), **fields: Any) -> Json:
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}
    return {
        "name": name,
        "clientConfig": {"url": "https://127.0.0.1:9443/x"},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "rules": [rule],
        **fields,
    }


async def register(api: LocalApi, *hooks: Json, name: str = "c", resource: str = CONFIGURATIONS) -> None:
    await api.create(resource, "", {"metadata": {"name": name}, "webhooks": list(hooks)})


@pytest.fixture
def asked(server: ApiServer) -> Asked:
    found = Asked()
    server.call_webhooks(found)
    return found


async def test_a_configuration_acts_at_once_and_no_longer_than_it_is_there(api: LocalApi, asked: Asked) -> None:
    """What is stored at the moment of a write counts."""
    await api.create("configmaps", "default", {"metadata": {"name": "before"}})
    await register(api, a_hook())
    await api.create("configmaps", "default", {"metadata": {"name": "during"}})
    rules = [{"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
    await api.patch(CONFIGURATIONS, "", "c", {"webhooks": [a_hook(rules=rules)]})
    await api.create("configmaps", "default", {"metadata": {"name": "changed"}})
    await api.delete(CONFIGURATIONS, "", "c")
    await api.delete("configmaps", "default", "during")

    assert [request["name"] for request in asked.requests] == ["during"]


@pytest.mark.parametrize(
    ("resources", "parts"),
    [
        (("pods",), [""]),
        (("pods/status",), ["status"]),
        (("pods/*",), ["", "status"]),
        (("*",), [""]),
        (("*/*",), ["", "status"]),
        (("*/status",), ["status"]),
        (("configmaps",), []),
    ],
)
async def test_rules_name_resources_and_their_parts(
    api: LocalApi, asked: Asked, resources: tuple[str, ...], parts: list[str]
) -> None:
    """A star stands for all of either."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
    await api.create("pods", "default", pod)
    await register(api, a_hook(resources=resources))

    await api.patch("pods", "default", "p", {"metadata": {"labels": {"a": "b"}}})
    await api.patch("pods", "default", "p", {"status": {"phase": "Running"}}, subresource="status")

    assert [request.get("subResource", "") for request in asked.requests] == parts


@pytest.mark.parametrize(("scope", "seen"), [("*", ["n", "c"]), ("Cluster", ["n"]), ("Namespaced", ["c"])])
async def test_rules_have_a_scope(api: LocalApi, asked: Asked, scope: str, seen: list[str]) -> None:
    """A namespace is an object of the cluster."""
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "scope": scope}
    await register(api, a_hook(rules=[{**rule, "resources": ["configmaps", "namespaces"]}]))

    await api.create("namespaces", "", {"metadata": {"name": "n"}})
    await api.create("configmaps", "default", {"metadata": {"name": "c"}})

    assert [request["name"] for request in asked.requests] == seen


@pytest.mark.spec("kube-api:ADM-2")
async def test_webhooks_know_a_service_account_by_its_name(server: ApiServer, api: LocalApi, asked: Asked) -> None:
    """And a condition can leave its writes out."""
    condition = {"name": "others", "expression": "request.userInfo.username != 'system:serviceaccount:default:me'"}
    await register(api, a_hook(matchConditions=[condition]), a_hook("all.test.example.com"))
    me = {"username": "system:serviceaccount:default:me", "groups": ["system:serviceaccounts"]}
    maps = server.registry.named("configmaps")
    assert maps is not None

    await server.create(Request(maps, "default", user=me), Body({"metadata": {"name": "mine"}}))

    assert [request["userInfo"] for request in asked.requests] == [me]


async def test_an_object_is_not_left_in_a_namespace_that_went_while_a_webhook_thought(
    server: ApiServer, api: LocalApi
) -> None:
    """The namespace's own end has looked already, and would never see it."""
    await api.create("namespaces", "", {"metadata": {"name": "n"}})

    class Slow(Asked):
        async def __call__(self, where: Destination, body: bytes, seconds: int) -> bytes:
            await api.delete("namespaces", "", "n")
            return await super().__call__(where, body, seconds)

    server.call_webhooks(Slow())
    await register(api, a_hook())

    with pytest.raises(Refusal, match="because it is being terminated"):
        await api.create("configmaps", "n", {"metadata": {"name": "late"}})


async def test_what_a_webhook_makes_of_a_built_in_kind_must_be_one(server: ApiServer, api: LocalApi) -> None:
    """Its mistake is not the client's: 500, not 400."""
    packed = base64.b64encode(b'[{"op":"add","path":"/data","value":{"a":1}}]').decode()
    server.call_webhooks(
        Asked(lambda asked: {"uid": asked["uid"], "allowed": True, "patch": packed, "patchType": "JSONPatch"})
    )
    await register(api, a_hook(), resource=MUTATING)

    with pytest.raises(Refusal, match="cannot unmarshal number") as refused:
        await api.create("configmaps", "default", {"metadata": {"name": "c"}})

    assert refused.value.code == 500


SERVICE = {"spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 443}]}}


@pytest.mark.parametrize(
    ("service", "address"),
    [
        (SERVICE, "10.96.0.7"),
        ({"spec": {"type": "ExternalName", "externalName": "hooks.example.com"}}, "hooks.example.com"),
    ],
)
def test_a_service_is_reached_at_its_address_under_its_name(service: Json, address: str) -> None:
    """Its certificate must be for the name."""
    client = {"service": {"name": "hooks", "namespace": "ns", "path": "/judge", "port": 443}, "caBundle": "QQ=="}

    found = destination(client, 5, lambda *_: service)

    assert found == Destination("https://hooks.ns.svc:443/judge?timeout=5s", address, 443, "hooks.ns.svc", "QQ==")


@pytest.mark.spec("kube-api:ADM-8")
@pytest.mark.parametrize(
    ("service", "why"),
    [
        (None, 'service "hooks" not found'),
        ({"spec": {"clusterIP": "None"}}, 'cannot route to service with ClusterIP "None"'),
        (
            {"spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}},
            'no service port 443 found for service "hooks"',
        ),
    ],
)
def test_a_service_that_cannot_be_reached_says_why(service: Json | None, why: str) -> None:
    """With the URL that was meant."""
    client = {"service": {"name": "hooks", "namespace": "ns", "port": 443}}

    with pytest.raises(CallFailed) as failed:
        destination(client, 10, lambda *_: service)

    assert str(failed.value) == f'failed to call webhook: Post "https://hooks.ns.svc:443/?timeout=10s": {why}'


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ({"uid": 1}, "cannot unmarshal number into Go struct field AdmissionResponse.response.uid"),
        ({"allowed": "yes"}, "cannot unmarshal string into Go struct field AdmissionResponse.response.allowed"),
        ({"warnings": "w"}, "cannot unmarshal string into Go struct field AdmissionResponse.response.warnings"),
        ({"warnings": [1]}, "cannot unmarshal number into Go struct field AdmissionResponse.response.warnings"),
        ({"status": []}, "cannot unmarshal array into Go struct field AdmissionResponse.response.status"),
        ({"status": {"code": "x"}}, "cannot unmarshal string"),
        ({"patch": "%"}, "illegal base64 data"),
        ([], "cannot unmarshal array into Go struct field AdmissionReview.response of type"),
    ],
)
def test_every_member_of_an_answer_has_its_type(response: object, told: str) -> None:
    """As if Go had read it."""
    with pytest.raises(CallFailed, match="failed to call webhook: ") as failed:
        judged(orjson.dumps({**HEAD, "response": response}), "u", mutating=True)

    assert told in str(failed.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda one: st.lists(one) | st.dictionaries(st.text(), one),
    max_leaves=8,
)
MEMBERS = ("uid", "allowed", "status", "patch", "patchType", "warnings")


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON) | JSON, st.booleans())
def test_any_answer_is_judged_or_a_failure(response: object, mutating: bool) -> None:
    """A webhook cannot break the server."""
    with suppress(CallFailed):
        assert isinstance(judged(json.dumps({**HEAD, "response": response}).encode(), "u", mutating=mutating), Admitted)


@given(st.binary())
def test_any_bytes_are_judged_or_a_failure(body: bytes) -> None:
    """Neither can what is no JSON."""
    with pytest.raises(CallFailed):
        judged(body, "u", mutating=True)


@pytest.mark.spec("kube-api:ADM-6")
def test_a_denial_is_an_error_whatever_code_it_came_with() -> None:
    """Success cannot refuse."""
    assert denied("a.b.c", {"code": 200, "message": "m"}).code == 400
    assert denied("a.b.c", {"code": 409, "reason": "Conflict"}).status["message"].endswith(": Conflict")
    assert "details" not in denied("a.b.c", None).status


POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "validatingadmissionpolicybindings.admissionregistration.k8s.io"
MAPS = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


async def bound(api: LocalApi, spec: Json, **binding: Any) -> None:
    """A policy about config maps, in effect."""
    whole = {"matchConstraints": {"resourceRules": [MAPS]}, **spec}
    await api.create(POLICIES, "", {"metadata": {"name": "p"}, "spec": whole})
    own = {"policyName": "p", "validationActions": ["Deny"], **binding}
    await api.create(BINDINGS, "", {"metadata": {"name": "b"}, "spec": own})


@pytest.mark.spec("kube-api:ADM-15")
async def test_a_policy_that_cannot_be_evaluated_refuses_or_lets_pass(api: LocalApi, asked: Asked) -> None:
    """As its failurePolicy says."""
    spec: Json = {"validations": [{"expression": "object.data.nope == 'x'"}]}
    await bound(api, spec)
    with pytest.raises(Refusal, match=r"resulted in error: no such key"):
        await api.create("configmaps", "default", {"metadata": {"name": "c"}, "data": {"a": "b"}})

    await api.patch(POLICIES, "", "p", {"spec": {"failurePolicy": "Ignore"}})
    await api.create("configmaps", "default", {"metadata": {"name": "c"}, "data": {"a": "b"}})


async def test_a_binding_narrows_what_its_policy_is_about(api: LocalApi, asked: Asked) -> None:
    """And what a policy leaves out, stays out."""
    rule = {**MAPS, "resourceNames": ["spared"]}
    constraints = {"resourceRules": [MAPS], "excludeResourceRules": [rule]}
    labelled = {"objectSelector": {"matchLabels": {"x": "y"}}}
    spec = {"matchConstraints": constraints, "validations": [{"expression": "false", "message": "never"}]}
    await bound(api, spec, matchResources=labelled)

    await api.create("configmaps", "default", {"metadata": {"name": "plain"}})
    await api.create("configmaps", "default", {"metadata": {"name": "spared", "labels": {"x": "y"}}})
    with pytest.raises(Refusal, match="denied request: never"):
        await api.create("configmaps", "default", {"metadata": {"name": "labelled", "labels": {"x": "y"}}})


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}, "spec.paramKind"),
        ({"validations": [{"expression": "1 +"}]}, "spec.validations[0].expression"),
        ({"validations": [{"expression": "'text'"}]}, "spec.validations[0].expression"),
        ({"variables": [{"name": "v", "expression": ""}]}, "spec.variables[0].expression"),
        ({"validations": []}, "spec.validations"),
        ({"matchConstraints": {}}, "spec.matchConstraints.resourceRules"),
        ({"failurePolicy": "Maybe"}, "spec.failurePolicy"),
    ],
)
async def test_a_policy_that_could_not_work_is_refused(api: LocalApi, spec: Json, field: str) -> None:
    """Params would be silently ignored, and are refused for that."""
    good = {"matchConstraints": {"resourceRules": [MAPS]}, "validations": [{"expression": "true"}]}

    with pytest.raises(Refusal) as refused:
        await api.create(POLICIES, "", {"metadata": {"name": "p"}, "spec": {**good, **spec}})

    assert [cause["field"] for cause in refused.value.details["causes"]] == [field]


async def test_a_binding_names_its_policy_and_what_follows(api: LocalApi) -> None:
    """Refusing and warning at once would say it twice."""
    with pytest.raises(Refusal) as refused:
        await api.create(BINDINGS, "", {"metadata": {"name": "b"}, "spec": {"validationActions": ["Deny", "Warn"]}})

    causes = refused.value.details["causes"]
    assert [cause["field"] for cause in causes] == ["spec.policyName", "spec.validationActions"]
