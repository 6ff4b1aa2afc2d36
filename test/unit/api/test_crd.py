"""The generated CRDs are the reference's: rebuilt here a second time, from the text of the specification alone.

Nothing below uses api.crd to say what is right. `Block` reads the notation of raycluster.md §1.10, `core` applies the
rules N1 to N8 to the published document in its own way.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.crd import CoreSchemas, custom_resource_definition, schema
from api.crds.installed import custom_resource_definitions
from api.v1.definitions import DEFINITIONS
from api.v1.raycluster import RayClusterSpec

ROOT = Path(__file__).parent.parent.parent.parent
SPEC = (ROOT / "docs" / "spec" / "raycluster.md").read_text()
DOCUMENT: dict[str, Any] = json.loads((ROOT / "hack" / "core_schema.json").read_text())["schemas"]
CORE = CoreSchemas(DOCUMENT)
VERSIONS = [
    (definition, version) for definition in DEFINITIONS for version in ("v1", "v1alpha1")[: len(definition.versions)]
]
NAMES = [f"{definition.resource.kind}-{version}" for definition, version in VERSIONS]
SCALARS: dict[str, dict[str, Any]] = {
    "s": {"type": "string"},
    "b": {"type": "boolean"},
    "i": {"type": "integer", "format": "int32"},
    "l": {"type": "integer", "format": "int64"},
    "n": {"type": "number"},
    "t": {"type": "string", "format": "date-time"},
    "m": {"type": "object", "additionalProperties": {"type": "string"}},
}


def patterns_and_rules() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The two lists behind "CEL rules and patterns"."""
    text = SPEC.split("CEL rules and patterns", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    patterns = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in text.splitlines() if line.startswith("P-")}
    rules = {}
    for line in text.splitlines():
        if line.startswith("K"):
            name, rest = line.split(" ", 1)
            rule, message = rest.split(" => ")
            rules[name] = {"rule": rule, "message": message}
    return patterns, rules


PATTERNS, RULES = patterns_and_rules()
INT_OR_STRING = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


ATOMIC_SOURCES = (
    "ConfigMapEnvSource",
    "SecretEnvSource",
    "ConfigMapVolumeSource",
    "ConfigMapProjection",
    "SecretProjection",
)


def core(node: dict[str, Any], owner: str = "") -> dict[str, Any]:
    """A published schema after N1 to N8."""
    target = node.get("$ref") or next((part["$ref"] for part in node.get("allOf", []) if "$ref" in part), "")
    if target:
        return core_type(target)
    unwanted = {"description", "enum", "x-kubernetes-unions", "x-kubernetes-group-version-kind", "default"}
    result = {k: v for k, v in node.items() if k not in unwanted and not k.startswith("x-kubernetes-patch")}
    if "items" in node:
        result["items"] = core(node["items"], owner)
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = core(node["additionalProperties"], owner)
    if "properties" in node:
        result["properties"] = {k: core(v, owner) for k, v in node["properties"].items()}
        for name, child in node["properties"].items():
            meaningful = "default" in child and child["default"] != {} and name not in node.get("required", [])
            if meaningful and (owner, name) not in (
                ("AzureDiskVolumeSource", "cachingMode"),
                ("AzureDiskVolumeSource", "kind"),
            ):
                result["properties"][name]["default"] = child["default"]
    if "required" in result:
        result["required"] = sorted(result["required"])
    return result


def core_type(name: str) -> dict[str, Any]:
    """A published type by name, after N2 and N5 to N8."""
    if name == "Quantity":
        return {**INT_OR_STRING, "pattern": PATTERNS["P-quantity"]}
    if name == "IntOrString":
        return dict(INT_OR_STRING)
    if name == "Condition":
        return condition()
    if name == "ObjectMeta":
        strings = {"type": "array", "items": SCALARS["s"]}
        maps = {"annotations": SCALARS["m"], "labels": SCALARS["m"]}
        texts = {"name": SCALARS["s"], "namespace": SCALARS["s"]}
        return {"type": "object", "properties": {**maps, **texts, "finalizers": strings}}
    result = core(DOCUMENT[name], name)
    if name in ATOMIC_SOURCES:
        result["x-kubernetes-map-type"] = "atomic"
    if name == "PortStatus":
        result["properties"]["error"].update(maxLength=316, pattern=PATTERNS["P-type"])
        result["required"] = ["error", "port", "protocol"]
    return result


def condition() -> dict[str, Any]:
    """meta/v1 Condition after N7."""
    return {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": {"type": "string", "maxLength": 316, "pattern": PATTERNS["P-type"]},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": PATTERNS["P-reason"]},
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        },
    }


class Block:
    """The notation of own fields: `name!:type[](constraint; constraint)`."""

    def __init__(self) -> None:
        text = SPEC.split("Fields of one object are separated by blanks.", 1)[1]
        self.fields: dict[str, str] = {}
        name = ""
        for line in text.split("```text\n", 1)[1].split("```", 1)[0].splitlines():
            if line[:1].strip():
                name, _, rest = line.partition(" ")
                self.fields[name] = rest
            elif line.strip():
                self.fields[name] += " " + line
        assert len(self.fields) > 40

    def object(self, name: str) -> dict[str, Any]:
        properties, required = {}, []
        for field, bang, type_, constraints in re.findall(
            r"(\w+)(!?):([\w.]+(?:\[\]|\{\})?)(?:\(([^)]*)\))?", self.fields[name]
        ):
            properties[field] = {**self.type(type_), **self.constrained(type_, constraints)}
            if bang:
                required.append(field)
        return {"type": "object", "properties": properties, **({"required": sorted(required)} if required else {})}

    def type(self, text: str) -> dict[str, Any]:
        if text.endswith("[]"):
            return {"type": "array", "items": self.type(text[:-2])}
        if text.endswith("{}"):
            return {"type": "object", "additionalProperties": self.type(text[:-2])}
        if text == "q":
            return core({"$ref": "Quantity"})
        if text.startswith("k."):
            return core({"$ref": text[2:]})
        return deepcopy(SCALARS[text]) if text in SCALARS else self.object(text)

    def constrained(self, type_: str, text: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            word, *values = part.split()
            if word == "default":
                result["default"] = int(values[0]) if type_ == "i" else values[0].strip('"')
            elif word == "enum":
                result["enum"] = values
            elif word == "cel":
                result["x-kubernetes-validations"] = [RULES[value] for value in values]
            elif word in ("min", "minItems", "minLength"):
                result["minimum" if word == "min" else word] = int(values[0])
            elif word == "list":
                result["x-kubernetes-list-type"] = values[0]
                if values[0] == "map":
                    result["x-kubernetes-list-map-keys"] = values[1:]
            else:
                assert word == "nullable", part
                result["nullable"] = True
        return result

    def root(self, kind: str, version: str) -> dict[str, Any]:
        body = self.object(kind if version == "v1" else f"{kind}/a1")
        frame = {"apiVersion": SCALARS["s"], "kind": SCALARS["s"], "metadata": {"type": "object"}}
        return {"type": "object", "properties": {**frame, **body["properties"]}}


BLOCK = Block()


def crd_of(kind: str, *, described: bool = False) -> dict[str, Any]:
    definition = next(one for one in DEFINITIONS if one.resource.kind == kind)
    return custom_resource_definition(definition, CORE, described=described)


def version_of(crd: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in crd["spec"]["versions"] if one["name"] == name)


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two schemas part, so that a failure can be read."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            one
            for key in sorted({*ours, *theirs})
            for one in differences(ours.get(key, "absent"), theirs.get(key, "absent"), f"{path}.{key}")
        ]
    return [] if ours == theirs and type(ours) is type(theirs) else [f"{path}: {ours!r} is not {theirs!r}"]


@pytest.mark.parametrize(("definition", "version"), VERSIONS, ids=NAMES)
@pytest.mark.spec("admission:S18", "admission:S19", "admission:S20")
def test_each_version_schema_is_the_one_of_the_specification(definition: Any, version: str) -> None:
    """Own fields and embedded types, to the last keyword."""
    kind = definition.resource.kind
    ours = version_of(crd_of(kind), version)["schema"]["openAPIV3Schema"]

    assert differences(ours, BLOCK.root(kind, version)) == []


def test_there_are_seven_version_schemas() -> None:
    """A comparison of nothing would pass."""
    assert len(VERSIONS) == 7


@pytest.mark.parametrize(
    ("kind", "kilobytes"), [("RayCluster", 291), ("RayJob", 419), ("RayService", 305), ("RayCronJob", 217)]
)
def test_the_crds_are_as_large_as_the_references(kind: str, kilobytes: int) -> None:
    """A whole embedded type that went missing on both sides would show here."""
    assert round(len(json.dumps(crd_of(kind), separators=(",", ":"))) / 1000) == kilobytes


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("N1", "template.spec.restartPolicy", {"type": "string"}),
        ("N2", "template.spec.containers.resources.limits.*", {**INT_OR_STRING, "pattern": PATTERNS["P-quantity"]}),
        ("N2", "template.spec.containers.livenessProbe.httpGet.port", INT_OR_STRING),
        ("N3", "template.spec.containers.ports.protocol", {"type": "string", "default": "TCP"}),
        ("N3", "template.spec.containers.ports.containerPort", {"type": "integer", "format": "int32"}),
        ("N3", "template.spec.containers.livenessProbe.grpc.service", {"type": "string", "default": ""}),
        ("N4", "template.spec.volumes.azureDisk.kind", {"type": "string"}),
    ],
)
def test_single_fields_of_a_pod_template_follow_the_rules(rule: str, path: str, expected: dict[str, Any]) -> None:
    """Spelled out, in case both derivations share a mistake."""
    node = schema(RayClusterSpec, CORE)["properties"]["headGroupSpec"]
    for step in path.split("."):
        node = node.get("items", node)
        node = node["additionalProperties"] if step == "*" else node["properties"][step]

    assert node == expected, rule


@pytest.mark.spec("raycluster:N5", "raycluster:N6", "raycluster:N8")
def test_embedded_metadata_sources_and_port_statuses_are_the_references() -> None:
    """Where the reference's generator differs from the published document."""
    pod = CORE.named("PodTemplateSpec")
    volume = pod["properties"]["spec"]["properties"]["volumes"]["items"]["properties"]
    claim = volume["ephemeral"]["properties"]["volumeClaimTemplate"]["properties"]["metadata"]
    ports = CORE.named("LoadBalancerStatus")["properties"]["ingress"]["items"]["properties"]["ports"]["items"]

    assert claim == pod["properties"]["metadata"]
    assert sorted(claim["properties"]) == ["annotations", "finalizers", "labels", "name", "namespace"]
    assert "x-kubernetes-list-type" not in claim["properties"]["finalizers"]
    assert volume["configMap"]["x-kubernetes-map-type"] == "atomic"
    assert "x-kubernetes-map-type" not in volume["emptyDir"]
    assert ports["required"] == ["error", "port", "protocol"]
    assert ports["properties"]["error"]["maxLength"] == 316


@pytest.mark.spec("raycluster:N2")
def test_quantities_have_a_pattern_and_numbers_or_names_have_none() -> None:
    """Neither has a type beside its two alternatives."""
    either = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}

    quantity = CORE.named("Quantity")
    assert re.fullmatch(quantity.pop("pattern"), "500m")
    assert quantity == CORE.named("IntOrString") == either


@pytest.mark.spec("raycluster:N1", "raycluster:N3")
def test_nothing_but_the_kept_keywords_reaches_an_embedded_type() -> None:
    """No enum, no description, no meaningless default."""
    seen: set[str] = set()

    def walk(node: Any, inside_properties: bool = False) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            if not inside_properties:
                seen.update(node)
                assert node.get("default") != {}
            for key, value in node.items():
                walk(value, key == "properties" and not inside_properties)

    walk(CORE.named("PodTemplateSpec"))

    assert seen <= {
        *("type", "format", "properties", "items", "additionalProperties", "required", "default", "anyOf", "pattern"),
        *(
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-map-type",
            "x-kubernetes-int-or-string",
        ),
    }


@pytest.mark.spec("raycluster:N4", "raycluster:N7")
def test_conditions_and_azure_disks_are_the_exceptions() -> None:
    """N7 adds what the document does not say, N4 takes what it says."""
    azure = CORE.named("AzureDiskVolumeSource")["properties"]

    assert CORE.named("Condition") == condition()
    assert "default" not in azure["kind"]
    assert "default" not in azure["cachingMode"]
    assert azure["fsType"]["default"] == "ext4"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.resource.kind)
def test_the_frame_of_each_crd_is_the_references(definition: Any) -> None:
    """Names, scope, subresource; no labels, no conversion, no scale, no short names."""
    kind = definition.resource.kind
    crd = crd_of(kind)

    assert set(crd) == {"apiVersion", "kind", "metadata", "spec"}
    assert crd["metadata"] == {"name": f"{kind.lower()}s.ray.io"}
    assert crd["spec"]["names"] == {
        "categories": ["all"],
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": f"{kind.lower()}s",
        "singular": kind.lower(),
    }
    assert set(crd["spec"]) == {"group", "names", "scope", "versions"}
    assert crd["spec"]["versions"][0]["name"] == "v1"
    for one in crd["spec"]["versions"]:
        assert one["served"] is True
        assert one["storage"] is (one["name"] == "v1")
        assert one["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob", "RayService"])
def test_v1alpha1_is_served_with_a_warning(kind: str) -> None:
    """The API server passes it on to whoever uses the old version."""
    old = version_of(crd_of(kind), "v1alpha1")

    assert old["deprecated"] is True
    assert old["deprecationWarning"].startswith(f"ray.io/v1alpha1 {kind} is deprecated; use ray.io/v1 {kind}.")
    assert "1.9" in old["deprecationWarning"]
    assert bool(old.get("additionalPrinterColumns")) is (kind == "RayCluster")


def columns_of_table(text: str) -> list[dict[str, Any]]:
    """Rows `| name | path | type | priority |` of raycluster.md §1.1."""
    rows = re.findall(r"^\| `([^`]+)` \| `(\.[^`]+)` \| (\w+) \| (\d) \|$", text, re.MULTILINE)
    return [
        {"name": name, "jsonPath": path, "type": type_, **({"priority": int(priority)} if priority != "0" else {})}
        for name, path, type_, priority in rows
    ]


def test_kubectl_get_prints_the_columns_of_the_specification() -> None:
    """Both versions of RayCluster, in this order."""
    expected = columns_of_table(SPEC.split("### 1.2", 1)[0])
    crd = crd_of("RayCluster")

    assert len(expected) == 10
    assert version_of(crd, "v1")["additionalPrinterColumns"] == expected
    assert version_of(crd, "v1alpha1")["additionalPrinterColumns"] == expected


OTHER_COLUMNS = {
    "RayJob": """
        job status:string:.status.jobStatus deployment status:string:.status.jobDeploymentStatus
        ray cluster name:string:.status.rayClusterName start time:string:.status.startTime
        end time:string:.status.endTime age:date:.metadata.creationTimestamp""",
    "RayService": """
        service status:string:.status.serviceStatus num serve endpoints:string:.status.numServeEndpoints""",
    "RayCronJob": """
        schedule:string:.spec.schedule timezone:string:.spec.timeZone last schedule:date:.status.lastScheduleTime
        age:date:.metadata.creationTimestamp suspend:boolean:.spec.suspend""",
}


@pytest.mark.parametrize("kind", OTHER_COLUMNS)
def test_the_other_kinds_print_their_columns(kind: str) -> None:
    """All of priority 0."""
    expected = [
        {"name": name, "type": type_, "jsonPath": path}
        for name, type_, path in re.findall(r"([a-z][a-z ]*):(\w+):(\.[\w.]+)", OTHER_COLUMNS[kind])
    ]

    assert len(expected) in (2, 5, 6)
    assert version_of(crd_of(kind), "v1")["additionalPrinterColumns"] == expected


def without_descriptions(node: Any, inside_properties: bool = False) -> Any:
    if isinstance(node, list):
        return [without_descriptions(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: without_descriptions(value, key == "properties" and not inside_properties)
        for key, value in node.items()
        if inside_properties or key != "description"
    }


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.resource.kind)
def test_the_described_form_adds_descriptions_and_nothing_else(definition: Any) -> None:
    """`kubectl explain` says what each own field means."""
    kind = definition.resource.kind
    described = crd_of(kind, described=True)
    spec = version_of(described, "v1")["schema"]["openAPIV3Schema"]["properties"]["spec"]

    root = version_of(described, "v1")["schema"]["openAPIV3Schema"]["properties"]

    assert without_descriptions(described) == crd_of(kind)
    assert root["metadata"] == {"type": "object"}  # the API server refuses anything more
    assert [name for name, one in spec["properties"].items() if not one.get("description")] == []


def test_the_files_are_what_the_models_say() -> None:
    """config/ is plain, the package holds the described form."""
    for definition in DEFINITIONS:
        kind, plural = definition.resource.kind, definition.resource.plural
        written = yaml.load((ROOT / f"config/crd/bases/ray.io_{plural}.yaml").read_text(), Loader=yaml.CSafeLoader)
        assert written == crd_of(kind)

    assert list(custom_resource_definitions()) == [
        crd_of(definition.resource.kind, described=True) for definition in DEFINITIONS
    ]


def test_the_package_brings_no_other_json_than_crds() -> None:
    """Whoever applies the whole folder gets just these."""
    names = sorted(one.name for one in files("api.crds").iterdir() if one.name.endswith(".json"))

    assert names == sorted(f"{one.resource.plural}.ray.io.json" for one in DEFINITIONS)
