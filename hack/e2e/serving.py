"""RayServices as end-to-end tests want them, here and on real nodes: small, quick, and telling who answered."""

from __future__ import annotations

from typing import Any

import yaml

from hack.e2e.workloads import a_spec

__all__ = ["CODE", "a_cluster_config", "a_config", "a_rayservice", "an_application", "some_code"]

Json = dict[str, Any]
CODE = "code"  # the ConfigMap
FOLDER = "/app"
GREETER = '''
import os
import socket

from ray import serve


@serve.deployment
class Greeter:
    """Says who it is."""

    def __init__(self, greeting):
        self.greeting = greeting

    async def __call__(self, request):
        return f"{self.greeting}, from {socket.gethostname()}, process {os.getpid()}"


@serve.deployment
class Echo:
    """Says, as JSON, with which arguments its application was configured."""

    def __init__(self, args):
        self.args = args

    async def __call__(self, request):
        return self.args


def app(args):
    return Greeter.bind(args.get("greeting", "hello"))


def echo(args):
    return Echo.bind(args)
'''


def some_code(namespace: str) -> Json:
    """What the applications are made of; every node finds it on PYTHONPATH."""
    metadata = {"name": CODE, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"greeter.py": GREETER}}


def an_application(greeting: str = "hello", *, replicas: int = 1, **changes: Any) -> Json:
    """The greeter with that greeting, on `/`; its answers begin with it."""
    one_each = {"max_replicas_per_node": 1} if replicas > 1 else {}
    greeter = {"name": "Greeter", "num_replicas": replicas, "ray_actor_options": {"num_cpus": 0.1}, **one_each}
    return {
        "name": "greeter",
        "route_prefix": "/",
        "import_path": "greeter:app",
        "args": {"greeting": greeting},
        "deployments": [greeter],
        **changes,
    }


def a_config(*applications: Json) -> str:
    """serveConfigV2 with these applications."""
    return yaml.safe_dump({"applications": list(applications)})


def a_rayservice(name: str, namespace: str, *, workers: int = 0, **spec: Any) -> Json:
    """The greeter on a head and so many workers, unless the spec says otherwise; the code must be in the namespace."""
    usual = {
        "serveConfigV2": a_config(an_application(replicas=1 + workers)),
        "rayClusterConfig": a_cluster_config(workers=workers),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**usual, **spec},
    }


def a_cluster_config(*, workers: int = 0, **environment: str) -> Json:
    """spec.rayClusterConfig; variables of the environment make it another one."""
    config = a_spec(workers=workers)
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    for group in (config["headGroupSpec"], *config["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        pod["volumes"] = [{"name": "code", "configMap": {"name": CODE}}]
        (container,) = pod["containers"]
        container["env"] = [{"name": "PYTHONPATH", "value": FOLDER}, *variables]
        container["volumeMounts"] = [{"name": "code", "mountPath": FOLDER}]
    return config
