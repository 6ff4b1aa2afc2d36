"""Tokens of service accounts: spec kube-api AUTH-6."""

from __future__ import annotations

import base64
import json

import aiohttp
import pytest

from localcluster.testing.wire import Json, Wire

REQUEST = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
CONTAINERS = [{"name": "c", "image": "i"}]


async def with_token(cluster: Wire, token: str, path: str) -> int:
    """The code of a read by whoever has that token, and nothing else."""
    tls = cluster.endpoint.tls if cluster.endpoint.tls is not None else True
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{cluster.endpoint.url}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=tls) as answer:
        return answer.status


def claims_of(token: str) -> Json:
    """The middle part."""
    part = token.split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def bound(kind: str, name: str, **more: str) -> Json:
    """The spec of a token that ends with an object."""
    return {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, **more}}


@pytest.mark.spec("kube-api:AUTH-6", "kube-api:SUB-5")
async def test_a_token_says_whose_it_is_and_is_accepted(cluster: Wire) -> None:
    """With the claims that clients look for; the server's API answers to it."""
    account = (await cluster.get(cluster.path("serviceaccounts", "default"))).ok()

    made = (await cluster.post(cluster.path("serviceaccounts", "default") + "/token", REQUEST)).ok(201)

    assert (made["kind"], made["spec"]["expirationSeconds"]) == ("TokenRequest", 3600)
    assert made["status"]["expirationTimestamp"]
    claims = claims_of(made["status"]["token"])
    assert claims["sub"] == f"system:serviceaccount:{cluster.namespace}:default"
    assert claims["aud"] == made["spec"]["audiences"] == [claims["iss"]]
    assert claims["exp"] == claims["iat"] + 3600
    own = {"name": "default", "uid": account["metadata"]["uid"]}
    assert claims["kubernetes.io"] == {"namespace": cluster.namespace, "serviceaccount": own}
    assert await with_token(cluster, made["status"]["token"], "/apis") == 200


@pytest.mark.spec("kube-api:AUTH-6")
async def test_a_token_bound_to_a_secret_ends_with_it(cluster: Wire) -> None:
    """The claims name the Secret; once that is gone nobody is known by the token."""
    secret = (await cluster.post(cluster.path("secrets"), {"metadata": {"name": "s"}})).ok(201)
    reference = {"apiVersion": "v1", "kind": "Secret", "name": "s"}
    asked = {**REQUEST, "spec": {"boundObjectRef": reference}}

    made = (await cluster.post(cluster.path("serviceaccounts", "default") + "/token", asked)).ok(201)

    token = made["status"]["token"]
    assert claims_of(token)["kubernetes.io"]["secret"] == {"name": "s", "uid": secret["metadata"]["uid"]}
    assert await with_token(cluster, token, "/apis") == 200
    (await cluster.delete(cluster.path("secrets", "s"))).ok()
    if cluster.endpoint.name == "local":  # a real server keeps what it knows for some seconds
        assert await with_token(cluster, token, "/apis") == 401


async def test_a_token_that_was_tampered_with_is_nobodys(cluster: Wire) -> None:
    """Other claims under the same signature, or another signature."""
    made = (await cluster.post(cluster.path("serviceaccounts", "default") + "/token", REQUEST)).ok(201)
    head, _, signature = made["status"]["token"].split(".")
    claims = {**claims_of(made["status"]["token"]), "sub": "system:serviceaccount:kube-system:default"}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()

    assert await with_token(cluster, f"{head}.{forged}.{signature}", "/apis") == 401
    assert await with_token(cluster, "a.b.c", "/apis") == 401
    assert await with_token(cluster, "nonsense", "/apis") == 401


@pytest.mark.spec("kube-api:AUTH-6")
@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 5}, 422, "Invalid value: 5: may not specify a duration less than 10 minutes"),
        (bound("Pod", "nope"), 404, 'pods "nope" not found'),
        (bound("Secret", "s", uid="other"), 409, "does not match the UID in record"),
        (bound("Pod", "p"), 400, "to pod running with different serviceaccount name."),
        (bound("ConfigMap", "p"), 400, "cannot bind token"),
    ],
)
async def test_a_token_that_cannot_be_made_is_refused(cluster: Wire, spec: Json, code: int, message: str) -> None:
    """Too short a time, and what it shall be bound to."""
    (await cluster.post(cluster.path("serviceaccounts"), {"metadata": {"name": "other"}})).ok(201)
    (await cluster.post(cluster.path("secrets"), {"metadata": {"name": "s"}})).ok(201)
    pod = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "other", "containers": CONTAINERS}}
    (await cluster.post(cluster.path("pods"), pod)).ok(201)

    answer = await cluster.post(cluster.path("serviceaccounts", "default") + "/token", {**REQUEST, "spec": spec})

    assert answer.code == code, answer.text
    assert message in answer.message


async def test_the_token_of_an_absent_account_is_not_found(cluster: Wire) -> None:
    """Named as the account."""
    answer = await cluster.post(cluster.path("serviceaccounts", "nope") + "/token", REQUEST)

    assert answer.ok(404)["message"] == 'serviceaccounts "nope" not found'


async def test_the_token_of_a_pods_volume_outlives_its_hour(cluster: Wire) -> None:
    """For programs that read it once: it is good for a year, and says after when it should have been read again."""
    (await cluster.post(cluster.path("pods"), {"metadata": {"name": "p"}, "spec": {"containers": CONTAINERS}})).ok(201)
    spec = {**bound("Pod", "p"), "expirationSeconds": 3607}

    made = await cluster.post(cluster.path("serviceaccounts", "default") + "/token", {**REQUEST, "spec": spec})

    claims = claims_of(made.ok(201)["status"]["token"])
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] == claims["iat"] + 3607
    assert claims["kubernetes.io"]["pod"]["name"] == "p"
