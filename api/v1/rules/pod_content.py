"""XC14: what the API server would refuse of a pod, found before the operator tries to make it (spec admission §4.8).

A bounded check of what users get wrong, not a second API server: whatever is not looked at here passes. Names that the
operator adds to pods are NM15's, requests and limits against each other GPU30's, the submitter's `Always` JC10's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from api.v1.rules.making import Job, job_rule, joined, placed_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.names import dns1123_problem, label_key_problem, label_value_problem
from api.v1.rules.places import PlacedCluster
from api.v1.rules.reading import Found, amount
from api.v1.rules.typed import child, entries, mapping, number, text, texts, whole

__all__ = ["RULES", "pod_problems"]

Json = Mapping[str, Any]

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
OPERATORS_VOLUMES: Final = frozenset({"ray-logs", "shared-mem", "gcs-storage", "ray-tls", "ray-token"})
HIGHEST_PORT: Final = 65535
OWN_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")  # all others have a domain
HUGE_PAGES: Final = "hugepages-"
SYS_ADMIN: Final = frozenset({"SYS_ADMIN", "CAP_SYS_ADMIN"})
TOLERATION_OPERATORS: Final = ("Equal", "Exists", "Lt", "Gt")
EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ENV_NAME: Final = re.compile(r"[ -<>-~]+", re.ASCII)  # printable, but no "="
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_PLAIN_ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)  # what all servers take


def pod_problems(template: Json) -> Iterator[Found]:
    """What is wrong with a pod template; paths are those inside it."""
    yield from _metadata(child(template, "metadata"))
    pod = child(template, "spec")
    yield from _pod_fields(pod)
    volumes = OPERATORS_VOLUMES | {text(volume, "name") for _, volume in entries(pod, "volumes")}
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in entries(pod, field):
            path = f"spec.{field}[{index}]"
            yield from _container_name(container, path, names)
            yield from _container(container, path, volumes)


def _metadata(metadata: Json) -> Iterator[Found]:
    for key, value in mapping(metadata, "labels").items():
        if problem := label_key_problem(key):
            yield Found(f"metadata.labels[{key}]", f"label key {key} is wrong: {problem}", key)
        elif problem := label_value_problem(value):
            yield Found(f"metadata.labels[{key}]", f"label value {value} is wrong: {problem}", value)


def _pod_fields(pod: Json) -> Iterator[Found]:
    policy = text(pod, "restartPolicy")
    if policy and policy not in RESTART_POLICIES:
        message = f"restartPolicy should be one of {', '.join(RESTART_POLICIES)}"
        yield Found("spec.restartPolicy", message, policy, _meant(policy, RESTART_POLICIES))
    seen: set[str] = set()
    for index, volume in entries(pod, "volumes"):
        name = text(volume, "name")
        if name in seen:
            yield Found(f"spec.volumes[{index}].name", f"two volumes are called {name}", name)
        elif problem := dns1123_problem(name):
            yield Found(f"spec.volumes[{index}].name", f"volume name {name!r} is no DNS label: {problem}", name)
        seen.add(name)
    for key, value in mapping(pod, "nodeSelector").items():
        if problem := label_value_problem(value):
            yield Found(f"spec.nodeSelector[{key}]", f"{value} cannot be a label's value: {problem}", value)
    for index, toleration in entries(pod, "tolerations"):
        yield from _toleration(toleration, f"spec.tolerations[{index}]")


def _toleration(toleration: Json, path: str) -> Iterator[Found]:
    operator, effect = text(toleration, "operator"), text(toleration, "effect")
    if operator and operator not in TOLERATION_OPERATORS:
        hint = _meant(operator, TOLERATION_OPERATORS)
        yield Found(f"{path}.operator", "a toleration's operator is Equal or Exists", operator, hint)
    elif operator == "Exists" and text(toleration, "value"):
        hint = "leave the value out, or write operator: Equal"
        yield Found(f"{path}.value", "a toleration with operator Exists has no value", toleration["value"], hint)
    elif operator != "Exists" and not text(toleration, "key"):
        hint = "name the key of the taint, or write operator: Exists to tolerate all"
        yield Found(f"{path}.operator", "a toleration without a key needs operator Exists", operator, hint)
    if effect and effect not in EFFECTS:
        yield Found(f"{path}.effect", f"effect should be one of {', '.join(EFFECTS)}", effect, _meant(effect, EFFECTS))


def _meant(written: str, known: Sequence[str]) -> str:
    """A word that differs in its case alone is often meant; "" where there is none."""
    return next((f"write {one}" for one in known if one.lower() == written.lower()), "")


def _container_name(container: Json, path: str, names: set[str]) -> Iterator[Found]:
    name = text(container, "name")
    if name in names:
        yield Found(f"{path}.name", f"two containers are called {name}", name, "rename one of them")
    elif problem := dns1123_problem(name):
        yield Found(f"{path}.name", f"container name {name!r} is no DNS label: {problem}", name)
    names.add(name)


def _container(container: Json, path: str, volumes: frozenset[str]) -> Iterator[Found]:
    if not text(container, "image"):
        hint = "name one, as in rayproject/ray:2.52.0"
        yield Found(f"{path}.image", "the container has no image", container.get("image"), hint)
    policy = text(container, "imagePullPolicy")
    if policy and policy not in PULL_POLICIES:
        message = f"imagePullPolicy should be one of {', '.join(PULL_POLICIES)}"
        yield Found(f"{path}.imagePullPolicy", message, policy, _meant(policy, PULL_POLICIES))
    for index, port in entries(container, "ports"):
        yield from _port(port, f"{path}.ports[{index}]")
    yield from _mounts(container, path, volumes)
    yield from _environment(container, path)
    yield from _quantities(container, path)
    yield from _security(child(container, "securityContext"), f"{path}.securityContext")


def _port(port: Json, path: str) -> Iterator[Found]:
    """Of the length of names, and of two that are one, NM12 speaks."""
    name, value = text(port, "name"), whole(port, "containerPort")
    if value is not None and not 0 < value <= HIGHEST_PORT:
        yield Found(f"{path}.containerPort", f"{value} is no port: 1 to {HIGHEST_PORT}", value)
    if name and not _PORT_NAME.fullmatch(name):
        hint = f"write {plain}" if _PORT_NAME.fullmatch(plain := name.lower().replace("_", "-")) else ""
        message = f"the port name {name} has more than small letters, digits and single '-' inside, or no letter"
        yield Found(f"{path}.name", message, name, hint)


def _mounts(container: Json, path: str, volumes: frozenset[str]) -> Iterator[Found]:
    seen: set[str] = set()
    for index, mount in entries(container, "volumeMounts"):
        name, where = text(mount, "name"), text(mount, "mountPath")
        if name not in volumes:
            hint = "add it to spec.volumes of the template"
            yield Found(f"{path}.volumeMounts[{index}].name", f"there is no volume called {name}", name, hint)
        if not where:
            yield Found(f"{path}.volumeMounts[{index}].mountPath", f"mount {name} has no mountPath", where)
        elif where in seen:
            yield Found(f"{path}.volumeMounts[{index}].mountPath", f"two volumes are mounted at {where}", where)
        seen.add(where)


def _environment(container: Json, path: str) -> Iterator[Found]:
    for index, variable in entries(container, "env"):  # the longest list of a pod: the usual variable is passed quickly
        name = text(variable, "name")
        if not _PLAIN_ENV_NAME.fullmatch(name):
            yield _odd_name(name, f"{path}.env[{index}].name")
        if "valueFrom" in variable and text(variable, "value") and child(variable, "valueFrom"):
            message = f"variable {name} has both value and valueFrom"
            yield Found(f"{path}.env[{index}].valueFrom", message, name, "keep one of them")


def _odd_name(name: str, path: str) -> Found:
    if not _ENV_NAME.fullmatch(name):
        return Found(path, f"{name!r} is no name of a variable", name)
    message = f"{name!r} is no name of a variable before Kubernetes 1.34"
    return Found(path, message, name, severity=Severity.WARN)


def _quantities(container: Json, path: str) -> Iterator[Found]:
    for which in ("limits", "requests"):
        for name, written in child(container, "resources", which).items():
            if not _is_resource(name):
                hint = "a GPU is nvidia.com/gpu, or amd.com/gpu" if "gpu" in str(name).lower() else ""
                message = f"{name} is no resource of a container: a device has a domain before its name"
                yield Found(f"{path}.resources.{which}[{name}]", message, name, hint)
            value = amount(written)
            if written is not None and (value is None or value.numerator < 0):
                what = "is no quantity" if value is None else "is negative"
                yield Found(f"{path}.resources.{which}[{name}]", f"{written!r} {what}", written, 'as in "500m" or 2Gi')


def _is_resource(name: Any) -> bool:
    return isinstance(name, str) and (name in OWN_RESOURCES or "/" in name or name.startswith(HUGE_PAGES))


def _security(security: Json, path: str) -> Iterator[Found]:
    if not security:
        return
    if security.get("allowPrivilegeEscalation") is False:
        added = SYS_ADMIN & set(texts(child(security, "capabilities"), "add"))
        why = "privileged" if security.get("privileged") is True else next(iter(added), "")
        if why:
            message = f"allowPrivilegeEscalation cannot be false together with {why}"
            yield Found(f"{path}.allowPrivilegeEscalation", message, False)
    user = number(security, "runAsUser")
    if user == 0 and security.get("runAsNonRoot") is True:
        yield Found(f"{path}.runAsUser", "runAsNonRoot does not let user 0 run", 0, "give another runAsUser")


@placed_rule("XC14")
def _of_groups(_new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    for group in placed.cluster.all_groups:
        for found in pod_problems(child(group.spec, "template")):
            yield found._replace(path=f"{group.path}.template.{found.path}", item=group.index)


@job_rule("XC14")
def _of_submitter(job: Job, _: Context) -> Iterator[Found]:
    for found in pod_problems(child(job.spec, "submitterPodTemplate")):
        yield found._replace(path=f"submitterPodTemplate.{found.path}")


RULES: Final[tuple[Rule, ...]] = (joined(_of_groups, _of_submitter),)
