"""Where the API server is: in-cluster files and plain kubeconfigs."""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from controller.runtime.client.config import (
    BadConfig,
    connect,
    from_kubeconfig,
    in_cluster,
    kubeconfig_paths,
    with_proxy,
)
from controller.runtime.client.credentials import TokenFile
from controller.runtime.clock import SystemClock


def a_kubeconfig(path: Path, *, cluster: Any = None, user: Any = None, context: str = "c", **more: Any) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://api:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


class Now:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.spec("runtime:TRN-7")
def test_a_kubeconfig_names_server_ca_user_and_namespace(tmp_path: Path) -> None:
    """Inline data and files, files relative to the kubeconfig."""
    (tmp_path / "client.crt").write_bytes(b"CERT")
    path = a_kubeconfig(
        tmp_path / "config",
        cluster={"certificate-authority-data": base64.b64encode(b"CA").decode(), "tls-server-name": "kubernetes"},
        user={"client-certificate": "client.crt", "client-key-data": base64.b64encode(b"KEY").decode()},
    )

    config = from_kubeconfig([path])

    assert (config.server, config.namespace, config.server_name) == ("https://api:6443", "team", "kubernetes")
    assert (config.ca, config.certificate, config.key) == (b"CA", b"CERT", b"KEY")
    assert "KEY" not in repr(config)


@pytest.mark.spec("runtime:TRN-7")
def test_a_proxy_of_the_kubeconfig_wins_over_one_of_the_environment(tmp_path: Path) -> None:
    """Whoever wrote it there meant this server. It may hold a password, so it is never shown."""
    environ = {"HTTPS_PROXY": "http://of-the-environment:3128"}
    named = from_kubeconfig([a_kubeconfig(tmp_path / "1", cluster={"proxy-url": "http://me:secret@named:1"})])
    plain = from_kubeconfig([a_kubeconfig(tmp_path / "2")])

    assert with_proxy(named, environ).proxy == "http://me:secret@named:1"
    assert with_proxy(plain, environ).proxy == "http://of-the-environment:3128"
    assert with_proxy(plain, {}).proxy == ""
    assert "secret" not in repr(named)


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "https://proxy:3128"])
async def test_a_proxy_that_we_cannot_speak_to_is_refused_with_the_way_out(tmp_path: Path, proxy: str) -> None:
    """Not at the first request, which would only be one more that failed."""
    config = from_kubeconfig([a_kubeconfig(tmp_path / "config", cluster={"proxy-url": proxy})])

    with pytest.raises(BadConfig, match="give http://host:port"):
        async with connect(config, Now()):
            pass


def test_of_several_files_the_first_that_has_an_entry_wins(tmp_path: Path) -> None:
    """As KUBECONFIG lists them; files that are not there do not matter."""
    first = a_kubeconfig(tmp_path / "one" / "config", cluster={"server": "https://one"}, user={"token": "t1"})
    second = a_kubeconfig(tmp_path / "two" / "config", cluster={"server": "https://two"}, context="d")

    assert from_kubeconfig([tmp_path / "missing", first, second]).server == "https://one"
    assert from_kubeconfig([first, second], "d").server == "https://one"
    assert from_kubeconfig([second, first], "c").server == "https://two"
    assert kubeconfig_paths({"KUBECONFIG": f"{first}:{second}"}, tmp_path) == [first, second]
    assert kubeconfig_paths({}, tmp_path) == [tmp_path / ".kube" / "config"]


@pytest.mark.parametrize(
    ("more", "context", "message"),
    [
        ({}, "missing", "no entry 'missing' under contexts"),
        ({"clusters": []}, "", "no entry 'k' under clusters"),
        ({"clusters": [{"name": "k", "cluster": {}}]}, "", "has no server"),
        ({"users": [{"name": "u", "user": {"client-key": "nowhere"}}]}, "", "client-key of the kubeconfig"),
        ({"clusters": [{"name": "k", "cluster": {"server": "x", "certificate-authority-data": "?"}}]}, "", "authority"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(
    tmp_path: Path, more: dict[str, Any], context: str, message: str
) -> None:
    """A stack trace would help nobody."""
    with pytest.raises(BadConfig, match=message):
        from_kubeconfig([a_kubeconfig(tmp_path / "config", **more)], context)


@pytest.mark.spec("runtime:TRN-12")
@pytest.mark.parametrize("user", [{"username": "a", "password": "b"}, {"auth-provider": {"name": "oidc"}}])
def test_what_kubernetes_itself_has_given_up_is_refused_with_what_took_its_place(
    tmp_path: Path, user: dict[str, Any]
) -> None:
    """Basic authentication, and OIDC with a token that we would have to renew."""
    with pytest.raises(BadConfig, match="needs basic or OIDC authentication: use an exec plugin"):
        from_kubeconfig([a_kubeconfig(tmp_path / "config", user=user)])


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    """Broken YAML, or something else altogether."""
    (tmp_path / "broken").write_text("a: [")
    (tmp_path / "list").write_text("- 1")

    with pytest.raises(BadConfig, match="cannot read"):
        from_kubeconfig([tmp_path / "broken"])
    with pytest.raises(BadConfig, match="is no kubeconfig"):
        from_kubeconfig([tmp_path / "list"])
    with pytest.raises(BadConfig, match="no kubeconfig at"):
        from_kubeconfig([tmp_path / "missing"])


@pytest.mark.spec("runtime:TRN-8")
def test_a_pod_finds_its_server_by_environment_and_mounted_files(tmp_path: Path) -> None:
    """An IPv6 address stands in brackets."""
    (tmp_path / "ca.crt").write_bytes(b"CA")
    (tmp_path / "namespace").write_text("ray-system\n")

    config = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)

    assert (config.server, config.namespace, config.ca) == ("https://[fd00::1]:6443", "ray-system", b"CA")
    assert config.token_file == tmp_path / "token"
    with pytest.raises(BadConfig, match="not in a cluster"):
        in_cluster({}, tmp_path)


@pytest.mark.spec("runtime:TRN-9")
async def test_a_token_file_is_read_again_each_minute_and_an_empty_one_changes_nothing(tmp_path: Path) -> None:
    """It is being replaced at that moment."""
    clock, path = Now(), tmp_path / "token"
    path.write_text("one\n")
    token = TokenFile(path, clock)
    assert token.authorization() == "Bearer one"

    path.write_text("two")
    clock.seconds = 59
    assert token.authorization() == "Bearer one"
    clock.seconds = 60
    assert token.authorization() == "Bearer two"

    path.write_text("")
    clock.seconds = 120
    assert token.authorization() == "Bearer two"
    assert not await token.refresh("Bearer two")
    path.write_text("three")
    assert await token.refresh("Bearer two")
    assert token.authorization() == "Bearer three"


def test_broken_certificates_are_said_to_be_broken(tmp_path: Path) -> None:
    """Before the first connection."""
    path = a_kubeconfig(
        tmp_path / "config", cluster={"certificate-authority-data": base64.b64encode(b"no PEM").decode()}
    )

    with pytest.raises(BadConfig, match="certificates for https://api:6443"):
        from_kubeconfig([path]).tls()


def test_a_cluster_s_authority_needs_no_key_identifier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Go asks for none, and those of some clouds have none. Python asks for one from 3.13 on."""
    usual = ssl.create_default_context

    def as_newer_pythons_make_it(**options: Any) -> ssl.SSLContext:
        context = usual(**options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", as_newer_pythons_make_it)
    context = from_kubeconfig([a_kubeconfig(tmp_path / "config")]).tls()

    assert context is not None
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_plain_http_needs_no_tls_and_an_unverified_server_is_allowed(tmp_path: Path) -> None:
    """The latter with a loud warning."""
    plain = from_kubeconfig([a_kubeconfig(tmp_path / "a", cluster={"server": "http://127.0.0.1:1"})])
    careless = from_kubeconfig([a_kubeconfig(tmp_path / "b", cluster={"insecure-skip-tls-verify": True})]).tls()

    assert plain.tls() is None
    assert careless is not None
    assert not careless.check_hostname


@pytest.mark.spec("runtime:TRN-11")
async def test_an_exec_plugin_is_asked_for_the_token(tmp_path: Path) -> None:
    """By the library that knows how; never through a shell."""
    credential = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"fresh"}}'
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print('''{credential}''')"],
        "interactiveMode": "Never",
    }
    path = a_kubeconfig(tmp_path / "config", cluster={"server": "http://127.0.0.1:1"}, user={"exec": plugin})

    async with connect(from_kubeconfig([path]), SystemClock()) as (_, credentials):
        assert credentials.authorization() == "Bearer fresh"


COUNTING = """
import json, pathlib, sys
count = pathlib.Path(sys.argv[1])
asked = int(count.read_text() or 0) + 1 if count.exists() else 1
count.write_text(str(asked))
if asked == 3:
    sys.exit("nobody is logged in")
status = {"token": f"token-{asked}"}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""


@pytest.mark.spec("runtime:TRN-11")
async def test_a_plugin_is_asked_again_once_for_all_whom_its_token_was_refused_to(tmp_path: Path) -> None:
    """Tokens of clouds live for a quarter of an hour. A plugin that fails leaves things as they are, and is told."""
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", COUNTING, str(tmp_path / "asked")],
        "interactiveMode": "Never",
    }
    path = a_kubeconfig(tmp_path / "config", cluster={"server": "http://127.0.0.1:1"}, user={"exec": plugin})

    async with connect(from_kubeconfig([path]), SystemClock()) as (_, credentials):
        first = credentials.authorization()
        renewed = await asyncio.gather(*(credentials.refresh(first) for _ in range(3)))
        second = credentials.authorization()
        with capture_logs() as logs:
            failed = await credentials.refresh(second)

    assert (first, second, renewed, failed) == ("Bearer token-1", "Bearer token-2", [True] * 3, False)
    assert credentials.authorization() == second
    assert ["nobody is logged in" in line["error"] for line in logs] == [True]
