"""The API server's complaints about a field in a person's words: what stands there, and what is expected. Pure.

The server's own words are literal and long (spec kube-api §1); these are for a line below which the field is shown.
What is not recognised is passed on as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from api.crd import QUANTITY_PATTERN
from api.v1.rules.durations import go_duration

__all__ = ["cause_text", "decoding_trouble", "described", "former", "wanted_type"]

TYPES: Final = {
    "integer": "a whole number",
    "int32": "a whole number",
    "int64": "a whole number",
    "number": "a number",
    "float64": "a number",
    "string": "a text",
    "boolean": "true or false",
    "bool": "true or false",
    "object": "an object with fields",
    "array": "a list",
    "integer,string": "a whole number or a text",
}
LONGEST_SHOWN: Final = 60
OF_TYPE: Final = re.compile(r" in body must be of type (?P<wanted>[\w,-]+): ")
SUPPORTED: Final = re.compile(r'supported values: (?P<values>".*")$')
BOUND: Final = re.compile(r"^Invalid value: .* in body (?P<rule>should .*)$", re.DOTALL)
INVALID: Final = re.compile(r"^Invalid value: (?:\"(?:[^\"\\]|\\.)*\"|[^:]*): (?P<rule>.*)$", re.DOTALL)
REGEX: Final = re.compile(r" \(e\.g\. .*regex used for validation is .*\)$", re.DOTALL)  # says it once more
UNMARSHAL: Final = re.compile(
    r"cannot unmarshal (?P<found>\w+) into Go struct field [A-Z]\w*\.(?P<path>[\w.]+)(?: of type (?P<wanted>\S+))?"
)
GO_TYPES: Final = {"map[string]string": "an object of texts", "bool": "true or false", "string": "a text"}
QUOTE_IT: Final = "put it into quotes, to make it a text"
UNQUOTE_IT: Final = "take its quotes away: with them it is a text"
SWITCHES: Final = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
NEVER: Final = re.compile(r"(?!)")
UNQUOTED: Final = {  # what is wanted -> the texts that are one without their quotes
    TYPES["boolean"]: re.compile(r"true|false"),
    TYPES["integer"]: re.compile(r"-?[0-9]+", re.ASCII),
    TYPES["number"]: re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII),
}
QUANTITY: Final = f"should match '{QUANTITY_PATTERN}'"
QUANTITIES: Final = "a quantity is a number with a unit or none, and no space: 2 or 500m of cpu, 16Gi of memory"
# (kind, field) -> what to do: fields of v1alpha1 as it was, which no schema has any more, and of kinds much like it
BEFORE: Final = {
    ("RayJob", "runtimeEnv"): "v1alpha1 had it, in base64; runtimeEnvYAML takes the YAML itself",
    ("RayCronJob", "concurrencyPolicy"): "a CronJob has it; RayJobs of a RayCronJob run beside each other, so limit "
    "jobTemplate.activeDeadlineSeconds",
    ("RayCronJob", "successfulJobsHistoryLimit"): "a CronJob has it; set jobTemplate.ttlSecondsAfterFinished",
    ("RayCronJob", "failedJobsHistoryLimit"): "a CronJob has it; set jobTemplate.ttlSecondsAfterFinished",
    ("RayCronJob", "startingDeadlineSeconds"): "a CronJob has it; a RayCronJob does without",
    ("RayService", "serveConfig"): "v1alpha1 had it; serveConfigV2 takes the YAML that `serve build` writes, as a text",
}
JOB_TEMPLATE: Final = "a CronJob has it; jobTemplate of a RayCronJob is the spec of a RayJob itself"
ONE_HEAD: Final = "v1alpha1 had it, and nobody read it: a cluster has one head; leave it out"


def cause_text(reason: str, message: str, value: Any) -> tuple[str, str]:
    """One cause of a refusal as (sentence, hint), given the value that stands in the field."""
    if reason == "FieldValueRequired":
        return "is missing", ""
    if (typed := OF_TYPE.search(message)) and reason == "FieldValueTypeInvalid":
        return mistyped(TYPES.get(typed["wanted"], typed["wanted"]), value)
    if supported := SUPPORTED.search(message):
        return f"found {shown(value)}, expected one of {supported['values']}", ""
    if (rule := BOUND.match(message)) and rule["rule"] == QUANTITY:
        return f"found {shown(value)}, which is no quantity", QUANTITIES
    if rule:
        return f"found {shown(value)}, which {rule['rule']}", ""
    if rule := INVALID.match(message):
        return f"found {shown(value)}: {REGEX.sub('', rule['rule'])}", ""
    return message, ""


def wanted_type(message: str) -> str:
    """The type that a complaint about a type asks for, as schemas name it; "" if it asks for none."""
    typed = OF_TYPE.search(message)
    return typed["wanted"] if typed is not None else ""


def former(kind: str, around: Sequence[str | int], name: str, older: bool) -> str:
    """The way out of a field that is no more, or ""; `older` tells that v1alpha1 as it is served knows it."""
    if (kind, name) in BEFORE and tuple(around) == ("spec",):
        return BEFORE[kind, name]
    if kind == "RayCronJob" and tuple(around) == ("spec", "jobTemplate") and name in ("spec", "metadata"):
        return JOB_TEMPLATE
    if name == "replicas" and around and around[-1] == "headGroupSpec":
        return ONE_HEAD
    return "only v1alpha1 has it; leave it out" if older else ""


def mistyped(wanted: str, value: Any) -> tuple[str, str]:
    """A value of another type; a text that was meant often needs just its quotes."""
    if isinstance(value, str) and UNQUOTED.get(wanted, NEVER).fullmatch(value):
        hint = UNQUOTE_IT
    else:
        hint = _as_wanted(wanted, value)
    return f"found {described(value)}, expected {wanted}", hint


def _as_wanted(wanted: str, value: Any) -> str:
    """How to write the value as what is expected, where it is plain what was meant."""
    text, list_, flag, count = (TYPES[name] for name in ("string", "array", "boolean", "integer"))
    match wanted, value:
        case (w, bool() | int() | float()) if w == text:
            return QUOTE_IT
        case (w, dict()) if w == text:
            return "put | behind the name: what follows, indented, is a text then"
        case (w, list()) if w == text and value and all(isinstance(one, str) for one in value):
            return f"as one text: {shown(' '.join(value))}"
        case (w, str()) if w == list_ and value.strip():
            return f"as a list: {shown(value.split())}"
        case (w, dict()) if w == list_:
            return "a list: begin each entry with `- `"
        case (w, str()) if w == flag and value.strip().lower() in SWITCHES:
            return f"write {SWITCHES[value.strip().lower()]}"
        case (w, str()) if w == count and (time := go_duration(value.strip())) is not None:
            return f"in seconds: {time.total_seconds():.0f}" if time.total_seconds().is_integer() else ""
    return ""


def decoding_trouble(message: str, kind: str) -> tuple[str, str]:
    """(path, sentence) of a body that could not be read as the kind at all; the path is "" if it names none."""
    told = UNMARSHAL.search(message)
    if told is None:
        return "", f"cannot be read as a {kind}: {message}"
    path = told["path"]
    if "ObjectMeta." in message:
        path = f"metadata.{path}"
    found, wanted = TYPES.get(told["found"], told["found"]), told["wanted"] or ""
    if not wanted:
        return path, f"found {found}, which cannot stand here"
    return path, f"found {found}, expected {GO_TYPES.get(wanted, TYPES.get(wanted, wanted))}"


def described(value: Any) -> str:
    """A value with its type: the text "two", the number 3, a list, an object."""
    match value:
        case None:
            return "nothing"
        case bool():
            return json.dumps(value)
        case str():
            return f"the text {shown(value)}"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "an object with fields"


def shown(value: Any) -> str:
    """The value itself, not too much of it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
