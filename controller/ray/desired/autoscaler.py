"""The autoscaler beside the head (spec raycluster §11)."""

from __future__ import annotations

from copy import deepcopy
from typing import Final

from api.meta import Json
from api.v1.wire import PORT_GCS
from controller.ray.desired import env
from controller.ray.desired.auth import authenticate
from controller.ray.desired.facts import Facts
from controller.ray.desired.ray_start import shell

__all__ = ["CONTAINER", "choose_version", "never_restart", "sidecar"]

CONTAINER: Final = "autoscaler"
DEFAULT_RESOURCES: Final = {"cpu": "500m", "memory": "512Mi"}
REPLACED: Final = ("resources", "image", "imagePullPolicy", "securityContext", "command", "args")
APPENDED: Final = ("env", "envFrom", "volumeMounts")
SWITCH: Final = "RAY_enable_autoscaler_v2"


def sidecar(facts: Facts, pod_spec: Json, *, login: bool) -> Json:
    """The container, with the user's options over ours. `pod_spec` gains what the container mounts."""
    command = _command(facts)
    container: Json = {
        "name": CONTAINER,
        "imagePullPolicy": "IfNotPresent",
        "command": shell(login=login),
        "args": [command],
        "env": [
            env.cluster_name(),
            env.cluster_namespace(),
            env.field("RAY_HEAD_POD_NAME", "metadata.name"),
            env.value("KUBERAY_CRD_VER", "v1"),
            env.value("KUBERAY_GEN_AUTOSCALER_START_CMD", command),
        ],
        "resources": {"limits": dict(DEFAULT_RESOURCES), "requests": dict(DEFAULT_RESOURCES)},
    }
    if facts.head.container.get("image"):
        container["image"] = facts.head.container["image"]
    authenticate(container, pod_spec, facts)
    container |= {name: deepcopy(facts.autoscaler[name]) for name in REPLACED if facts.autoscaler.get(name)}
    for name in APPENDED:
        if facts.autoscaler.get(name):
            container[name] = [*container.get(name, ()), *deepcopy(facts.autoscaler[name])]
    return container


def _command(facts: Facts) -> str:
    command = "ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) --cluster-namespace $(RAY_CLUSTER_NAMESPACE)"
    if facts.head_port == str(PORT_GCS):
        return command
    # The autoscaler looks for the GCS at its default port whatever the environment says (spec ray-side S3-1).
    return f"{command} --gcs-address=127.0.0.1:{facts.head_port}"


def choose_version(container: Json, facts: Facts) -> None:
    """Tell the head which of Ray's autoscalers runs, where the user chose; else the image decides."""
    version = facts.autoscaler.get("version")
    if version:
        env.add_env(container, env.value(SWITCH, "true" if version == "v2" else "false"))


def never_restart(facts: Facts) -> bool:
    """Autoscaler v2 knows a node by its pod: a restarted Ray in the same pod would confuse it (spec ray-side S3-31)."""
    return facts.autoscaling and facts.autoscaler.get("version") == "v2"
