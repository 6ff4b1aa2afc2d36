"""The `ray start` command of a node: its parameters completed and rendered (spec raycluster §10.3, §10.4, §10.6).

Ray refuses some flags on a worker and exits at once (spec ray-side §12.1), so those are left out there whatever the
user wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.meta import Json
from api.v1.wire import PORT_AGENT, PORT_METRICS
from controller.ray.desired.facts import Facts, Group
from controller.ray.desired.resources import with_resources

__all__ = ["command_of", "parameters", "render", "shell", "user_command"]

HEAD_ONLY: Final = frozenset({"port", "include-dashboard"})
ALWAYS_WITH_VALUE: Final = frozenset({"log-color", "include-dashboard", "include-log-monitor"})
OPEN_FILES: Final = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}; "


def parameters(facts: Facts, group: Group) -> dict[str, str]:
    """All parameters of the node, the user's and those that the operator adds."""
    params = with_resources(dict(group.params), group)
    if group.labels:
        params["labels"] = ",".join(f"{key}={value}" for key, value in sorted(group.labels.items()))
    params.setdefault("metrics-export-port", str(PORT_METRICS))
    params.setdefault("dashboard-agent-listen-port", str(PORT_AGENT))
    if group.is_head:
        params.setdefault("dashboard-host", "0.0.0.0")
        if facts.autoscaling:
            params["no-monitor"] = "true"  # the sidecar is the autoscaler; two would fight over port and cluster
    else:
        params.setdefault("address", f"{facts.head_address}:{facts.head_port}")
        params = {name: value for name, value in params.items() if name not in HEAD_ONLY}
    params["block"] = "true"  # the container lives as long as Ray does
    return params


def render(params: Mapping[str, str], *, head: bool) -> str:
    """The command line. Two blanks between flags: the reference puts one before and one behind each."""
    flags = (_flag(name, value) for name, value in sorted(params.items()))
    return ("ray start --head " if head else "ray start ") + "".join(flags)


def _flag(name: str, value: str) -> str:
    spelled = value.lower()
    if name in ALWAYS_WITH_VALUE or spelled not in ("true", "false"):
        return f" --{name}={value} "
    return f" --{name} " if spelled == "true" else ""


def user_command(container: Json) -> str:
    """What the user's command and args run, as one shell line; "" when neither is given."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    return "".join(f" {word} " for word in words)


def shell(*, login: bool) -> list[str]:
    """The command of every container whose script we write."""
    return ["/bin/bash", "-cl" if login else "-c", "--"]


def command_of(container: Json, generated: str, *, overwrite: bool, login: bool) -> Json:
    """`command` and `args` of the Ray container, or nothing where the user starts Ray.

    The user's own command runs first. Who names `ray start` in it, or asks to overwrite, keeps what they wrote; the
    generated line is in KUBERAY_GEN_RAY_START_CMD for them to use.
    """
    user = user_command(container)
    if overwrite or "ray start" in user:
        return {}
    before = f"{user} && " if user else ""
    return {"command": shell(login=login), "args": [f"{before}{OPEN_FILES}{generated}"]}
