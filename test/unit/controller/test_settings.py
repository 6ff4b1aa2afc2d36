"""The operator's command line and environment."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from controller.flags import Duration, Flag, UsageError, parse_flags, usage
from controller.runtime.election.lease import Timing
from controller.settings import FLAGS, BadSettings, load


@pytest.mark.parametrize(
    "arguments",
    [
        ["--reconcile-concurrency=4"],
        ["-reconcile-concurrency=4"],
        ["--reconcile-concurrency", "4"],
        ["-reconcile-concurrency", "2", "-reconcile-concurrency", "4"],
    ],
)
def test_flags_are_written_as_go_writes_them(arguments: list[str]) -> None:
    """Charts pass some flags as two items and some with `=`; the last of two wins."""
    assert load(arguments, {}).concurrency == 4


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--nope"], "flag provided but not defined: -nope"),
        (["serve"], "unexpected argument 'serve'"),
        (["--qps=fast"], "not a number"),
        (["--reconcile-concurrency=1.5"], "not a whole number"),
        (["--enable-leader-election=maybe"], "use true or false"),
        (["--config"], "flag needs an argument: -config"),
    ],
)
def test_a_wrong_command_line_is_refused_with_a_sentence(arguments: list[str], part: str) -> None:
    """The sentence names the flag and what would be right."""
    with pytest.raises(UsageError, match=part.replace("(", r"\(")):
        load(arguments, {})


@pytest.mark.spec("deployment:1.1/2", "deployment:1.1/5", "deployment:1.1/6")
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--feature-gates=Nope=true"], "unrecognized feature gate: Nope"),
        (["--feature-gates=RayCronJob=yes"], "must be true or false"),
        (["--log-stdout-encoder=xml"], "must be json or console"),
        (["--config=/nonexistent"], "cannot read -config"),
        (["--zap-log-level=loud"], "must be debug, info"),
        (["--metrics-addr=8080x"], r"must be \[host\]:port"),
        (["--metrics-addr=:99999"], r"must be \[host\]:port"),
        (["--metrics-addr=:8082"], "are both :8082"),
        (["--metrics-addr=", "--health-probe-bind-address=:8080"], "are both :8080"),
        (["--metrics-addr=fd00::1"], r"must be \[host\]:port"),
        (["--debug-address=:6060"], "must be on loopback, such as 127.0.0.1:6060, not ':6060'"),
        (["--debug-address=10.0.0.1:6060"], "must be on loopback"),
        (["--debug-address=127.0.0.1:http"], "must be on loopback"),
        (["--reconcile-concurrency=-1"], "must be positive"),
        (["--burst=-1"], "must not be negative"),
        (["--log-file-path=/tmp/x", "--log-file-encoder=xml"], "-log-file-encoder must be json or console"),
        (["--zap-encoder=xml"], "must be one of json, console"),
        (["--zap-stacktrace-level=debug"], "must be one of info, error, panic"),
        (["--watch-namespace=a,$(POD_NAMESPACE)"], r"names '\$\(POD_NAMESPACE\)', which no namespace can be called"),
        (["--watch-namespace=a/pods"], "no namespace can be called"),
        (["--leader-election-namespace=Ray"], "-leader-election-namespace names 'Ray'"),
        (["--leader-election-namespace=a,b"], "-leader-election-namespace names 'a,b'"),
        (["--zap-time-encoding=nano"], "must be one of epoch"),
        (["--batch-scheduler=slurm"], "is none of volcano, yunikorn"),
        (["--batch-scheduler=volcano", "--enable-batch-scheduler"], "one of them, not both"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_sentence(arguments: list[str], part: str) -> None:
    """At the start, not in the middle of the night."""
    with pytest.raises(BadSettings, match=part):
        load(arguments, {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--leader-election-lease-duration=10s"],
            "-leader-election-lease-duration must be more than 12 s, not 10 s: 2 s longer than -leader-election-renew-",
        ),
        (
            ["--leader-election-renew-deadline=2s"],
            "-leader-election-renew-deadline must be more than 2.4 s, not 2 s: 1.2 times -leader-election-retry-",
        ),
        (["--leader-election-retry-period=0"], "-leader-election-retry-period must be more than 0, not 0 s"),
        (["--leader-election-lease-duration", "15500ms"], "must be whole seconds"),
    ],
)
def test_lease_times_that_could_give_two_leaders_are_refused_by_their_flags(arguments: list[str], said: str) -> None:
    """Before anything is opened: a replica with them would be a danger to the others."""
    with pytest.raises(BadSettings) as caught:
        load(arguments, {})

    assert said in str(caught.value)


@pytest.mark.spec("deployment:1.7/lease-duration-renew-deadline-retry-peri")
def test_a_slow_api_server_may_be_given_more_time_also_beside_a_config_file(tmp_path: Path) -> None:
    """The file has no field for it, so these flags count beside it."""
    file = tmp_path / "config.yaml"
    file.write_text("reconcileConcurrency: 2")
    times = ["-leader-election-lease-duration=1m", "-leader-election-renew-deadline=40s"]

    settings = load([*times, "-leader-election-retry-period", "2.5s", f"-config={file}"], {})

    assert settings.lease_timing == Timing(60, 40, 2.5)
    assert settings.notices == ()
    assert load([], {}).lease_timing == Timing(15, 10, 2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("0", 0),
        ("+2s", 2),
        ("-1s", -1),
        ("1h2m3.5s", 3723.5),
    ],
)
def test_durations_are_spelt_as_in_go(text: str, seconds: float) -> None:
    assert parse_flags((Flag("d", Duration("1s"), ""),), [f"-d={text}"])["d"] == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["15", "", "s", "1x", "1s ", "1 s", "--1s", "1.s2"])
def test_what_go_does_not_take_for_a_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration, such as 15s or 1m30s"):
        parse_flags((Flag("d", Duration("1s"), ""),), [f"-d={text}"])


def test_help_shows_a_duration_as_it_is_written() -> None:
    assert "(default 15s)" in usage("x", FLAGS)


@pytest.mark.spec("deployment:DC-1")
def test_an_empty_argument_is_nothing() -> None:
    """The reference's chart ends its list with one where no gates are set."""
    assert load(["", "--reconcile-concurrency=4", ""], {}).concurrency == 4


@pytest.mark.spec("deployment:DC-23")
@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_truth_is_spelt_as_in_go(text: str) -> None:
    assert load([f"--enable-metrics={text}", f"--feature-gates= RayCronJob = {text},"], {}).enable_metrics
    assert load([f"--feature-gates= RayCronJob = {text},"], {}).options.gates.ray_cron_job


@pytest.mark.spec("deployment:DC-9")
@pytest.mark.parametrize("text", ["", "reconcileConcurrency: 4.0", "---\nreconcileConcurrency: 4\n---\nkind: Other"])
def test_a_config_file_needs_neither_version_nor_kind_and_only_its_first_document_counts(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)

    assert load([f"--config={file}"], {}).concurrency == (4 if text else 16)


@pytest.mark.spec("deployment:DC-23")
def test_an_empty_address_is_the_usual_one_for_figures_and_none_for_probes() -> None:
    """As the reference's two libraries have it."""
    settings = load(["--metrics-addr=", "--health-probe-bind-address="], {})

    assert (settings.metrics_address, settings.health_address) == (":8080", "")
    assert load(["--metrics-addr=[fd00::1]:8080"], {}).metrics_address == "[fd00::1]:8080"


def test_both_servers_may_be_switched_off() -> None:
    settings = load(["--metrics-addr=0", "--health-probe-bind-address=0"], {})

    assert (settings.metrics_address, settings.health_address) == ("0", "0")


def test_a_boolean_flag_takes_no_separate_value() -> None:
    """As in Go: what follows is an argument of its own."""
    assert load(["--enable-leader-election=false"], {}).leader_election is False
    with pytest.raises(UsageError, match="unexpected argument"):
        load(["--enable-leader-election", "false"], {})


@pytest.mark.spec("deployment:1.4/rayclusterstatusconditions", "deployment:1.4/raycronjob")
def test_gates_have_their_defaults_and_specific_settings_win() -> None:
    """AllAlpha and AllBeta are shorthand; a named gate beats them."""
    assert load([], {}).options.gates.ray_cluster_status_conditions is True
    assert load([], {}).options.gates.ray_cron_job is False
    gates = load(["--feature-gates=AllAlpha=true,RayCronJob=false,AllBeta=false"], {}).options.gates
    assert (gates.ray_cluster_mtls, gates.ray_cron_job, gates.ray_multi_host_indexing) == (True, False, False)


def test_a_gate_without_its_feature_is_accepted_and_says_so() -> None:
    """A manifest made for the reference starts, and its reader is told."""
    assert load(["--feature-gates=RayClusterMTLS=true"], {}).notices == (
        "feature gate RayClusterMTLS is on, and its feature is not there yet",
    )


@pytest.mark.parametrize(("value", "expected"), [("7", timedelta(seconds=7)), ("0", None), ("soon", None), ("", None)])
def test_healthy_clusters_are_requeued_only_when_asked(value: str, expected: timedelta | None) -> None:
    """Everything owned is watched, so no timed requeue is needed (design §7); an explicit value is honoured."""
    assert load([], {"RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV": value}).options.requeue == expected


def test_the_config_file_counts_for_what_flags_would_say(tmp_path: Path) -> None:
    """Fields of the reference's schema; unknown ones are ignored."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "apiVersion: config.ray.io/v1alpha1\nkind: Configuration\nreconcileConcurrency: 3\nwatchNamespace: a, b\n"
        "defaultContainerEnvs: [{name: X, value: y}]\nzork: 1\n"
    )
    settings = load([f"--config={file}"], {})
    assert (settings.concurrency, settings.namespaces) == (3, ("a", "b"))
    assert settings.options.default_container_envs == ({"name": "X", "value": "y"},)


def a_config(folder: Path, text: str) -> str:
    file = folder / "config.yaml"
    file.write_text(f"apiVersion: config.ray.io/v1alpha1\nkind: Configuration\n{text}\n")
    return f"--config={file}"


def test_with_a_config_file_other_flags_do_not_count_and_that_is_said(tmp_path: Path) -> None:
    """As with the reference; gates and the kubeconfig are flags still."""
    config = a_config(tmp_path, "watchNamespace: a")
    arguments = [config, "--reconcile-concurrency=3", "--feature-gates=RayCronJob=true", "--kubeconfig=/k"]

    settings = load(arguments, {})

    assert settings.concurrency == 16
    assert settings.kubeconfig == "/k"
    assert settings.options.gates.ray_cron_job
    assert "with -config these flags do not count: -reconcile-concurrency" in settings.notices


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("reconcileConcurrency: three", "reconcileConcurrency in the -config file must be a whole number, not 'three'"),
        ("enableMetrics: 'yes'", "must be true or false"),
        ("watchNamespace: [a]", "must be a string"),
        ("qps: {}", "must be a number"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(BadSettings, match=part):
        load([a_config(tmp_path, text)], {})


@pytest.mark.spec("deployment:DC-9", "deployment:DC-23")
def test_a_field_of_the_file_that_says_nothing_leaves_the_default(tmp_path: Path) -> None:
    """Null and the empty string, as a template writes them that has no value: the probes stay on."""
    empty = "metricsAddr: ''\nprobeAddr: ''\nwatchNamespace:\nlogFile: null\nenableLeaderElection:\nqps:\n"
    lists = "reconcileConcurrency:\nlogStdoutEncoder: ''\nheadSidecarContainers:\ndefaultPodLabels:\n"

    settings = load([a_config(tmp_path, empty + lists + "deleteRayJobAfterJobFinishes:\n")], {})

    assert settings == load([], {})
    assert settings.health_address == ":8082"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("deleteRayJobAfterJobFinishes: 'false'", "must be true or false, not 'false'"),
        ("headSidecarContainers: {name: a}", "headSidecarContainers in the -config file must be a list of objects"),
        ("workerSidecarContainers: [fluentbit]", "workerSidecarContainers in the -config file must be a list of"),
        ("defaultContainerEnvs: HTTP_PROXY", "defaultContainerEnvs in the -config file must be a list of objects"),
        ("defaultPodLabels: [a]", "defaultPodLabels in the -config file must be strings by strings"),
        ("defaultPodAnnotations: {sidecar: true}", "defaultPodAnnotations in the -config file must be strings by"),
    ],
)
def test_what_goes_into_pods_is_checked_before_the_first_pod(tmp_path: Path, text: str, part: str) -> None:
    """It would be refused with every pod; and a RayJob must not be deleted for the sake of two quotation marks."""
    with pytest.raises(BadSettings, match=part):
        load([a_config(tmp_path, text)], {})


@pytest.mark.spec("deployment:DC-8")
def test_an_encoder_that_is_given_as_a_flag_wins_over_the_file_s(tmp_path: Path) -> None:
    """The reference looks at the flag alone, so who gives one means it."""
    config = a_config(tmp_path, "logStdoutEncoder: json\nlogFile: /tmp/x\nlogFileEncoder: console")

    settings = load([config, "--log-stdout-encoder=console"], {})

    assert (settings.log_encoder, settings.log_file_encoder) == ("console", "console")


@pytest.mark.spec("deployment:DC-8")
def test_the_encoder_of_a_log_file_is_of_no_interest_without_one() -> None:
    """Nor is an empty one of either: both mean json."""
    settings = load(["--log-file-encoder=xml", "--log-stdout-encoder="], {})

    assert (settings.log_encoder, settings.log_file_encoder) == ("json", "json")


@pytest.mark.parametrize("text", ["debug", "DEBUG", "Debug", "5"])
def test_a_level_may_be_written_in_any_case(text: str) -> None:
    assert load([f"--zap-log-level={text}", "--zap-stacktrace-level=Error"], {}).log_level == logging.DEBUG


def test_more_seconds_than_there_are_count_as_no_number() -> None:
    assert load([], {"RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS": "9" * 30}).options.status_check_timeout == timedelta(
        seconds=300
    )


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\n")

    with pytest.raises(BadSettings, match=r"is not a Configuration of config\.ray\.io/v1alpha1"):
        load([f"--config={file}"], {})


def test_namespaces_are_cleaned_of_blanks_and_repetitions() -> None:
    """A trailing comma must not mean all namespaces."""
    assert load(["--watch-namespace=a, b,a,"], {}).namespaces == ("a", "b")


def test_how_many_missed_ticks_of_a_raycronjob_are_made_up_for_is_a_flag_and_a_field_of_the_file(
    tmp_path: Path,
) -> None:
    """All of them unless somebody says so, as in the reference."""
    config = tmp_path / "config.yaml"
    config.write_text("cronBackfillLimit: 3\n")

    assert load([], {}).options.cron_backfill_limit == 0
    assert load(["--cron-backfill-limit=1"], {}).options.cron_backfill_limit == 1
    assert load([f"--config={config}"], {}).options.cron_backfill_limit == 3
    with pytest.raises(BadSettings, match="must not be negative; 0 is no limit"):
        load(["--cron-backfill-limit=-1"], {})


def test_schedules_without_a_zone_are_in_that_of_the_process() -> None:
    assert str(load([], {"TZ": "Asia/Tokyo"}).options.time_zone) == "Asia/Tokyo"
