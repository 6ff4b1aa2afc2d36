"""Configurations of admission webhooks: their defaults, and what they may say (spec kube-api ADM-9). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from localcluster.api import Json
from localcluster.apiserver.admission_conditions import condition_error
from localcluster.apiserver.kinds.base import Kind, World, unchanged
from localcluster.apiserver.refusals import Cause, duplicate, invalid_value, not_supported, required

__all__ = ["WebhookKind", "condition_causes", "rule_causes"]

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_POLICIES: Final = ("Fail", "Ignore")
_MATCHES: Final = ("Equivalent", "Exact")
_EFFECTS: Final = ("None", "NoneOnDryRun")
_REINVOCATIONS: Final = ("IfNeeded", "Never")
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_VERSIONS: Final = ("v1", "v1beta1")
_MOST_SECONDS: Final = 30
_MOST_CONDITIONS: Final = 64
_STARRED: Final = "if '*' is present, must not specify other "
_CONDITION_NAME: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_QUALIFIED: Final = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


class WebhookKind(Kind):
    """A MutatingWebhookConfiguration or a ValidatingWebhookConfiguration."""

    known = frozenset({"webhooks"})
    unconditional_update = False

    def __init__(self, *, mutating: bool) -> None:
        self._mutating = mutating

    def default(self, obj: Json) -> None:
        """Fail closed, match equivalents, ten seconds."""
        for hook in obj.get("webhooks") or ():
            hook.setdefault("failurePolicy", "Fail")
            hook.setdefault("matchPolicy", "Equivalent")
            hook.setdefault("namespaceSelector", {})
            hook.setdefault("objectSelector", {})
            hook.setdefault("timeoutSeconds", 10)
            if self._mutating:
                hook.setdefault("reinvocationPolicy", "Never")
            for rule in hook.get("rules") or ():
                rule.setdefault("scope", "*")
            if isinstance(service := (hook.get("clientConfig") or {}).get("service"), dict):
                service.setdefault("port", 443)

    def generation(self, new: Json, old: Json | None) -> bool:
        """The webhooks count."""
        return old is None or not unchanged(new, old, "webhooks")

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Each webhook, and that no two have the same name."""
        causes: list[Cause] = []
        names: set[str] = set()
        for index, hook in enumerate(obj.get("webhooks") or ()):
            field = f"webhooks[{index}]"
            causes += self._hook(field, hook)
            causes += _versions(f"{field}.admissionReviewVersions", hook.get("admissionReviewVersions") or ())
            name = hook.get("name")
            if name and name in names:
                causes.append(duplicate(f"{field}.name", name))
            names.add(name)
        return causes

    def _hook(self, field: str, hook: Json) -> Iterable[Cause]:
        yield from _full_name(f"{field}.name", hook.get("name") or "")
        for index, rule in enumerate(hook.get("rules") or ()):
            yield from rule_causes(f"{field}.rules[{index}]", rule)
        yield from _one_of(f"{field}.failurePolicy", hook["failurePolicy"], _POLICIES)
        yield from _one_of(f"{field}.matchPolicy", hook["matchPolicy"], _MATCHES)
        if "sideEffects" not in hook:
            yield required(f"{field}.sideEffects", "must specify one of None, NoneOnDryRun")
        else:
            yield from _one_of(f"{field}.sideEffects", hook["sideEffects"], _EFFECTS)
        if not 1 <= hook["timeoutSeconds"] <= _MOST_SECONDS:
            text = f"the timeout value must be between 1 and {_MOST_SECONDS} seconds"
            yield invalid_value(f"{field}.timeoutSeconds", hook["timeoutSeconds"], text)
        for which in ("namespaceSelector", "objectSelector"):
            yield from _selector(f"{field}.{which}", hook[which])
        if self._mutating:
            yield from _one_of(f"{field}.reinvocationPolicy", hook["reinvocationPolicy"], _REINVOCATIONS)
        yield from _client(f"{field}.clientConfig", hook.get("clientConfig") or {})
        yield from condition_causes(f"{field}.matchConditions", hook.get("matchConditions") or ())


def _one_of(field: str, value: str, wanted: Sequence[str]) -> Iterable[Cause]:
    if value not in wanted:
        yield not_supported(field, value, wanted)


def _full_name(field: str, name: str) -> Iterable[Cause]:
    if not name:
        yield required(field)
        return
    parts = name.split(".")
    if not all(_LABEL.fullmatch(one) for one in parts):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
            " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
            " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
        yield invalid_value(field, name, text)
    elif len(parts) < 3:
        yield invalid_value(field, name, "should be a domain with at least three segments separated by dots")


def _versions(field: str, versions: Sequence[str]) -> Iterable[Cause]:
    if not versions:
        yield required(field, f"must specify one of {', '.join(_VERSIONS)}")
        return
    for index, one in enumerate(versions):
        if one in versions[:index]:
            yield invalid_value(f"{field}[{index}]", one, "duplicate version")
    if not set(versions) & set(_VERSIONS):
        yield invalid_value(field, list(versions), f"must include at least one of {', '.join(_VERSIONS)}")


def rule_causes(field: str, rule: Json) -> Iterable[Cause]:
    """What is wrong with one of the rules that say what a webhook or policy is asked about."""
    for name in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(name) or ()
        if not values:
            yield required(f"{field}.{name}")
        elif name != "resources" and "*" in values and len(values) > 1:
            what = {"operations": "operations", "apiGroups": "API groups", "apiVersions": "API versions"}[name]
            yield invalid_value(f"{field}.{name}", list(values), _STARRED + what)
        if name == "operations":
            for index, one in enumerate(values):
                yield from _one_of(f"{field}.operations[{index}]", one, _OPERATIONS)
        elif name != "apiGroups":
            yield from (required(f"{field}.{name}[{index}]") for index, one in enumerate(values) if not one)
    yield from _one_of(f"{field}.scope", rule["scope"], _SCOPES)


def _selector(field: str, selector: Mapping[str, Any]) -> Iterable[Cause]:
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        where, operator, values = f"{field}.matchExpressions[{index}]", one.get("operator"), one.get("values")
        if operator in {"In", "NotIn"}:
            if not values:
                yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield Cause("FieldValueForbidden", f"{where}.values", f"Forbidden: {text}")
        else:
            yield invalid_value(f"{where}.operator", operator, "not a valid selector operator")


def _client(field: str, client: Json) -> Iterable[Cause]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(field, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(f"{field}.url", url)
    elif service is not None:
        yield from (required(f"{field}.service.{key}") for key in ("name", "namespace") if not service.get(key))
        if not 1 <= service["port"] <= 65535:
            text = "port is not valid: must be between 1 and 65535, inclusive"
            yield invalid_value(f"{field}.service.port", service["port"], text)


def _url(field: str, url: str) -> Iterable[Cause]:
    form = "; desired format: https://host[/path]"
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield invalid_value(field, parts.scheme, f"'https' is the only allowed URL scheme{form}")
    if not parts.netloc:
        yield invalid_value(field, parts.netloc, f"host must be specified{form}")
    if parts.username is not None:
        yield invalid_value(field, parts.username, "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid_value(field, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid_value(field, parts.query, "query parameters are not permitted in the URL")


def condition_causes(field: str, conditions: Sequence[Json]) -> Iterable[Cause]:
    """What is wrong with match conditions."""
    if len(conditions) > _MOST_CONDITIONS:
        text = f"Too many: {len(conditions)}: must have at most {_MOST_CONDITIONS} items"
        yield Cause("FieldValueTooMany", field, text)
        return
    names: set[str] = set()
    for index, one in enumerate(conditions):
        where, name, expression = f"{field}[{index}]", one.get("name") or "", one.get("expression") or ""
        if not expression.strip():
            yield required(f"{where}.expression")
        elif error := condition_error(expression):
            yield invalid_value(f"{where}.expression", expression, error)
        if not name:
            yield required(f"{where}.name")
        elif not _QUALIFIED.fullmatch(name):
            yield invalid_value(f"{where}.name", name, _CONDITION_NAME)
        elif name in names:
            yield duplicate(f"{where}.name", name)
        names.add(name)
