"""The operator's command line and environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from controller.flags import UsageError
from controller.settings import load


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
        (["--feature-gates=Nope=true"], "unrecognized feature gate: Nope"),
        (["--feature-gates=RayCronJob=yes"], "must be true or false"),
        (["--log-stdout-encoder=xml"], "must be json or console"),
        (["--config=/nonexistent"], "cannot read -config"),
        (["--zap-log-level=loud"], "must be debug, info"),
    ],
)
def test_a_wrong_command_line_is_refused_with_a_sentence(arguments: list[str], part: str) -> None:
    """The sentence names the flag and what would be right."""
    with pytest.raises(UsageError, match=part.replace("(", r"\(")):
        load(arguments, {})


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
