"""Strategic merge patch, for built-in kinds (spec kube-api PATCH-7, PATCH-8). Pure.

Maps merge; lists are replaced, but for those that the Kubernetes API declares mergeable: lists of maps by a key,
finalizers as a set. Which list has which key stands in one table, by the name of the field; the only name with two
keys is `ports`. Directives of the patch ($patch, $setElementOrder, $deleteFromPrimitiveList, $retainKeys) say what
merging alone cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from localcluster.api import Json

__all__ = ["ItemWithoutKey", "NotAList", "RetainKeysDisagree", "go_text", "strategic_merge"]

_KEYS: Final[Mapping[str, str]] = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "hostIPs": "ip",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "webhooks": "name",
}
_CONTAINER_LISTS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
_SETS: Final = frozenset({"finalizers"})
_PATCH: Final = "$patch"
_ORDER: Final = "$setElementOrder/"
_DELETE_FROM: Final = "$deleteFromPrimitiveList/"
_RETAIN: Final = "$retainKeys"


class ItemWithoutKey(ValueError):
    """An item of a list that is merged by a key does not have it; the server answers 500."""


class NotAList(ValueError):
    """Something else stands where a list is merged; 422."""


class RetainKeysDisagree(ValueError):
    """The patch sets a field that its own $retainKeys does not name; 400."""


def strategic_merge(document: Json, patch: Json) -> Json:
    """The document with the patch merged in; inputs stay as they are.

    Raises ItemWithoutKey, NotAList, RetainKeysDisagree.
    """
    return _merge_maps(document, patch, "")


def _merge_maps(original: Json, patch: Json, within: str) -> Json:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _PATCH}
    if directive == "delete":
        return {}
    result = _retained(original, patch)
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value, key, within, patch.get(_ORDER + key))
    return _ordered_only(_deleted_from(result, patch), patch, within)


def _retained(original: Json, patch: Json) -> Json:
    """The original without what a list of keys to retain leaves out: a union's other members."""
    retained = patch.get(_RETAIN)
    if retained is None:
        return dict(original)
    if any(key not in _listed(retained) for key in patch if not key.startswith("$")):
        raise RetainKeysDisagree("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in retained}


def _merged(original: Any, value: Any, key: str, within: str, order: Any) -> Any:
    if isinstance(value, dict):
        return _merge_maps(original if isinstance(original, dict) else {}, value, key)
    merge_key = _merge_key(key, within)
    if merge_key is None and key not in _SETS:
        return value
    if not isinstance(value, list):
        raise NotAList(f"cannot restore slice from {_go_kind(value)}")
    old = original if isinstance(original, list) else []
    if merge_key is None:
        union = [*value, *(one for one in old if one not in value)]
        return _arranged(union, old, value, order, lambda item: item)
    return _merge_items(old, value, merge_key, key, order)


def _merge_key(key: str, within: str) -> str | None:
    if key == "ports":
        return "containerPort" if within in _CONTAINER_LISTS else "port"
    return _KEYS.get(key)


def _merge_items(original: Sequence[Any], patch: Sequence[Any], merge_key: str, key: str, order: Any) -> list[Json]:
    """Items of the same key merge; others are added, or deleted if the patch says so."""
    _check_maps(patch)
    if any(item.get(_PATCH) == "replace" for item in patch):
        return [item for item in patch if _PATCH not in item]
    items = {_hashable(item.get(merge_key)): item for item in original if isinstance(item, dict)}
    changed: list[Json] = []
    for item in patch:
        if merge_key not in item:
            raise ItemWithoutKey(f"map: {go_text(item)} does not contain declared merge key: {merge_key}")
        identity = _hashable(item[merge_key])
        if item.get(_PATCH) == "delete":
            items.pop(identity, None)
            continue
        items[identity] = _merge_maps(items.get(identity, {}), item, key)
        changed.append(items[identity])
    return _arranged(list(items.values()), original, changed, order, _identity(merge_key))


def _check_maps(items: Any) -> None:
    if not isinstance(items, list):
        raise NotAList(f"cannot restore slice from {_go_kind(items)}")
    for item in items:
        if not isinstance(item, dict):
            raise NotAList(f"expected a map[string]interface {{}}, but received a {_go_kind(item)}")


def _listed(value: Any) -> list[Any]:
    """What a directive lists. Raises NotAList."""
    if not isinstance(value, list):
        raise NotAList(f"cannot restore slice from {_go_kind(value)}")
    return value


def _arranged(
    merged: Sequence[Any], original: Sequence[Any], patch: Sequence[Any], order: Any, identity: Callable[[Any], Any]
) -> list[Any]:
    """The merged items in the order of the patch (or the one it asks for), the others where they were among them.

    Two sorted lists are merged by their places in the original; an item that was not there comes first.
    """
    wanted = [identity(item) for item in (patch if order is None else _listed(order))]
    led = sorted((item for item in merged if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    rest = [item for item in merged if identity(item) not in wanted]
    places = {_hashable(identity(item)): index for index, item in enumerate(original)}
    result: list[Any] = []
    while led and rest:
        ours, theirs = (places.get(_hashable(identity(one[0]))) for one in (led, rest))
        stays_ahead = ours is not None and theirs is not None and theirs < ours
        result.append((rest if stays_ahead else led).pop(0))
    return result + led + rest


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int) else repr(value)


def _deleted_from(result: Json, patch: Json) -> Json:
    for key, values in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            there = result.get(name)
            result[name] = [one for one in there if one not in _listed(values)] if isinstance(there, list) else []
    return result


def _ordered_only(result: Json, patch: Json, within: str) -> Json:
    """An order may be asked for a list that the patch does not change."""
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and name not in patch and isinstance(result.get(name), list):
            merge_key = _merge_key(name, within)
            old = result[name]
            if merge_key is None:
                result[name] = _arranged(old, old, [], order, lambda item: item)
            else:
                result[name] = _by_key(old, order, merge_key)
    return result


def _by_key(items: Sequence[Json], order: Sequence[Json], merge_key: str) -> list[Any]:
    return _arranged(items, items, [], order, _identity(merge_key))


def _identity(merge_key: str) -> Callable[[Any], Any]:
    return lambda item: item.get(merge_key) if isinstance(item, dict) else item


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "float64")


def go_text(value: Any) -> str:
    """As Go prints a map: keys sorted, nothing quoted."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    return str(value)
