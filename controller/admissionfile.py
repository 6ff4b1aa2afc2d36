"""What the config file says of admission (spec admission §4.1 P3, P4). Light: `manta lint` reads the same file.

Every field of AdmissionSettings is a key, in camel case; so a new field needs no word here. The rest of the config file
is read as leniently as the reference reads it; here a typing mistake would be a rule that silently is not the owner's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final

from api.v1.rules.model import Severity
from api.v1.rules.settings import AdmissionSettings, ImageVersion, Profile
from controller.configfile import BadSettings

__all__ = ["admission_settings"]

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
    if name == "accelerator_tolerations":
        return {key: _tolerations(f"{path}[{key}]", one) for key, one in _mapping(path, value).items()}
    if isinstance(example, dict):
        return _strings(path, value)
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


def _tolerations(path: str, value: Any) -> list[Mapping[str, str]]:
    if not isinstance(value, list):
        raise BadSettings(f"{path} must be a list of tolerations, not {value!r}")
    return [_strings(f"{path}[{index}]", one) for index, one in enumerate(value)]


def _strings(path: str, value: Any) -> Mapping[str, str]:
    given = _mapping(path, value)
    for key, one in given.items():
        if not isinstance(one, str):
            raise BadSettings(f"{path}.{key} must be a string, not {one!r}")
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
