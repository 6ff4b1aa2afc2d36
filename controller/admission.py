"""What flags say of webhooks, and what rules may know of this operator (spec admission §4.1, §4.11)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from api.v1.rules.model import Context
from api.v1.rules.settings import AdmissionSettings
from api.v1.rules.surroundings import Surroundings
from controller.configfile import BadSettings
from controller.ray.options import Options
from webhooks.settings import SOURCES, WebhookSettings

__all__ = ["account_of", "context_of", "webhook_settings"]


def webhook_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], *, domain: str, namespaces: tuple[str, ...]
) -> WebhookSettings | None:
    """None: webhooks are off, as they are unless ENABLE_WEBHOOKS is exactly `true`. Raises BadSettings."""
    if environment.get("ENABLE_WEBHOOKS") != "true":
        return None
    host, _, port = str(flags["webhook-bind-address"]).rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise BadSettings(f"-webhook-bind-address must be [host]:port, not {flags['webhook-bind-address']!r}")
    source, url = str(flags["webhook-certificates"]), str(flags["webhook-url"])
    if source not in SOURCES:
        raise BadSettings(f"-webhook-certificates must be one of {', '.join(SOURCES)}, not {source!r}")
    parts = urlsplit(url)
    if url and (parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query):
        raise BadSettings(f"-webhook-url must be https://host:port, not {url!r}")
    return WebhookSettings(
        address=(host.strip("[]"), int(port)),
        certificates=source,
        folder=str(flags["webhook-cert-dir"]),
        client_authorities_file=str(flags["webhook-client-ca-file"]),
        service=str(flags["webhook-service"]),
        url=url,
        lame_duck_seconds=max(0.0, float(flags["webhook-lame-duck"])),
        cluster_domain=domain,
        namespaces=namespaces,
    )


def context_of(options: Options, admission: AdmissionSettings) -> Context:
    """What rules may know of this operator."""
    return Context(
        options.gates.by_name,
        admission=admission,
        surroundings=Surroundings(
            cluster_domain=options.cluster_domain,
            injects_init_container=options.inject_init_container,
            head_sidecars=_names(options.head_sidecars),
            worker_sidecars=_names(options.worker_sidecars),
        ),
        zero_downtime=options.zero_downtime,
    )


def _names(containers: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(one["name"]) for one in containers if "name" in one)


def account_of(token: str) -> str:
    """The user name that a service account's token speaks for; "" where it is no such token.

    Unverified: it is our own, and tells us only who we are.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return ""
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) else ""
