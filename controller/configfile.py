"""The operator's configuration file, and the types of what stands in it (spec deployment §1.3, DC-9)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from controller.flags import Value

__all__ = ["FILE_KEYS", "BadSettings", "is_unset", "mappings", "of_the_type", "read_config", "strings"]

# Field of the config file -> the flag it stands for (spec deployment §1.3)
FILE_KEYS: Final = {
    "metricsAddr": "metrics-addr",
    "probeAddr": "health-probe-bind-address",
    "enableLeaderElection": "enable-leader-election",
    "leaderElectionNamespace": "leader-election-namespace",
    "reconcileConcurrency": "reconcile-concurrency",
    "watchNamespace": "watch-namespace",
    "logFile": "log-file-path",
    "logFileEncoder": "log-file-encoder",
    "logStdoutEncoder": "log-stdout-encoder",
    "batchScheduler": "batch-scheduler",
    "enableBatchScheduler": "enable-batch-scheduler",
    "useKubernetesProxy": "use-kubernetes-proxy",
    "enableMetrics": "enable-metrics",
    "cronBackfillLimit": "cron-backfill-limit",
    "qps": "qps",
    "burst": "burst",
}


class BadSettings(Exception):
    """The settings are well-formed and cannot be used; the message names which, and the way out."""


KIND_OF_FILE: Final = {"apiVersion": "config.ray.io/v1alpha1", "kind": "Configuration"}  # assumed where absent (DC-9)


def read_config(name: str) -> Mapping[str, Any]:
    """The configuration file; unknown fields are ignored. Raises BadSettings."""
    import yaml

    try:
        content = next(iter(yaml.safe_load_all(Path(name).read_text())), None)  # the first document is all that counts
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"cannot read -config {name}: {error}") from error
    content = {} if content is None else content
    is_one = isinstance(content, dict) and all(content.get(key, value) == value for key, value in KIND_OF_FILE.items())
    if not is_one:
        raise BadSettings(f"-config {name} is not a Configuration of config.ray.io/v1alpha1")
    return content


def is_unset(value: Any) -> bool:
    """Null and the empty string say nothing: the default counts, as where the field is absent (DC-9)."""
    return value is None or value == ""


def mappings(file: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    """A list of containers or variables, as they are; absent: none. Raises BadSettings."""
    value = file.get(key) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(one, dict) for one in value):
        raise BadSettings(f"{key} in the -config file must be a list of objects, not {value!r}")
    return tuple(value)


def strings(file: Mapping[str, Any], key: str) -> Mapping[str, str]:
    """Labels or annotations; absent: none. Raises BadSettings, also for a number, which no label is."""
    value = file.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in (*value, *value.values())):
        raise BadSettings(f"{key} in the -config file must be strings by strings, not {value!r}")
    return value


def of_the_type(key: str, value: Any, example: Value) -> Value:
    """The value, if it is of the flag's type; 3.0 is a whole number, too (DC-9). Raises BadSettings."""
    wanted = type(example)
    if type(value) in (int, float) and wanted in (int, float) and wanted(value) == value:
        return wanted(value)
    if type(value) is not wanted:
        names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
        raise BadSettings(f"{key} in the -config file must be {names[wanted]}, not {value!r}")
    typed: Value = value
    return typed
