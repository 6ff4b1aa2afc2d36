#!/usr/bin/env python3
"""Writes what is generated; with --check says what would change, and fails if anything would.

config/crd/bases/*.yaml   the CRDs as the reference ships them: without descriptions
api/crds/*.json           the same with our descriptions, as package data (JSON: YAML loads slowly)
config/rbac/*.yaml        what the operator may do, from controller/rights.py; roles for people who edit or view
config/namespaced/role.yaml   the same rights in a single namespace
config/webhook/*.yaml     the webhooks' configurations and Service, and the rights to keep their certificates
docs/operator.md          its tables of flags and feature gates, from controller/settings.py
docs/rayservice-states.md its tables, from controller/ray/rayservice/upgrade.py
docs/rules.md             every rule of admission, from api/v1/rules
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
from controller.gates import BETA  # noqa: E402
from controller.ray.rayservice import upgrade  # noqa: E402
from controller.rights import (  # noqa: E402
    LEADER_ELECTION,
    RIGHTS,
    WEBHOOK_CONFIGURATIONS,
    WEBHOOK_SECRET,
    rules,
)
from controller.settings import FLAGS, GATES, NOT_THERE_YET, WITHOUT_EFFECT  # noqa: E402
from hack.rules_page import rules_page  # noqa: E402
from webhooks.registration import Registration, mutating, operator_account, service, validating  # noqa: E402

OPERATOR = "kuberay-operator"  # the reference's names: tools look them up
WEBHOOK_NAMESPACE = "ray-system"  # likewise, of config/default-with-webhooks
FULL = ["create", "delete", "get", "list", "patch", "update", "watch"]


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

    yield from roles()
    yield from webhook_manifests()
    for name, written in (("operator", operator_page), ("rayservice-states", states_page)):
        page = ROOT / "docs" / f"{name}.md"
        yield page, written(page.read_text())
    yield ROOT / "docs" / "rules.md", rules_page()


def operator_page(page: str) -> str:
    """The page with its tables as the code has them now."""
    flags = [
        f"| `{flag.name}` | `{shown(flag.default)}` "
        f"| {flag.help}{' Accepted, without effect yet.' if flag.name in WITHOUT_EFFECT else ''} |"
        for flag in FLAGS
    ]
    gates = [
        f"| `{name}` | {'on' if default else 'off'} | {'beta' if name in BETA else 'alpha'} "
        f"| {'not yet' if name in NOT_THERE_YET else 'yes'} |"
        for name, (default, _) in GATES.items()
    ]
    page = between(page, "flags", ["| flag | default | does |", "|---|---|---|", *flags])
    return between(page, "gates", ["| gate | default | stage | is there |", "|---|---|---|---|", *gates])


def states_page(page: str) -> str:
    """The page with the upgrade's tables, and the drawing of them, as the code has them now."""
    rows, arrows = [], ["```mermaid", "stateDiagram-v2", "    [*] --> NOTHING"]
    for stage, row in upgrade.RULES.items():
        shown_stage = f"**{stage.name}**: {stage.value}"
        for rule, act in row:
            condition = "always" if len(row) == 1 else " ".join((rule.__doc__ or "").split())
            after = " or ".join(one.name for one in upgrade.LEADS_TO.get(act, (stage,)))
            rows.append(f"| {shown_stage} | {condition} | {act.name}: {act.value} | {after} |")
            shown_stage = ""
        for act in dict.fromkeys(act for _, act in row):
            arrows += [f"    {stage.name} --> {one.name}: {act.name}" for one in upgrade.LEADS_TO.get(act, ())]
    heading = ["| there is | when | what is done | then |", "|---|---|---|---|"]
    return between(page, "upgrade", [*heading, *rows, "", *arrows, "```"])


def shown(default: object) -> str:
    """A flag's default as the page shows it."""
    return "–" if default == "" else str(default).lower() if isinstance(default, bool) else str(default)


def between(page: str, name: str, lines: list[str]) -> str:
    """The page with these lines between its two marks of that name."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return before + begin + "\n".join(lines) + "\n" + end + after


def roles() -> Iterator[tuple[Path, str]]:
    """The operator's rights, and roles that an administrator may give to people."""
    folder, source = ROOT / "config" / "rbac", "controller/rights.py; change the table there instead"
    yield folder / "role.yaml", as_yaml(role("ClusterRole", OPERATOR, rules(RIGHTS)), source)
    election = role("Role", f"{OPERATOR}-leader-election", rules(LEADER_ELECTION))
    yield folder / "leader_election_role.yaml", as_yaml(election, source)
    namespaced = role("Role", OPERATOR, rules(RIGHTS))
    yield ROOT / "config" / "namespaced" / "role.yaml", as_yaml(namespaced, source)
    for definition in DEFINITIONS:
        resource = definition.resource
        for name, verbs in (("editor", FULL), ("viewer", ["get", "list", "watch"])):
            people = [
                {"apiGroups": [resource.group], "resources": [resource.plural], "verbs": verbs},
                {"apiGroups": [resource.group], "resources": [f"{resource.plural}/status"], "verbs": ["get"]},
            ]
            content = role("ClusterRole", f"{resource.kind.lower()}-{name}-role", people)
            yield folder / f"{resource.kind.lower()}_{name}_role.yaml", as_yaml(content, "hack/generate.py")


def webhook_manifests() -> Iterator[tuple[Path, str]]:
    """What tells the API server of our webhooks, and what we need to keep their certificates ourselves."""
    folder = ROOT / "config" / "webhook"
    source = "webhooks/registration.py and controller/rights.py; change them instead"
    here = Registration(namespace=WEBHOOK_NAMESPACE, account=operator_account(WEBHOOK_NAMESPACE))
    yield folder / "manifests.yaml", as_yaml_of([validating(here), mutating(here)], source)
    yield folder / "service.yaml", as_yaml(service(), source)
    name = f"{OPERATOR}-webhooks"
    granted = [
        role("ClusterRole", name, rules(WEBHOOK_CONFIGURATIONS)),
        role("Role", name, rules(WEBHOOK_SECRET)),
    ]
    yield folder / "rights" / "role.yaml", as_yaml_of(granted, source)


def as_yaml_of(contents: list[Any], source: str) -> str:
    """Several documents."""
    first, *others = contents
    return as_yaml(first, source) + "".join(f"---\n{dumped(one)}" for one in others)


def role(kind: str, name: str, granted: list[dict[str, list[str]]]) -> dict[str, Any]:
    """An RBAC role."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": granted,
    }


def as_yaml(content: Any, source: str = "api/v1; change the models instead") -> str:
    """YAML as kustomize would write it: sorted keys, no aliases, no folding."""
    return f"# Written by hack/generate.py from {source}.\n---\n{dumped(content)}"


def dumped(content: Any) -> str:
    """One document."""
    text: str = yaml.dump(content, Dumper=Dumper, sort_keys=True, width=10**6, default_flow_style=False)
    return text


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
