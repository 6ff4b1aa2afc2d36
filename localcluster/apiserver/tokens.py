"""Tokens of service accounts: made for whoever asks, and known again when they come back (spec kube-api AUTH-6).

They look like those of a real server: a JSON Web Token with the same claims, so that clients which read them find what
they look for. They are signed with a key that lives and dies with the server (HS256: nobody else has to check them).
A token ends with its time, with its account, and with the pod or Secret that it is bound to.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.core import Core
from localcluster.apiserver.incoming import check_options, conformed
from localcluster.apiserver.metadata import wire_time
from localcluster.apiserver.refusals import bad_request, invalid, invalid_value, not_found
from localcluster.apiserver.requests import Answer, Body, Request
from localcluster.resources import BUILT_IN, ResourceInfo

__all__ = ["ISSUER", "Tokens"]

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
USUAL_SECONDS: Final = 3600
LEAST_SECONDS, MOST_SECONDS = 600, 1 << 32
VOLUME_SECONDS: Final = 3607  # what the volume that every pod gets asks for, and nobody else ...
EXTENDED: Final = timedelta(days=365)  # ... gets this long, since not every program reads its token again
_REQUESTS: Final = ResourceInfo("authentication.k8s.io", "v1", "tokenrequests", "tokenrequest", "TokenRequest")
_BINDABLE: Final = {kind: next(one for one in BUILT_IN if one.kind == kind) for kind in ("Pod", "Secret", "Node")}


class Tokens:
    """Makes and checks tokens for the accounts of one server."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._drawn = b""

    @property
    def _key(self) -> bytes:
        """Drawn when it is first needed: names that tests expect depend on what was drawn before."""
        self._drawn = self._drawn or self._core.chance.randbytes(32)
        return self._drawn

    def issue(self, request: Request, body: Body) -> Answer:
        """A token for the account of the path, perhaps bound to a pod, Secret or node. Raises Refusal."""
        check_options("CreateOptions", request.options)
        core = self._core
        account = core.find("serviceaccounts", request.namespace, request.name)
        if account is None:
            raise not_found(request.resource, request.name)
        asked = conformed("authentication.v1.TokenRequest", "TokenRequest", body.value)
        if (named := (asked.get("metadata") or {}).get("name", request.name)) != request.name:
            raise bad_request(f"name on URL ({request.name}) does not match name in body ({named})")
        spec: Json = {"expirationSeconds": USUAL_SECONDS, "boundObjectRef": None, **(asked.get("spec") or {})}
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        _check_seconds(spec["expirationSeconds"])
        bound = self._bound(request, spec["boundObjectRef"])
        now = core.now()
        ends = now + timedelta(seconds=spec["expirationSeconds"])
        claims = _claims(account, bound, spec["audiences"], now, ends, core.uid())
        if bound is not None and bound[0] == "Pod" and spec["expirationSeconds"] == VOLUME_SECONDS:
            claims["kubernetes.io"]["warnafter"] = claims["exp"]
            claims["exp"] = claims["iat"] + int(EXTENDED.total_seconds())
        token = self._signed(claims)
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": request.name, "namespace": request.namespace, "creationTimestamp": wire_time(now)},
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": wire_time(ends)},
        }
        return Answer(201, orjson.dumps(answer))

    def user(self, token: str) -> Json | None:
        """Whom the token stands for, as userInfo; None for one that is not ours, or has ended."""
        claims = self._read(token)
        if claims is None or not claims["nbf"] <= self._core.now().timestamp() < claims["exp"]:
            return None
        if ISSUER not in claims["aud"]:
            return None
        own = claims["kubernetes.io"]
        namespace, account = own["namespace"], own["serviceaccount"]
        if not self._stands("serviceaccounts", namespace, account):
            return None
        for kind, resource in _BINDABLE.items():
            bound = own.get(kind.lower())
            if bound and not self._stands(resource.store, namespace if resource.namespaced else "", bound):
                return None
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        return {"username": claims["sub"], "uid": account["uid"], "groups": groups}

    def _stands(self, store: str, namespace: str, reference: Json) -> bool:
        found = self._core.find(store, namespace, reference["name"])
        return found is not None and found["metadata"]["uid"] == reference["uid"]

    def _bound(self, request: Request, reference: Json | None) -> tuple[str, Json] | None:
        """(kind, object) that the token shall end with."""
        if not reference:
            return None
        kind, name = reference.get("kind", ""), reference.get("name", "")
        resource = _BINDABLE.get(kind)
        if resource is None or reference.get("apiVersion") not in {None, "", "v1"}:
            raise bad_request(f"cannot bind token for serviceaccount to object of type /{kind}")
        found = self._core.find(resource.store, request.namespace if resource.namespaced else "", name)
        if found is None:
            raise not_found(resource, name)
        uid = found["metadata"]["uid"]
        if reference.get("uid", uid) != uid:
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
            more = "The object might have been deleted and then recreated"
            details = {"name": name, "kind": resource.plural}
            text = f'Operation cannot be fulfilled on {resource.plural} "{name}": {why} {more}'
            raise Refusal(409, "Conflict", text, details)
        if kind == "Pod" and found["spec"].get("serviceAccountName") != request.name:
            why = "to pod running with different serviceaccount name."
            raise bad_request(f'cannot bind token for serviceaccount "{request.name}" {why}')
        return kind, found

    def _signed(self, claims: Json) -> str:
        head = _packed({"alg": "HS256", "typ": "JWT"})
        content = f"{head}.{_packed(claims)}"
        return f"{content}.{self._signature(content)}"

    def _signature(self, content: str) -> str:
        return _text(hmac.digest(self._key, content.encode(), sha256))

    def _read(self, token: str) -> Any:
        content, _, signature = token.rpartition(".")
        if content.count(".") != 1 or not token.isascii():
            return None
        if not hmac.compare_digest(self._signature(content), signature):
            return None
        try:
            return orjson.loads(_bytes(content.partition(".")[2]))
        except (orjson.JSONDecodeError, binascii.Error):
            return None


def _check_seconds(seconds: int) -> None:
    text = ""
    if seconds < LEAST_SECONDS:
        text = "may not specify a duration less than 10 minutes"
    elif seconds > MOST_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
    if text:
        raise invalid(_REQUESTS, "", [invalid_value("spec.expirationSeconds", seconds, text)])


def _claims(
    account: Json, bound: tuple[str, Json] | None, audiences: list[str], now: datetime, ends: datetime, identity: str
) -> Json:
    metadata = account["metadata"]
    own: Json = {"namespace": metadata["namespace"], "serviceaccount": _reference(account)}
    if bound is not None:
        own[bound[0].lower()] = _reference(bound[1])
    start = int(now.astimezone(UTC).timestamp())
    return {
        "aud": audiences,
        "exp": int(ends.astimezone(UTC).timestamp()),
        "iat": start,
        "iss": ISSUER,
        "jti": identity,
        "kubernetes.io": own,
        "nbf": start,
        "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
    }


def _reference(obj: Json) -> Json:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def _packed(value: Json) -> str:
    return _text(orjson.dumps(value))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
