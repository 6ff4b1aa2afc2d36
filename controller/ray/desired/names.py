"""Names of everything that belongs to a cluster (spec raycluster §2.4, design W1).

No name is random: what exists once is called as the reference calls it, and a pod's five last characters are a digest
of the place it fills. The same decision taken twice therefore collides instead of doubling.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final

from api.v1.wire import HEAD, SAFE_ALPHABET, WORKER

__all__ = [
    "HEAD_SLOT",
    "Slot",
    "auth_secret",
    "check_label",
    "check_name",
    "check_route_name",
    "claim",
    "fqdn",
    "head_pod",
    "head_service",
    "headless_service",
    "ingress",
    "pod_name",
    "redis_cleanup_job",
    "replica",
    "route",
    "serve_service",
    "suffix",
    "token_secret",
    "worker_pod",
]

NAME_LIMIT: Final = 50  # leaves room for what others append within 63
LABEL_LIMIT: Final = 63
SUFFIX_LENGTH: Final = 5


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A pod's place in its cluster: the group, the replica, and in a multi-host group the host in the replica."""

    group: str
    index: int
    host: int | None = None

    def __str__(self) -> str:
        """As it stands in the pod's annotation: "gpu/3", of a multi-host replica "tpu/3.1"."""
        return f"{self.group}/{self.index}" if self.host is None else f"{self.group}/{self.index}.{self.host}"

    @classmethod
    def parse(cls, text: str) -> Slot | None:
        """The slot that an annotation names, or None for what we did not write."""
        group, slash, place = text.rpartition("/")
        index, dot, host = place.partition(".")
        if not slash or not index.isdecimal() or (dot and not host.isdecimal()):
            return None
        return cls(group, int(index), int(host) if dot else None)


HEAD_SLOT: Final = Slot("ray.io/head", 0)  # no worker group can be called so: a label value has no "/"


def check_name(text: str) -> str:
    """CheckName: the last 50 characters, and a leading digit or punctuation character becomes "r"."""
    text = text[-NAME_LIMIT:]
    if text[:1].isdecimal():
        text = "r" + text[1:]
    return _without_leading_punctuation(text)


def check_label(text: str) -> str:
    """CheckLabel: the last 63 characters, and a leading punctuation character becomes "r"."""
    return _without_leading_punctuation(text[-LABEL_LIMIT:])


def check_route_name(text: str, namespace: str) -> str:
    """CheckRouteName: room for the namespace, which the router puts into the host name.

    A namespace so long that nothing would remain still leaves one character (the reference crashes there).
    """
    return check_name(text[: max(1, 51 - len(namespace))])


def pod_name(prefix: str, node_type: str) -> str:
    """PodName without the trailing "-" of a generated name."""
    return f"{prefix[:NAME_LIMIT]}-{node_type}".lower()


def suffix(owner_uid: str, slot: Slot, ticket: str) -> str:
    """Five characters that look like the API server's random ones, and always the same for the same place."""
    digest = hashlib.sha256("\0".join((owner_uid, str(slot), ticket)).encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    characters = []
    for _ in range(SUFFIX_LENGTH):
        number, rest = divmod(number, len(SAFE_ALPHABET))
        characters.append(SAFE_ALPHABET[rest])
    return "".join(characters)


def head_pod(cluster: str, owner_uid: str, ticket: str) -> str:
    """The head made under `ticket`."""
    return f"{pod_name(cluster, HEAD)}-{suffix(owner_uid, HEAD_SLOT, ticket)}"


def worker_pod(cluster: str, owner_uid: str, slot: Slot, ticket: str) -> str:
    """The worker that fills `slot` under `ticket`."""
    return f"{pod_name(f'{cluster}-{slot.group}', WORKER)}-{suffix(owner_uid, slot, ticket)}"


def replica(owner_uid: str, slot: Slot, ticket: str) -> str:
    """Value of ray.io/worker-group-replica-name: one for all hosts of a multi-host replica."""
    return f"{slot.group}-{suffix(owner_uid, Slot(slot.group, slot.index), ticket)}"


def head_service(cluster: str, chosen: str = "") -> str:
    """The head Service: the name that the user chose in headService.metadata.name, or the default."""
    return chosen or f"{cluster}-head-svc"


def serve_service(cluster: str) -> str:
    """The serve Service of a plain cluster."""
    return f"{cluster}-serve-svc"


def headless_service(cluster: str) -> str:
    """The Service by which hosts of a multi-host replica find each other."""
    return f"{cluster}-headless"


def fqdn(service: str, namespace: str, domain: str) -> str:
    """A Service's full name; its first label is what RAY_IP holds."""
    return f"{service}.{namespace}.svc.{domain}"


def auth_secret(cluster: str) -> str:
    """The Secret with the cluster's token, unless the user brought one."""
    return check_name(cluster)


def token_secret(chosen: str | None, cluster: str) -> str:
    """The Secret with a cluster's token: the user's choice (authOptions.secretName), else the cluster's own."""
    return chosen or auth_secret(cluster)


def ingress(cluster: str) -> str:
    """The head's Ingress."""
    return check_name(f"{cluster}-head-ingress")


def route(cluster: str, namespace: str) -> str:
    """The head's OpenShift Route."""
    return check_route_name(f"{cluster}-head-route", namespace)


def claim(cluster: str) -> str:
    """The volume claim of the embedded GCS storage."""
    return f"{cluster}-gcs-pvc"


def redis_cleanup_job(cluster: str) -> str:
    """The Job that removes the cluster's keys from Redis."""
    return check_label(f"{cluster}-redis-cleanup")


def _without_leading_punctuation(text: str) -> str:
    return "r" + text[1:] if text and unicodedata.category(text[0]).startswith("P") else text
