#!/usr/bin/env python3
"""Takes from Kubernetes' published OpenAPI document the core types that our CRDs embed, and nothing else.

    .venv/bin/python hack/core_schema.py        writes hack/core_schema.json

Needs Go: the document comes with the module k8s.io/kubernetes, from the module cache or the module proxy. The
release is pinned (spec raycluster §1.10): a newer one has fields that the reference prunes. Run it only to move the
pin; the result is committed. Descriptions are left out, everything else stays as published: which of it reaches a
CRD is decided in api/crd.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MODULE = "k8s.io/kubernetes@v1.36.3"
DOCUMENTS = ("api__v1_openapi.json", "apis__networking.k8s.io__v1_openapi.json")
TARGET = ROOT / "hack" / "core_schema.json"
EMBEDDED = (
    "Condition",
    "EnvFromSource",
    "EnvVar",
    "EnvVarSource",
    "IngressTLS",
    "NetworkPolicyEgressRule",
    "NetworkPolicyIngressRule",
    "PodTemplateSpec",
    "Quantity",
    "ResourceRequirements",
    "SecurityContext",
    "Service",
    "VolumeMount",
)


def main() -> int:
    documents = [
        {short(full): without_descriptions(schema) for full, schema in read(document).items()} for document in DOCUMENTS
    ]
    every = {name: schema for document in reversed(documents) for name, schema in document.items()}
    used = reachable(every)
    differing = [name for name in used if any(document.get(name, every[name]) != every[name] for document in documents)]
    if differing:
        print(f"two different types each: {', '.join(differing)}", file=sys.stderr)
        return 1
    pruned = {"source": f"{MODULE} api/openapi-spec/v3", "schemas": {name: every[name] for name in sorted(used)}}
    TARGET.write_text(json.dumps(pruned, indent=1, sort_keys=True) + "\n")
    print(f"{TARGET.relative_to(ROOT)}: {len(used)} types")
    return 0


def read(document: str) -> dict[str, Any]:
    """The schemas of one document of the pinned module, by full name."""
    answer = subprocess.run(["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, text=True)
    folder = Path(json.loads(answer.stdout)["Dir"])
    schemas: dict[str, Any] = json.loads((folder / "api/openapi-spec/v3" / document).read_text())["components"][
        "schemas"
    ]
    return schemas


def short(full: str) -> str:
    """ "#/components/schemas/io.k8s.api.core.v1.Pod" -> "Pod" """
    return full.rpartition(".")[2]


def without_descriptions(node: Any) -> Any:
    """The same schema without texts for people, and with short names in its references."""
    if isinstance(node, list):
        return [without_descriptions(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: short(value) if key == "$ref" else without_descriptions(value)
        for key, value in node.items()
        if not (key == "description" and isinstance(value, str))
    }


def references(node: Any) -> set[str]:
    """All types that a schema refers to."""
    if isinstance(node, list):
        return set().union(*(references(one) for one in node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*(references(value) for value in node.values()))


def reachable(every: dict[str, Any]) -> set[str]:
    """The embedded types and all that they consist of."""
    found: set[str] = set()
    waiting = set(EMBEDDED)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= references(every[name]) - found
    return found


if __name__ == "__main__":
    sys.exit(main())
