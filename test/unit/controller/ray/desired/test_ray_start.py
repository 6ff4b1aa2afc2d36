"""The command that starts Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired import ray_start
from controller.ray.desired.facts import Facts

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]


def limited(template: Maker, container: Maker, **limits: str) -> Json:
    return template(container(resources={"limits": {name.replace("__", "/"): text for name, text in limits.items()}}))


def worker_params(facts: FactsOf, **group: Any) -> dict[str, str]:
    found = facts(groups=[group])
    return ray_start.parameters(found, found.workers[0])


def head_params(facts: FactsOf, head: Json | None = None, **spec: Any) -> dict[str, str]:
    found = facts(head=head or {}, **spec)
    return ray_start.parameters(found, found.head)


@pytest.mark.parametrize(
    ("params", "head", "line"),
    [
        ({"num-gpus": "1"}, False, "ray start  --num-gpus=1 "),
        ({"resources": "'{\"TPU\":8}'"}, False, "ray start  --resources='{\"TPU\":8}' "),
        ({"include-log-monitor": "false"}, True, "ray start --head  --include-log-monitor=false "),
        ({"log-color": "True"}, True, "ray start --head  --log-color=True "),
        ({"include-dashboard": "true"}, True, "ray start --head  --include-dashboard=true "),
        ({"block": "TRUE"}, True, "ray start --head  --block "),
        ({"block": "False"}, True, "ray start --head "),
        ({"b": "1", "a": "2"}, False, "ray start  --a=2  --b=1 "),
    ],
)
def test_flags_are_sorted_and_rendered_as_the_reference_renders_them(
    params: Mapping[str, str], head: bool, line: str
) -> None:
    assert ray_start.render(params, head=head) == line


def test_a_full_head_starts_with_the_reference_s_line(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    params = head_params(facts, {"template": limited(a_template, a_container, cpu="1", memory="1Gi")})

    assert ray_start.render(params, head=True) == (
        "ray start --head  --block  --dashboard-agent-listen-port=52365  --dashboard-host=0.0.0.0  "
        "--memory=1073741824  --metrics-export-port=8080  --num-cpus=1 "
    )


def test_a_worker_is_told_where_the_head_is(facts: FactsOf) -> None:
    assert worker_params(facts) == {
        "address": "r-head-svc.ns.svc.cluster.local:6379",
        "block": "true",
        "dashboard-agent-listen-port": "52365",
        "metrics-export-port": "8080",
    }


def test_what_the_user_says_stays(facts: FactsOf) -> None:
    said = {"address": "elsewhere:1", "metrics-export-port": "9", "dashboard-agent-listen-port": "8", "foo": "bar"}

    assert said.items() <= worker_params(facts, rayStartParams=said).items()


def test_the_head_s_dashboard_listens_on_all_addresses_unless_told_otherwise(facts: FactsOf) -> None:
    assert head_params(facts)["dashboard-host"] == "0.0.0.0"
    assert head_params(facts, {"rayStartParams": {"dashboard-host": "::"}})["dashboard-host"] == "::"


@pytest.mark.spec("raycluster:E50")
@pytest.mark.parametrize("said", ["false", "False", "true", ""])
def test_a_node_always_blocks(facts: FactsOf, said: str) -> None:
    """The container would end at once otherwise."""
    assert " --block " in ray_start.render(head_params(facts, {"rayStartParams": {"block": said}}), head=True)


@pytest.mark.spec("raycluster:E50")
def test_false_vanishes_but_for_flags_that_take_a_value() -> None:
    line = ray_start.render({"no-redirect-output": "False", "include-log-monitor": "false"}, head=False)

    assert line == "ray start  --include-log-monitor=false "


@pytest.mark.parametrize("name", ["port", "include-dashboard"])
def test_what_ray_refuses_on_a_worker_is_left_out_there(facts: FactsOf, name: str) -> None:
    """Such a worker would exit at once, for ever (spec ray-side §12.1)."""
    assert name not in worker_params(facts, rayStartParams={name: "1"})
    assert head_params(facts, {"rayStartParams": {name: "1"}})[name] == "1"


@pytest.mark.spec("raycluster:E58")
def test_a_head_on_another_port_is_found_there(facts: FactsOf) -> None:
    found = facts(head={"rayStartParams": {"port": "6380"}})

    assert ray_start.parameters(found, found.workers[0])["address"] == "r-head-svc.ns.svc.cluster.local:6380"


def test_only_a_head_with_an_autoscaler_beside_it_runs_no_monitor_of_its_own(facts: FactsOf) -> None:
    assert head_params(facts, enableInTreeAutoscaling=True)["no-monitor"] == "true"
    assert "no-monitor" not in head_params(facts)


def test_node_labels_are_passed_on_sorted(facts: FactsOf) -> None:
    assert worker_params(facts, labels={"b": "2", "a": "1"})["labels"] == "a=1,b=2"


GENERATED = "ray start  --block "
BEFORE = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}; "


def command(container: Json, *, overwrite: bool = False, login: bool = False) -> Json:
    return ray_start.command_of(container, GENERATED, overwrite=overwrite, login=login)


def test_without_a_user_s_command_ray_starts_at_once() -> None:
    assert command({}) == {"command": ["/bin/bash", "-c", "--"], "args": [BEFORE + GENERATED]}


def test_a_login_shell_is_used_where_asked_for() -> None:
    assert command({}, login=True)["command"] == ["/bin/bash", "-cl", "--"]


@pytest.mark.spec("raycluster:E49")
def test_a_user_s_command_runs_first_and_must_succeed() -> None:
    found = command({"command": ["pip", "install"], "args": ["x"]})

    assert found["args"] == [f" pip  install  x  && {BEFORE}{GENERATED}"]


@pytest.mark.spec("raycluster:E49")
@pytest.mark.parametrize("user", [{"args": ["ray start --head"]}, {"command": ["echo", "# ray start later"]}])
def test_who_starts_ray_themselves_keeps_their_command(user: Json) -> None:
    assert command(user) == {}


def test_who_asks_to_overwrite_keeps_their_command() -> None:
    assert command({"command": ["sleep", "1"]}, overwrite=True) == {}
