"""The one bash line that waits for the dashboard, submits the job once, and follows its log (spec rayjob §8.8).

In K8sJobMode a submitter may be started again: the guard `ray job status` makes the second start attach to the log of
the job that is there already instead of submitting it twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from api.v1.runtime_env import parse_runtime_env

__all__ = ["go_json", "go_quote", "submit_script"]

PROBE_TIMEOUT_SECONDS = 10  # one try of the health probe
RETRY_SECONDS = 2  # between two of them

ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def submit_script(
    *,
    address: str,
    job_id: str,
    entrypoint: str,
    runtime_env_yaml: str = "",
    metadata: Mapping[str, str] | None = None,
    entrypoint_num_cpus: float = 0,
    entrypoint_num_gpus: float = 0,
    entrypoint_resources: str = "",
) -> str:
    """The script for K8sJobMode; `address` is the dashboard's, with or without "http://". Raises RuntimeEnvError."""
    url = address if address.startswith("http://") else f"http://{address}"
    submit = [f"ray job submit --address {url}", "--no-wait"]
    if runtime_env_yaml:
        submit.append(f"--runtime-env-json {go_quote(go_json(parse_runtime_env(runtime_env_yaml)))}")
    if metadata:
        submit.append(f"--metadata-json {go_quote(go_json(metadata))}")
    if job_id:
        submit.append(f"--submission-id {job_id}")
    if entrypoint_num_cpus > 0:
        submit.append(f"--entrypoint-num-cpus {entrypoint_num_cpus:f}")
    if entrypoint_num_gpus > 0:
        submit.append(f"--entrypoint-num-gpus {entrypoint_num_gpus:f}")
    if entrypoint_resources:
        submit.append(f"--entrypoint-resources {go_quote(entrypoint_resources)}")
    parts = [
        f"until {health_probe(url)} >/dev/null 2>&1 ;",
        f'do echo "Waiting for the Ray dashboard at {url} ..." ; sleep {RETRY_SECONDS} ; done ;',
        f"if ! ray job status --address {url} {job_id} >/dev/null 2>&1 ; then",
        *submit,
        f"-- {entrypoint.strip()} ;",
        f"fi ; ray job logs --address {url} --follow {job_id}",
    ]
    return " ".join(parts)


def health_probe(url: str) -> str:
    """Python instead of wget: slim images have no other HTTP client, and Ray's image always has Python."""
    code = (
        "import sys, urllib.request as r; "
        f"sys.exit(b'success' not in r.urlopen('{url}/api/gcs_healthz', timeout={PROBE_TIMEOUT_SECONDS}).read())"
    )
    return f'python -c "{code}"'


def go_json(value: Any) -> str:
    """JSON as Go writes it: compact, keys sorted, and `<`, `>`, `&` and two line separators escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def go_quote(text: str) -> str:
    """A Go string literal: bash undoes `\\"` and `\\\\`, and expands `$` and backticks inside."""
    return '"' + "".join(ESCAPES.get(character) or quoted_character(character) for character in text) + '"'


def quoted_character(character: str) -> str:
    """Itself when printable, else \\xNN, \\uNNNN or \\UNNNNNNNN."""
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
