"""Bodies in protobuf form: what a client wrote that way is the object that it would have written as JSON."""

from __future__ import annotations

import base64
import random
from datetime import datetime
from typing import Any

import pytest

from localcluster.api import Json
from localcluster.apiserver.protobuf import MAGIC, NotProtobuf, decode_envelope, message_classes
from localcluster.apiserver.wiretypes import conform, fields_of, message_of
from localcluster.resources import BUILT_IN, ResourceInfo
from localcluster.testing.oddities import VALID

ALL_IN_JSON = "customresourcedefinitions"  # schemas have a form of their own, and kubectl makes none


def resource_of(path: str) -> ResourceInfo:
    """The resource of a collection's path."""
    root, _, plural = path.rpartition("/")
    version = root.removeprefix("/apis/").removeprefix("/api/")
    return next(one for one in BUILT_IN if (one.api_version, one.plural) == (version, plural))


def written(kind: str, value: Any) -> Any:
    """A value of the type as a protobuf client holds it."""
    if kind == "bytes":
        return base64.b64decode(value)
    if kind in {"string", "bool", "int32", "int64", "double"}:
        return value
    made = message_classes()[kind]()
    if kind == "resource.Quantity":
        made.f1 = str(value)
    elif kind == "intstr.IntOrString":
        made.f1, made.f2, made.f3 = (1, 0, value) if isinstance(value, str) else (0, value, "")
    elif kind in {"meta.v1.Time", "meta.v1.MicroTime"}:
        moment = datetime.fromisoformat(value)
        made.f1, made.f2 = int(moment.timestamp()), moment.microsecond * 1000
    else:
        fill(kind, made, value)
    return made


def fill(kind: str, made: Any, value: Json) -> None:
    """Every field that the value has."""
    for name, field in fields_of(kind).items():
        here = f"f{field.number}"
        if field.shape == "^":
            getattr(made, here).CopyFrom(written(field.type, value))
        elif name not in value:
            continue
        elif field.shape == "[]":
            getattr(made, here).extend([written(field.type, one) for one in value[name]])
        elif field.shape == "{}":
            for key, one in value[name].items():
                put(getattr(made, here).add(f1=key), "f2", written(field.type, one))
        else:
            put(made, here, written(field.type, value[name]))


def put(made: Any, here: str, value: Any) -> None:
    """Set a field, whatever its type."""
    if isinstance(value, str | bytes | bool | int | float):
        setattr(made, here, value)
    else:
        getattr(made, here).CopyFrom(value)


def envelope(version: str, kind: str, content: bytes) -> bytes:
    """The four bytes, and the object with its kind around it."""
    outer = message_classes()["runtime.Unknown"]()
    outer.f1.f1, outer.f1.f2, outer.f2 = version, kind, content
    return MAGIC + bytes(outer.SerializeToString())


@pytest.mark.spec("kube-api:NEG-3")
@pytest.mark.parametrize("path", [path for path in VALID if not path.endswith(ALL_IN_JSON)])
def test_an_object_is_the_same_in_both_forms(path: str) -> None:
    """Lists, maps, what is inlined, quantities, times, bytes, and zeros that mean something."""
    resource = resource_of(path)
    message = message_of(resource) or ""
    value, _ = conform(message, {**VALID[path], "metadata": {"name": "x", "labels": {"a": ""}, "generation": 3}})

    found = decode_envelope(envelope(resource.api_version, resource.kind, written(message, value).SerializeToString()))

    assert conform(message, found)[0] == {"kind": resource.kind, "apiVersion": resource.api_version, **value}


def test_a_zero_that_was_given_stays_and_one_that_was_not_does_not_come() -> None:
    """Replicas are optional, so 0 is an answer; a port that is 0 is none."""
    spec = {"replicas": 0, "template": {"spec": {"containers": [{"name": "c", "ports": [{"hostPort": 0}]}]}}}

    found = decode_envelope(
        envelope("apps/v1", "Deployment", written("apps.v1.Deployment", {"spec": spec}).SerializeToString())
    )

    assert found["spec"]["replicas"] == 0
    assert found["spec"]["template"]["spec"]["containers"][0]["ports"] == [{}]


def test_no_bytes_make_it_fall_over() -> None:
    """Cut off, changed, or random: an object, or a sentence."""
    chance = random.Random(1)
    pod, _ = conform("core.v1.Pod", VALID["/api/v1/pods"])
    whole = envelope("v1", "Pod", written("core.v1.Pod", pod).SerializeToString())
    refused = 0
    for _ in range(500):
        spoiled = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(4)):
            spoiled[chance.randrange(len(spoiled) or 1) : chance.randrange(len(spoiled) or 1)] = chance.randbytes(2)
        try:
            conformable = decode_envelope(bytes(spoiled))
        except NotProtobuf:
            refused += 1
        else:
            assert conformable["kind"]
    assert refused > 100
