"""What the operator answers to what it cannot use: a sentence on standard error, and an exit code.

None of these finds an API server. docs/operator.md has the table; test/process/test_bad_input.py tells the rest of it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from controller.__main__ import main

ROOT = Path(__file__).parents[3]
WRONG_COMMAND_LINE, CANNOT_START = 2, 1
QUIET = ("--metrics-addr=0", "--health-probe-bind-address=0")
SECONDS = 30.0
# Of an address: from Python 3.13 on asyncio says it in its own words.
NOT_OURS = "could not bind on any address" if sys.version_info >= (3, 13) else "cannot assign requested address"


class End(NamedTuple):
    """How it ended, and what it wrote to standard error."""

    code: int
    lines: list[str]


def operator(home: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    """It must end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "controller", *flags],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **more},
    )


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """Leads to a port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    return f"--kubeconfig={file}"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port where somebody listens already."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        yield listener.getsockname()[1]


def refused(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> End:
    """It must end before anything is opened, so that it can be called here."""
    monkeypatch.setattr(sys, "argv", ["manta-operator", *arguments])
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return End(end.value.code, capsys.readouterr().err.splitlines())


@pytest.mark.spec("deployment:1.1/1")
@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--nope", "flag provided but not defined: -nope"),
        ("serve", "unexpected argument 'serve': the operator takes flags only"),
        ("--config", "flag needs an argument: -config"),
        ("--reconcile-concurrency=many", "invalid value 'many' for flag -reconcile-concurrency: not a whole number"),
        ("--enable-metrics=maybe", "invalid boolean value 'maybe' for -enable-metrics: use true or false"),
    ],
)
def test_a_wrong_command_line_is_2(
    flag: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end = refused([flag], monkeypatch, capsys)

    assert end == End(WRONG_COMMAND_LINE, [f"manta-operator: {said}", "manta-operator --help lists all flags"])


@pytest.mark.spec("deployment:1.1/5", "deployment:DC-8")
@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--feature-gates=Nope=true", "unrecognized feature gate: Nope; known are "),
        ("--feature-gates=RayCronJob=yes", "feature gate RayCronJob='yes': the value must be true or false"),
        ("--config=/none/config.yaml", "cannot read -config /none/config.yaml: "),
        ("--log-stdout-encoder=xml", "-log-stdout-encoder must be json or console"),
        ("--leader-election-lease-duration=10s", "-leader-election-lease-duration must be more than 12 s, not 10 s: "),
        ("--metrics-addr=:8082", "-metrics-addr and -health-probe-bind-address are both :8082"),
    ],
)
def test_settings_that_cannot_be_used_are_1(
    flag: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (line,) = refused([flag], monkeypatch, capsys)

    assert code == CANNOT_START
    assert line.startswith(f"manta-operator: {said}")


@pytest.mark.spec("deployment:1.1/3", "deployment:1.1/8")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--log-file-path=/proc/none/log"], "cannot write -log-file-path /proc/none/log: "),
        (["--kubeconfig=/none/kubeconfig"], "no kubeconfig at /none/kubeconfig"),
        (["--kubeconfig=/proc/self/cmdline"], "cannot read /proc/self/cmdline: "),
        ([], "no API server: not in a cluster, and no kubeconfig at {home}/.kube/config; give one with -kubeconfig"),
    ],
)
def test_files_that_cannot_be_used_are_1(tmp_path: Path, flags: list[str], said: str) -> None:
    """One line after what was logged until then, and no traceback."""
    end = operator(tmp_path, *flags)

    assert end.returncode == CANNOT_START
    assert end.stderr.splitlines()[-1].startswith(f"manta-operator: {said.format(home=tmp_path)}")
    assert "Traceback" not in end.stderr


@pytest.mark.spec("deployment:1.2/leader-election-namespace")
def test_a_lease_needs_a_namespace_outside_a_cluster(tmp_path: Path, kubeconfig: str) -> None:
    end = operator(tmp_path, kubeconfig, *QUIET)

    assert end.returncode == CANNOT_START
    assert end.stderr.splitlines()[-1] == (
        "manta-operator: leader election needs a namespace for its lease outside a cluster: "
        "give -leader-election-namespace, or switch it off with -enable-leader-election=false"
    )


@pytest.mark.spec("runtime:TRN-7")
def test_a_proxy_that_it_cannot_speak_to_is_refused_with_the_way_out(tmp_path: Path, kubeconfig: str) -> None:
    """Named in the environment, as for any other client. Loopback needs none, whatever stands there."""
    file = Path(kubeconfig.removeprefix("--kubeconfig="))
    file.write_text(file.read_text().replace("http://127.0.0.1", "https://192.0.2.1"))

    end = operator(tmp_path, kubeconfig, *QUIET, "--enable-leader-election=false", HTTPS_PROXY="socks5://proxy:1080")

    assert end.returncode == CANNOT_START
    last = end.stderr.splitlines()[-1]
    assert last.startswith("manta-operator: a proxy of scheme socks5 cannot be used for https://192.0.2.1:")
    assert last.endswith("or name the server in NO_PROXY")


def test_in_a_cluster_without_its_files_the_missing_one_is_named(tmp_path: Path) -> None:
    """A pod whose service account token is not mounted."""
    end = operator(tmp_path, *QUIET, KUBERNETES_SERVICE_HOST="10.96.0.1")

    assert end.returncode == CANNOT_START
    assert "cannot read the cluster's CA: " in end.stderr
    assert "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt" in end.stderr


@pytest.mark.parametrize(
    ("flag", "other", "what"),
    [
        ("metrics-addr", "health-probe-bind-address", "metrics"),
        ("health-probe-bind-address", "metrics-addr", "health"),
    ],
)
def test_a_port_that_is_taken_is_1_and_its_flag_is_named(
    tmp_path: Path, kubeconfig: str, taken: int, flag: str, other: str, what: str
) -> None:
    end = operator(tmp_path, kubeconfig, f"--{flag}=:{taken}", f"--{other}=0", "--enable-leader-election=false")

    assert end.returncode == CANNOT_START
    last = end.stderr.splitlines()[-1]
    assert last.startswith(f"manta-operator: cannot serve {what} on :{taken}: ")
    assert last.endswith(f"address already in use: free it, or give another -{flag}")


def test_the_pages_for_developers_need_a_free_port_too(tmp_path: Path, kubeconfig: str, taken: int) -> None:
    end = operator(tmp_path, kubeconfig, *QUIET, "--enable-leader-election=false", f"--debug-address=127.0.0.1:{taken}")

    assert end.returncode == CANNOT_START
    last = end.stderr.splitlines()[-1]
    assert last.startswith(f"manta-operator: cannot serve debug pages on 127.0.0.1:{taken}: ")
    assert last.endswith("address already in use: free it, or give another -debug-address")


def test_a_port_is_opened_on_the_address_that_was_named_and_no_other(
    tmp_path: Path, kubeconfig: str, taken: int
) -> None:
    """Whoever says 127.0.0.1 does not want the whole network to read."""
    flags = (f"--metrics-addr=192.0.2.1:{taken}", "--health-probe-bind-address=0", "--enable-leader-election=false")

    end = operator(tmp_path, kubeconfig, *flags)

    assert end.returncode == CANNOT_START
    assert f"cannot serve metrics on 192.0.2.1:{taken}: " in end.stderr
    assert NOT_OURS in end.stderr
