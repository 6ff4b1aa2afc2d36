"""Every flag, field of the config file and variable of the reference: its name, what it is without one, what it sets.

What a setting then does is told by the tests of who asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from controller.settings import Settings, load


class Row(NamedTuple):
    """A flag, the field of the file for it, where it leads, its default, and another value with what follows."""

    flag: str
    field: str
    seen: Callable[[Settings], Any]
    default: Any
    text: str
    value: Any


def is_debug(settings: Settings) -> bool:
    return settings.log_level == logging.DEBUG


ROWS = (
    Row("metrics-addr", "metricsAddr", attrgetter("metrics_address"), ":8080", "127.0.0.1:9", "127.0.0.1:9"),
    Row("health-probe-bind-address", "probeAddr", attrgetter("health_address"), ":8082", ":9", ":9"),
    Row("enable-leader-election", "enableLeaderElection", attrgetter("leader_election"), True, "false", False),
    Row("leader-election-namespace", "leaderElectionNamespace", attrgetter("leader_election_namespace"), "", "a", "a"),
    Row("reconcile-concurrency", "reconcileConcurrency", attrgetter("concurrency"), 16, "3", 3),
    Row("watch-namespace", "watchNamespace", attrgetter("namespaces"), (), "a,b", ("a", "b")),
    Row("log-file-path", "logFile", attrgetter("log_file"), "", "/logs/operator", "/logs/operator"),
    Row("log-file-encoder", "logFileEncoder", attrgetter("log_file_encoder"), "json", "console", "console"),
    Row("log-stdout-encoder", "logStdoutEncoder", attrgetter("log_encoder"), "json", "console", "console"),
    Row("enable-metrics", "enableMetrics", attrgetter("enable_metrics"), False, "true", True),
    Row("kubeconfig", "", attrgetter("kubeconfig"), "", "/etc/kubeconfig", "/etc/kubeconfig"),
    Row("feature-gates", "", attrgetter("options.gates.ray_cron_job"), False, "RayCronJob=true", True),
    Row("zap-log-level", "", attrgetter("log_level"), logging.INFO, "error", logging.ERROR),
    Row("zap-devel", "", is_debug, False, "true", True),
)
OF_BOTH_ENCODERS = "logfileencoder-logstdoutencoder"


def ids(field: str) -> str:
    return OF_BOTH_ENCODERS if field.endswith("Encoder") else field.lower()


def by_flag() -> Iterable[Any]:
    return [pytest.param(row, id=row.flag, marks=pytest.mark.spec(f"deployment:1.2/{row.flag}")) for row in ROWS]


def by_field() -> Iterable[Any]:
    rows = [row for row in ROWS if row.field]
    return [pytest.param(row, id=row.field, marks=pytest.mark.spec(f"deployment:1.3/{ids(row.field)}")) for row in rows]


@pytest.mark.parametrize("row", by_flag())
def test_a_flag_has_its_default_and_sets_what_it_says(row: Row) -> None:
    assert row.seen(load([], {})) == row.default
    assert row.seen(load([f"--{row.flag}={row.text}"], {})) == row.value


@pytest.mark.parametrize("row", by_field())
def test_a_field_of_the_file_sets_what_its_flag_sets(tmp_path: Path, row: Row) -> None:
    """And the flag no more, but for the encoders, which the reference looks for among the flags alone."""
    file = tmp_path / "config.yaml"
    kind = type(row.default)
    file.write_text(yaml.safe_dump({row.field: row.text if kind in (str, tuple) else yaml.safe_load(row.text)}))

    assert row.seen(load([f"--config={file}"], {})) == row.value
    file.write_text("kind: Configuration")
    of_the_flag = row.value if row.flag.endswith("encoder") else row.default
    assert row.seen(load([f"--config={file}", f"--{row.flag}={row.text}"], {})) == of_the_flag


@pytest.mark.parametrize(
    ("field", "seen", "value"),
    [
        pytest.param(field, seen, value, id=field, marks=pytest.mark.spec(f"deployment:1.3/{item}"))
        for field, item, seen, value in (
            ("headSidecarContainers", "headsidecarcontainers", attrgetter("head_sidecars"), [{"name": "a"}]),
            ("workerSidecarContainers", "workersidecarcontainers", attrgetter("worker_sidecars"), [{"name": "a"}]),
            ("defaultContainerEnvs", "defaultcontainerenvs", attrgetter("default_container_envs"), [{"name": "A"}]),
            (
                *("defaultPodAnnotations", "defaultpodannotations-defaultpodlabels"),
                *(attrgetter("default_pod_annotations"), {"a": "b"}),
            ),
            (
                *("defaultPodLabels", "defaultpodannotations-defaultpodlabels"),
                *(attrgetter("default_pod_labels"), {"a": "b"}),
            ),
            (
                *("deleteRayJobAfterJobFinishes", "deleterayjobafterjobfinishes"),
                *(attrgetter("delete_rayjob_after_finish"), True),
            ),
        )
    ],
)
def test_a_field_without_a_flag_reaches_builders_and_rules(
    tmp_path: Path, field: str, seen: Callable[[Any], Any], value: Any
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({field: value}))

    found = seen(load([f"--config={file}"], {}).options)

    assert (list(found) if isinstance(value, list) else found) == value
    assert not seen(load([], {}).options)


ON_UNLESS_FALSE = {
    "ENABLE_INIT_CONTAINER_INJECTION": "inject_init_container",
    "ENABLE_PROBES_INJECTION": "inject_probes",
    "ENABLE_GCS_FT_REDIS_CLEANUP": "redis_cleanup",
    "ENABLE_ZERO_DOWNTIME": "zero_downtime",
}
OFF_UNLESS_TRUE = {
    "ENABLE_RANDOM_POD_DELETE": "random_pod_delete",
    "ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE": "head_cluster_ip_service",
    "DELETE_RAYJOB_CR_AFTER_JOB_FINISHES": "delete_rayjob_after_finish",
    "ENABLE_LOGIN_SHELL": "login_shell",
    "ENABLE_DETERMINISTIC_HEAD_POD_NAME": "deterministic_head_name",
}


def variables(table: dict[str, str]) -> Iterable[Any]:
    return [
        pytest.param(name, option, id=name, marks=pytest.mark.spec(f"deployment:1.5/{name.lower().replace('_', '-')}"))
        for name, option in table.items()
    ]


@pytest.mark.parametrize(("name", "option"), variables(ON_UNLESS_FALSE))
def test_what_is_on_is_off_only_by_the_word_false_in_any_case(name: str, option: str) -> None:
    seen = {text: getattr(load([], {name: text}).options, option) for text in ("", "0", "no", "true", "false", "FALSE")}

    assert seen == {"": True, "0": True, "no": True, "true": True, "false": False, "FALSE": False}
    assert getattr(load([], {}).options, option) is True


@pytest.mark.parametrize(("name", "option"), variables(OFF_UNLESS_TRUE))
def test_what_is_off_is_on_only_by_the_word_true_in_any_case(name: str, option: str) -> None:
    seen = {text: getattr(load([], {name: text}).options, option) for text in ("", "1", "yes", "false", "true", "TRUE")}

    assert seen == {"": False, "1": False, "yes": False, "false": False, "true": True, "TRUE": True}
    assert getattr(load([], {}).options, option) is False


@pytest.mark.spec("deployment:1.5/cluster-domain")
@pytest.mark.parametrize(("given", "domain"), [({}, "cluster.local"), ({"CLUSTER_DOMAIN": ""}, "cluster.local")])
def test_an_empty_domain_is_the_usual_one(given: dict[str, str], domain: str) -> None:
    assert load([], given).options.cluster_domain == domain
    assert load([], {"CLUSTER_DOMAIN": "k8s.example.com"}).options.cluster_domain == "k8s.example.com"


FIVE_MINUTES = timedelta(seconds=300)


@pytest.mark.spec("deployment:1.5/rayjob-deployment-status-transition-grac")
@pytest.mark.parametrize(
    ("text", "wait"), [("7", timedelta(seconds=7)), ("0", timedelta(0)), ("-1", timedelta(0)), ("soon", FIVE_MINUTES)]
)
def test_the_wait_for_a_submitter_may_be_none(text: str, wait: timedelta) -> None:
    name = "RAYJOB_DEPLOYMENT_STATUS_TRANSITION_GRACE_PERIOD_SECONDS"
    assert load([], {name: text}).options.transition_grace == wait
    assert load([], {}).options.transition_grace == FIVE_MINUTES


@pytest.mark.spec("deployment:1.5/rayjob-status-check-timeout-seconds")
@pytest.mark.parametrize(
    ("text", "limit"), [("7", timedelta(seconds=7)), ("0", FIVE_MINUTES), ("-1", FIVE_MINUTES), ("soon", FIVE_MINUTES)]
)
def test_polls_may_not_fail_at_once(text: str, limit: timedelta) -> None:
    assert load([], {"RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS": text}).options.status_check_timeout == limit
    assert load([], {}).options.status_check_timeout == FIVE_MINUTES


@pytest.mark.spec("deployment:1.5/kubeconfig-home")
def test_a_kubeconfig_of_the_environment_counts_where_no_flag_names_one() -> None:
    assert load([], {"KUBECONFIG": "/a:/b"}).kubeconfig == "/a:/b"
    assert load(["--kubeconfig=/c"], {"KUBECONFIG": "/a:/b"}).kubeconfig == "/c"


@pytest.mark.spec("deployment:1.2/forced-cluster-upgrade", "deployment:1.1/4")
def test_a_flag_that_is_deprecated_is_taken_and_told() -> None:
    settings = load(["--forced-cluster-upgrade"], {})

    assert settings.notices == ("-forced-cluster-upgrade is deprecated and has no effect",)
