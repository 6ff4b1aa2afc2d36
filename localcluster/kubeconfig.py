"""The kubeconfig with which kubectl, the operator and others reach a local cluster."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["write_kubeconfig"]


def write_kubeconfig(path: Path, url: str, token: str, *, account: bool = False) -> None:
    """A kubeconfig with one cluster, which only its owner may read (JSON is YAML).

    The token stands in the path of the server: kubectl sends a user's token over TLS only, and opens no stream (exec,
    port-forward) to a URL that holds a password. One of a service account (`account`) is sent as such, by programs of
    ours, which do that: only so the server knows who it is.
    """
    server, user = (url, {"token": token}) if account else (f"{url}/{token}", {})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "manta", "cluster": {"server": server}}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "manta", "context": {"cluster": "manta", "user": "admin"}}],
        "current-context": "manta",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(config, file, indent=2)
    unfinished.replace(path)
