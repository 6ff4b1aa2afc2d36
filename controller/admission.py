"""What the config file says of admission, and what flags say of webhooks (spec admission §4.1 P3, P4).

Every field of AdmissionSettings is a key, in camel case; so a new field needs no word here. The rest of the config file
is read as leniently as the reference reads it; here a typing mistake would be a rule that silently is not the owner's.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from api.v1.rules.model import Context, Severity
from api.v1.rules.settings import AdmissionSettings, ImageVersion, Profile
from api.v1.rules.surroundings import Surroundings
from controller.configfile import BadSettings
from controller.ray.options import Options
from webhooks.settings import SOURCES, WebhookSettings

__all__ = ["account_of", "admission_settings", "context_of", "webhook_settings"]

# Where the specification calls a key otherwise than the field
NAMED: Final = {"default_head_num_gpus": "defaultHeadNumGpusZero"}


def admission_settings(content: Any) -> AdmissionSettings:
    """From the config file's `admission`; None where it has none. Raises BadSettings."""
    if content is None:
        return AdmissionSettings()
    given = _mapping("admission", content)
    known = {_key(one.name): one.name for one in fields(AdmissionSettings)}
    _refuse_unknown("admission", given, known)
    default = AdmissionSettings()
    values = {
        known[key]: _value(f"admission.{key}", value, getattr(default, known[key]), known[key])
        for key, value in given.items()
    }
    return AdmissionSettings(**values)


def _value(path: str, value: Any, example: Any, name: str) -> Any:
    """The value as the field has it; its default says of which type it is."""
    if name == "rules":
        return _rules(path, value)
    if name == "image_versions":
        return {image: _image(f"{path}[{image}]", one) for image, one in _mapping(path, value).items()}
    if isinstance(example, Profile):
        return _profile(path, value)
    if isinstance(example, tuple):
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise BadSettings(f"{path} must be a list of strings, not {value!r}")
        return tuple(value)
    if type(value) is not type(example):
        words = {bool: "true or false", int: "a whole number", str: "a string"}
        raise BadSettings(f"{path} must be {words[type(example)]}, not {value!r}")
    return value


def _profile(path: str, value: Any) -> Profile:
    try:
        return Profile(value)
    except ValueError:
        names = ", ".join(one.value for one in Profile)
        raise BadSettings(f"{path} must be one of {names}, not {value!r}") from None


def _rules(path: str, value: Any) -> Mapping[str, str]:
    from api.v1.rules.families import RULES_BY_KIND  # and all models with it, which --version has no use for

    known = {rule.id for rules in RULES_BY_KIND.values() for rule in rules}
    severities = [one.value for one in Severity]
    given = _mapping(path, value)
    _refuse_unknown(path, given, known)
    for id_, severity in given.items():
        if severity is False:
            given = {**given, id_: Severity.OFF.value}  # YAML takes a bare `off` for false
        elif severity not in severities:
            raise BadSettings(f"{path}.{id_} must be one of {', '.join(severities)}, not {severity!r}")
    return given


def _image(path: str, value: Any) -> ImageVersion:
    given = _mapping(path, value)
    _refuse_unknown(path, given, {"ray", "python"})
    for key, one in given.items():
        if not isinstance(one, str):
            raise BadSettings(f'{path}.{key} must be a string, not {one!r}: put it in quotes, as in "3.10"')
    if not given.get("ray"):
        raise BadSettings(f"{path} needs ray: the version of Ray that the image holds")
    return ImageVersion(**given)


def _mapping(path: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BadSettings(f"{path} in the -config file must be a mapping, not {value!r}")
    return value


def _refuse_unknown(path: str, given: Iterable[str], known: Iterable[str]) -> None:
    names = sorted(known)
    for key in given:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(names)}"
            raise BadSettings(f"{path}.{key} in the -config file is not known{hint}")


def _key(field: str) -> str:
    """A field's name in the config file."""
    head, *rest = field.split("_")
    return NAMED.get(field) or head + "".join(word.capitalize() for word in rest)


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
