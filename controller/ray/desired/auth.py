"""Token authentication: the Secret, and what containers need to take part (spec raycluster §7.4, §13)."""

from __future__ import annotations

from typing import Final

from api.core import SECRETS
from api.meta import Json
from api.v1.wire import LABEL_CLUSTER
from controller.ray.desired import names
from controller.ray.desired.env import add_missing_env, has_env, value
from controller.ray.desired.facts import Facts
from controller.ray.desired.volumes import add_mount, add_volume

__all__ = ["authenticate", "needs_secret", "secret", "secret_name"]

TOKEN_KEY: Final = "auth_token"  # noqa: S105 - a key's name
TOKEN_VOLUME: Final = "ray-token"  # noqa: S105 - a volume's name
TOKEN_PATH: Final = "/var/run/secrets/ray.io/serviceaccount"  # noqa: S105 - a path


def needs_secret(facts: Facts) -> bool:
    """Is the token ours to make? An unset mode counts as not disabled, as in the reference."""
    auth = facts.auth
    if auth is None or auth.get("mode") == "disabled":
        return False
    return not auth.get("enableK8sTokenAuth") and not auth.get("secretName")


def secret_name(facts: Facts) -> str:
    """Where the token stands, or "" when requests carry none."""
    auth = facts.auth or {}
    if auth.get("mode") != "token" or auth.get("enableK8sTokenAuth"):
        return ""
    return names.token_secret(auth.get("secretName"), facts.name)


def secret(facts: Facts, token: str) -> Json:
    """The Secret with a fresh token. One that is there already is used as it is."""
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": names.auth_secret(facts.name),
            "namespace": facts.namespace,
            "labels": {LABEL_CLUSTER: facts.name},
            "ownerReferences": [dict(facts.owner)],
        },
        "stringData": {TOKEN_KEY: token},
    }


def authenticate(container: Json, pod_spec: Json, facts: Facts) -> None:
    """Make one container of Ray take part. What the user set there stays.

    Where options are given and the mode is not `token`, Ray is told so: unset, a head that happens to find a token
    would demand it from workers that have none (spec ray-side S4-41). Without options nothing is said.
    """
    if facts.auth is None:
        return
    if facts.auth.get("mode") != "token":
        if not has_env(container, "RAY_AUTH_TOKEN"):
            add_missing_env(container, value("RAY_AUTH_MODE", "disabled"))
        return
    add_missing_env(container, value("RAY_AUTH_MODE", "token"))
    if facts.auth.get("enableK8sTokenAuth"):
        _with_kubernetes_token(container, pod_spec)
        return
    reference = {"secretKeyRef": {"name": secret_name(facts), "key": TOKEN_KEY}}
    add_missing_env(container, {"name": "RAY_AUTH_TOKEN", "valueFrom": reference})


def _with_kubernetes_token(container: Json, pod_spec: Json) -> None:
    add_missing_env(container, value("RAY_ENABLE_K8S_TOKEN_AUTH", "true"))
    source = {"serviceAccountToken": {"path": "token"}}
    add_volume(pod_spec, {"name": TOKEN_VOLUME, "projected": {"sources": [source]}})
    if all(mount["name"] != TOKEN_VOLUME for mount in container.get("volumeMounts") or ()):
        add_mount(container, {"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True})
