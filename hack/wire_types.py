#!/usr/bin/env python3
"""Takes the fields of Kubernetes' built-in kinds, their types and protobuf numbers, from its published .proto files.

    .venv/bin/uv pip install --target /tmp/grpc grpcio-tools
    PYTHONPATH=/tmp/grpc .venv/bin/python hack/wire_types.py      writes localcluster/apiserver/wire_types.json

Needs Go (the files come with the modules k8s.io/api, apimachinery and apiextensions-apiserver, from the module cache
or the module proxy) and protoc, which grpcio-tools brings. Run it only to move the pin; the result is committed. It has
one message a line, `field: "number type"`, where a type is string, bytes, bool, int32, int64, double or a message,
after `[]` for a list, `{}` for a map with text as keys, `^` for a message whose fields stand in JSON where it stands,
`!` for a text that is never left out, `?` for a value whose absence is not the same as zero. Fields are named as in
JSON; where the .proto file has another name, the Go structs' tags tell.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "localcluster" / "apiserver" / "wire_types.json"
VERSION = "v0.36.3"
MODULES = ("k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver")
PACKAGES = (
    "k8s.io/api/admissionregistration/v1",
    "k8s.io/api/apps/v1",
    "k8s.io/api/authentication/v1",
    "k8s.io/api/authorization/v1",
    "k8s.io/api/autoscaling/v1",
    "k8s.io/api/batch/v1",
    "k8s.io/api/coordination/v1",
    "k8s.io/api/core/v1",
    "k8s.io/api/discovery/v1",
    "k8s.io/api/events/v1",
    "k8s.io/api/networking/v1",
    "k8s.io/api/policy/v1",
    "k8s.io/api/rbac/v1",
    "k8s.io/api/scheduling/v1",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1",
    "k8s.io/apimachinery/pkg/apis/meta/v1",
    "k8s.io/apimachinery/pkg/runtime",
)
SCALARS = {1: "double", 3: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes"}
TAGS = re.compile(r'^\s*(?:\w+\s+)?(\S+)\s+`json:"([^",]*)([^"]*)"[^`]* protobuf:"\w+,(\d+),')
SHORTER = re.compile(r"k8s\.io\.(?:api\.|apimachinery\.pkg\.|apiextensions_apiserver\.pkg\.)(?:apis\.|api\.|util\.)?")
STRUCT = re.compile(r"^type (\w+) struct")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        sources = {module: downloaded(module) for module in MODULES}
        for module, source in sources.items():
            (tree / module).parent.mkdir(parents=True, exist_ok=True)
            (tree / module).symlink_to(source)
        messages = dict(sorted(read(tree)))
    lines = [f"{json.dumps(name)}:{json.dumps(fields, separators=(',', ':'))}" for name, fields in messages.items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{TARGET.relative_to(ROOT)}: {len(messages)} messages")
    return 0


def downloaded(module: str) -> Path:
    """The folder of the pinned module."""
    wanted = f"{module}@{VERSION}"
    answer = subprocess.run(["go", "mod", "download", "-json", wanted], check=True, capture_output=True, text=True)
    return Path(json.loads(answer.stdout)["Dir"])


def read(tree: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Every message of the packages, with its fields."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    described = tree / "described"
    files = [f"{package}/generated.proto" for package in PACKAGES]
    arguments = ["protoc", f"-I{tree}", f"--descriptor_set_out={described}", "--include_imports", *files]
    protoc = importlib.import_module("grpc_tools.protoc")  # not among our requirements
    if protoc.main(arguments):
        raise SystemExit("protoc refused the files")
    for file in FileDescriptorSet.FromString(described.read_bytes()).file:
        if not file.name.endswith("/generated.proto"):
            continue
        renamed = json_names((tree / file.name).parent)
        for message in file.message_type:
            full = f"{file.package}.{message.name}"
            yield short(full), dict(fields(message, full, renamed.get(message.name, {})))


def json_names(package: Path) -> dict[str, dict[int, tuple[str, str]]]:
    """Struct -> protobuf number -> (JSON name, "inline", "pointer", "omitempty" or ""), from the Go structs."""
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for file in sorted(package.glob("*.go")):
        struct = ""
        for line in file.read_text().splitlines():
            if opening := STRUCT.match(line):
                struct = opening[1]
            elif tagged := TAGS.match(line):
                name = "" if tagged[2] == "-" else tagged[2]
                said = "pointer" if tagged[1].startswith("*") else tagged[3].lstrip(",")
                found.setdefault(struct, {})[int(tagged[4])] = name, said
    return found


def fields(message: Any, full: str, named: dict[int, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(JSON name, "number type") of each field."""
    entries = {f".{full}.{one.name}": one for one in message.nested_type if one.options.map_entry}
    for field in message.field:
        name, said = named.get(field.number, ("", "unknown"))
        entry = entries.get(field.type_name)
        written = "{}" + typed(entry.field[1]) if entry is not None else _shape(field, said) + typed(field)
        yield name or field.name, f"{field.number} {written}"


def _shape(field: Any, said: str) -> str:
    if field.label == 3:
        return "[]"
    if said == "inline":
        return "^"
    if field.type == 11:
        return ""
    return "?" if said == "pointer" else "!" if not said and field.type == 9 else ""


def short(full: str) -> str:
    """ "k8s.io.api.core.v1.Pod" -> "core.v1.Pod" """
    return SHORTER.sub("", full, count=1)


def typed(field: Any) -> str:
    """The type of one value."""
    return short(field.type_name.lstrip(".")) if field.type == 11 else SCALARS[field.type]


if __name__ == "__main__":
    sys.exit(main())
