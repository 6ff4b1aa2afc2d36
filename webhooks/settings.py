"""How the operator serves its webhooks, as its owner may set it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FILES", "SELF_MANAGED", "SOURCES", "WebhookSettings"]

AUTO, FILES, SELF_MANAGED = "auto", "files", "self-managed"
SOURCES: Final = (AUTO, FILES, SELF_MANAGED)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """`certificates`: files as they are, self-managed ones in a Secret, or auto: files where their folder is there.

    With a `url` the operator makes the configurations itself; without, they are installed with the operator, and name
    its `service`. `namespace` and `account` are who we are: main fills them in.
    """

    address: tuple[str, int] = ("", 9443)
    certificates: str = AUTO
    folder: str = "/tmp/k8s-webhook-server/serving-certs"  # noqa: S108 - where the reference mounts them
    client_authorities_file: str = ""  # of the API server's client certificate; "": it need not have one
    service: str = "kuberay-webhook-service"
    url: str = ""  # https://host:port
    lame_duck_seconds: float = 3.0  # how long requests are answered after readiness went false (MGR-10)
    cluster_domain: str = "cluster.local"
    namespaces: tuple[str, ...] = ()
    namespace: str = ""
    account: str = ""
