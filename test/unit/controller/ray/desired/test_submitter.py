"""The submitter of K8sJobMode: its one bash line, and the Job that runs it (spec rayjob §8.2, §8.8)."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired.jobs import submitter_job
from controller.ray.desired.submit_script import go_json, go_quote, submit_script
from controller.ray.options import Options
from localcluster.testing.rayjob_history import rayjob

HEAD: Json = {
    "headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray-head", "image": "rayproject/ray:2.52.0"}]}}}
}


def script(**given: Any) -> str:
    """A script with little in it."""
    return submit_script(**{"address": "A:8265", "job_id": "J", "entrypoint": "python x.py"} | given)


def test_the_script_waits_guards_submits_and_follows() -> None:
    """The worked example of the spec, after the wait."""
    text = script(metadata={"k": "v"}, entrypoint_num_cpus=1)

    assert text.startswith("until python -c ")
    assert "http://A:8265/api/gcs_healthz" in text
    assert text.endswith(
        "if ! ray job status --address http://A:8265 J >/dev/null 2>&1 ; then "
        'ray job submit --address http://A:8265 --no-wait --metadata-json "{\\"k\\":\\"v\\"}" --submission-id J '
        "--entrypoint-num-cpus 1.000000 -- python x.py ; fi ; ray job logs --address http://A:8265 --follow J"
    )


def test_every_option_has_its_place() -> None:
    """The order of the parts is fixed."""
    text = script(
        runtime_env_yaml="pip: [a]", entrypoint_num_gpus=0.5, entrypoint_resources='{"x": 1}', address="http://A:8265"
    )
    assert (
        '--no-wait --runtime-env-json "{\\"pip\\":[\\"a\\"]}" --submission-id J --entrypoint-num-gpus 0.500000 '
        '--entrypoint-resources "{\\"x\\": 1}" -- python x.py ;'
    ) in text


def test_bash_accepts_the_script(tmp_path: Path) -> None:
    """Parsed by bash itself, with the awkward entrypoints that users write."""
    for entrypoint in ("python x.py\n", "python -c \"print('a b')\"", "a && b; echo $HOME > /dev/null", ""):
        subprocess.run(["bash", "-n", "-c", script(entrypoint=entrypoint, metadata={"k": "it's"})], check=True)


@pytest.mark.spec("rayjob:E26")
def test_quotes_survive_a_trailing_newline_does_no_harm_and_the_shell_expands(tmp_path: Path) -> None:
    """Run for real, with stand-ins for ray and python: what `ray job submit` is given word by word."""
    log = tmp_path / "log"
    (tmp_path / "python").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "ray").write_text(
        f'#!/bin/bash\n[ "$2" = status ] && exit 1\nfor w in "$@"; do echo "[$w]" >>{shlex.quote(str(log))}; done\n'
    )
    for name in ("python", "ray"):
        (tmp_path / name).chmod(0o755)
    text = script(entrypoint='python x.py --say "it\'s $WHO"\n', metadata={"a": 'q"uo\\te', "w": "$WHO"})

    subprocess.run(["/bin/bash", "-ce", "--", text], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "WHO": "me"})

    words = log.read_text().splitlines()
    assert words[: words.index("[--follow]")].count("[submit]") == 1
    assert "[it's me]" in words
    assert '[{"a":"q\\"uo\\\\te","w":"me"}]' in words


def test_a_second_start_of_the_submitter_only_follows_the_log(tmp_path: Path) -> None:
    """`ray job status` knows the job: nothing is submitted."""
    log = tmp_path / "log"
    (tmp_path / "python").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "ray").write_text(f'#!/bin/bash\necho "$2" >>{shlex.quote(str(log))}\n')
    for name in ("python", "ray"):
        (tmp_path / name).chmod(0o755)

    subprocess.run(["/bin/bash", "-ce", "--", script()], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    assert log.read_text().split() == ["status", "logs"]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("tab\tnl\n", '"tab\\tnl\\n"'),
        ("\x01\x7f", '"\\x01\\x7f"'),
        ("é語", '"é語"'),
        ("\u200b", '"\\u200b"'),
        ("$x `y`", '"$x `y`"'),
    ],
)
def test_text_is_quoted_as_a_go_literal(text: str, quoted: str) -> None:
    """Dollar and backtick are not escaped: bash expands them, as it does for the reference."""
    assert go_quote(text) == quoted


def test_json_is_compact_sorted_and_html_safe() -> None:
    """As Go's encoder writes it."""
    assert go_json({"b": "<&>", "a": [1, True, None]}) == '{"a":[1,true,null],"b":"\\u003c\\u0026\\u003e"}'


def job(cluster: Json = HEAD, **spec: Any) -> Json:
    """The submitter of a RayJob."""
    return submitter_job(
        rayjob(submissionMode="K8sJobMode", **spec),
        cluster,
        script="S",
        dashboard="A:8265",
        job_id="J",
        cluster_name="c",
        options=Options(),
    )


@pytest.mark.spec("rayjob:E48")
def test_the_default_submitter_uses_the_heads_image_and_little_else() -> None:
    """Of the actual cluster, so it fits a selected one, too."""
    made = job()
    (container,) = made["spec"]["template"]["spec"]["containers"]

    assert made["metadata"]["name"] == "train"
    assert made["spec"]["backoffLimit"] == 2
    assert made["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert (container["name"], container["image"]) == ("ray-job-submitter", "rayproject/ray:2.52.0")
    assert (container["command"], container["args"]) == (["/bin/bash", "-ce", "--"], ["S"])
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "200Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "PYTHONUNBUFFERED": "1",
        "RAY_DASHBOARD_ADDRESS": "A:8265",
        "RAY_JOB_SUBMISSION_ID": "J",
    }
    labels = {
        "ray.io/originated-from-cr-name": "train",
        "ray.io/originated-from-crd": "RayJob",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"] == labels


def test_a_users_template_keeps_its_command_and_loses_stray_args() -> None:
    """Only container 0 is touched; args without a command make no sense beside the script."""
    own = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "command": ["mine"]}]}}
    (container,) = job(submitterPodTemplate=own)["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["mine"]
    assert "args" not in container

    stray = {"spec": {"containers": [{"name": "c", "args": ["x"]}, {"name": "d"}]}}
    first, second = job(submitterPodTemplate=stray)["spec"]["template"]["spec"]["containers"]
    assert first["args"] == ["S"]
    assert second == {"name": "d"}
    assert stray["spec"]["containers"][0] == {"name": "c", "args": ["x"]}


@pytest.mark.parametrize("limit", [0, 7])
def test_submitter_config_sets_the_jobs_backoff(limit: int) -> None:
    """Zero is a limit, too."""
    assert job(submitterConfig={"backoffLimit": limit})["spec"]["backoffLimit"] == limit


@pytest.mark.spec("rayjob:E43")
def test_with_token_auth_the_submitter_gets_the_token() -> None:
    """From the named Secret or the cluster's; what the user set stays."""
    (container,) = job({**HEAD, "authOptions": {"mode": "token"}})["spec"]["template"]["spec"]["containers"]
    assert container["env"][-2:] == [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "c", "key": "auth_token"}}},
    ]

    mine = {"spec": {"containers": [{"name": "c", "env": [{"name": "RAY_AUTH_TOKEN", "value": "t"}]}]}}
    cluster = {**HEAD, "authOptions": {"mode": "token", "secretName": "s"}}
    (kept,) = job(cluster, submitterPodTemplate=mine)["spec"]["template"]["spec"]["containers"]
    assert [one for one in kept["env"] if one["name"] == "RAY_AUTH_TOKEN"] == [{"name": "RAY_AUTH_TOKEN", "value": "t"}]


def test_with_kubernetes_tokens_the_pods_own_token_is_projected() -> None:
    """Reachable through clusterSelector only."""
    cluster = {**HEAD, "authOptions": {"mode": "token", "enableK8sTokenAuth": True}}
    pod = job(cluster)["spec"]["template"]["spec"]

    assert pod["volumes"] == [
        {"name": "ray-token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    ]
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/run/secrets/ray.io/serviceaccount"
