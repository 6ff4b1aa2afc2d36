"""Of a dashboard that asks for a token it is told where that is."""

from __future__ import annotations

from typing import Any

from manta.dashboards import asking


def a_head(*env: dict[str, Any]) -> dict[str, Any]:
    containers = [{"name": "ray-head", "env": list(env)}]
    return {"metadata": {"name": "h", "namespace": "ml"}, "spec": {"containers": containers}}


def test_the_command_that_reads_the_token_is_told() -> None:
    """The Secret that the pod names, by its own key, in its own namespace."""
    source = {"secretKeyRef": {"name": "mine", "key": "auth_token"}}

    said = asking(a_head({"name": "OTHER", "value": "1"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": source}))

    assert said.endswith("kubectl get secret mine -n ml -o jsonpath='{.data.auth_token}' | base64 -d")


def test_of_an_open_dashboard_nothing_more_is_said() -> None:
    """No such variable, or one whose value is no secret."""
    assert asking(a_head()) == ""
    assert asking(a_head({"name": "RAY_AUTH_TOKEN", "value": "x"})) == ""
