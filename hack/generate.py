#!/usr/bin/env python3
"""Writes what is generated; with --check says what would change, and fails if anything would.

config/crd/bases/*.yaml   the CRDs as the reference ships them: without descriptions
api/crds/*.json           the same with our descriptions, as package data (JSON: YAML loads slowly)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from api.crd import CoreSchemas, custom_resource_definition  # noqa: E402
from api.v1.definitions import DEFINITIONS  # noqa: E402


def outputs() -> Iterator[tuple[Path, str]]:
    """Every generated file and its content."""
    core = CoreSchemas(json.loads((ROOT / "hack" / "core_schema.json").read_text())["schemas"])
    for definition in DEFINITIONS:
        resource = definition.resource
        plain = custom_resource_definition(definition, core)
        yield ROOT / "config" / "crd" / "bases" / f"{resource.group}_{resource.plural}.yaml", as_yaml(plain)
        described = custom_resource_definition(definition, core, described=True)
        text = json.dumps(described, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        yield ROOT / "api" / "crds" / f"{resource.plural}.{resource.group}.json", text + "\n"


def as_yaml(content: Any) -> str:
    """YAML as kustomize would write it: sorted keys, no aliases, no folding."""
    text: str = yaml.dump(content, Dumper=Dumper, sort_keys=True, width=10**6, default_flow_style=False)
    return f"# Written by hack/generate.py from api/v1; change the models instead.\n---\n{text}"


class Dumper(yaml.CSafeDumper):
    """Writes repeated parts again instead of referring to them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main(arguments: list[str]) -> int:
    check = arguments == ["--check"]
    stale = []
    for path, text in outputs():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(f"{name}: {'is not what the generator writes; run make generate' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
