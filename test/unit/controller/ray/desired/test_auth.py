"""Token authentication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired import auth, pods
from controller.ray.desired.facts import Facts
from controller.ray.desired.names import HEAD_SLOT, Slot
from controller.ray.desired.pods import Place
from controller.ray.options import Options

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

TOKEN = {"mode": "token"}
REFERENCE = {"secretKeyRef": {"name": "r", "key": "auth_token"}}


def variables(container: Json) -> dict[str, Any]:
    """The variables of authentication; of two of one name the last, as for Kubernetes."""
    return {
        one["name"]: one.get("value", one.get("valueFrom"))
        for one in container.get("env") or ()
        if one["name"].startswith(("RAY_AUTH", "RAY_ENABLE_K8S"))
    }


def containers(facts: Facts) -> dict[str, Json]:
    head = pods.head(facts, Place(HEAD_SLOT, "t"), "H", Options())["spec"]
    worker = pods.worker(facts, facts.workers[0], Place(Slot("g", 0), "t"), Options())["spec"]
    found = {f"head/{one['name']}": one for one in head["containers"]}
    found |= {f"worker/{one['name']}": one for one in [*worker["containers"], *worker["initContainers"]]}
    return found


def test_everything_of_ray_is_given_the_token_and_nothing_of_the_user_s(
    facts: FactsOf, a_template: Maker, a_container: Maker
) -> None:
    pod = a_template(None, a_container("mine"), initContainers=[a_container("first")])
    found = containers(
        facts(authOptions=TOKEN, enableInTreeAutoscaling=True, head={"template": pod}, groups=[{"template": pod}])
    )

    assert {name for name, one in found.items() if variables(one)} == {
        "head/ray",
        "head/autoscaler",
        "worker/ray",
        "worker/wait-gcs-ready",
    }
    assert variables(found["worker/ray"]) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": REFERENCE}


def test_a_user_s_secret_is_read(facts: FactsOf) -> None:
    found = containers(facts(authOptions=TOKEN | {"secretName": "mine"}))["head/ray"]

    assert variables(found)["RAY_AUTH_TOKEN"] == {"secretKeyRef": {"name": "mine", "key": "auth_token"}}


def test_kubernetes_may_judge_tokens(facts: FactsOf) -> None:
    found = facts(authOptions=TOKEN | {"enableK8sTokenAuth": True})
    head = pods.head(found, Place(HEAD_SLOT, "t"), "H", Options())["spec"]

    assert variables(head["containers"][0]) == {"RAY_AUTH_MODE": "token", "RAY_ENABLE_K8S_TOKEN_AUTH": "true"}
    assert {
        "name": "ray-token",
        "mountPath": "/var/run/secrets/ray.io/serviceaccount",
        "readOnly": True,
    } in head["containers"][0]["volumeMounts"]
    assert {
        "name": "ray-token",
        "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
    } in head["volumes"]


def test_what_the_user_says_about_authentication_stays(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    mine = a_container(env=[{"name": "RAY_AUTH_TOKEN", "value": "mine"}])
    found = containers(facts(authOptions=TOKEN, groups=[{"template": a_template(mine)}]))

    assert variables(found["worker/ray"]) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "mine"}


@pytest.mark.spec("ray-side:S4-41")
@pytest.mark.parametrize("options", [{"mode": "disabled"}, {}])
def test_ray_is_told_that_no_token_is_asked_for(facts: FactsOf, options: Json) -> None:
    """A head that happens to find a token would demand it, and refuse its own workers."""
    found = containers(facts(authOptions=options))

    assert {name: variables(one) for name, one in found.items()} == {
        name: {"RAY_AUTH_MODE": "disabled"} for name in ("head/ray", "worker/ray", "worker/wait-gcs-ready")
    }


def test_who_brings_a_token_is_not_told_that_none_is_asked_for(
    facts: FactsOf, a_template: Maker, a_container: Maker
) -> None:
    mine = a_container(env=[{"name": "RAY_AUTH_TOKEN", "value": "mine"}])

    found = containers(facts(authOptions={}, groups=[{"template": a_template(mine)}]))

    assert variables(found["worker/ray"]) == {"RAY_AUTH_TOKEN": "mine"}


def test_who_does_not_speak_of_authentication_gets_nothing(facts: FactsOf) -> None:
    """A mode from envFrom must not be overruled."""
    assert not any(variables(one) for one in containers(facts()).values())


@pytest.mark.spec("raycluster:E14")
@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (None, False),
        ({}, True),
        ({"mode": "token"}, True),
        ({"mode": "disabled"}, False),
        ({"mode": "token", "secretName": "mine"}, False),
        ({"mode": "token", "enableK8sTokenAuth": True}, False),
    ],
)
def test_a_secret_is_made_where_the_token_is_ours(facts: FactsOf, options: Json | None, needed: bool) -> None:
    assert auth.needs_secret(facts(authOptions=options)) is needed


def test_the_secret_belongs_to_the_cluster(facts: FactsOf) -> None:
    found = auth.secret(facts(authOptions=TOKEN), "token")

    assert found["metadata"]["name"] == "r"
    assert found["metadata"]["labels"] == {"ray.io/cluster": "r"}
    assert found["metadata"]["ownerReferences"][0]["uid"] == "8f2a"
    assert found["stringData"] == {"auth_token": "token"}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (TOKEN, "r"),
        (TOKEN | {"secretName": "mine"}, "mine"),
        (TOKEN | {"enableK8sTokenAuth": True}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_dashboard_s_client_knows_where_the_token_is(facts: FactsOf, options: Json | None, name: str) -> None:
    assert auth.secret_name(facts(authOptions=options)) == name
