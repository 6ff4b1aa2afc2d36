"""Where the API server is and who we are to it: in-cluster files, or a kubeconfig (spec runtime TRN-7..TRN-12).

A plain kubeconfig (server, CA, token, client certificate) is read here. One that needs more, an exec plugin say, is
handed to kubernetes_asyncio.config, which is imported only then: it costs 33 MiB.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
import yaml

from controller.runtime.client.certificates import CurrentTls
from controller.runtime.client.credentials import ANONYMOUS, AskedToken, Credentials, FixedToken, TokenFile
from controller.runtime.client.proxy import proxy_for
from controller.runtime.client.transport import AiohttpTransport, connected
from controller.runtime.errors import RuntimeProblem
from controller.runtime.interfaces import Clock
from controller.runtime.tls import load_pair

__all__ = ["BadConfig", "ServerConfig", "connect", "from_kubeconfig", "in_cluster", "kubeconfig_paths", "with_proxy"]

PLUGIN_SECONDS = 60.0  # TRN-11
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_log = structlog.get_logger("config")


class BadConfig(RuntimeProblem):
    """The configuration cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """An API server and our credentials, before anything is opened. PEM texts are bytes; no field is ever logged."""

    server: str
    namespace: str = "default"
    ca: bytes | None = field(default=None, repr=False)
    verify: bool = True
    server_name: str = ""  # to be expected in the certificate instead of the host
    proxy: str = field(default="", repr=False)  # may hold a password
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    # The files that CA, certificate and key were read from: somebody may renew them while we run.
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    exec_user: Mapping[str, Any] | None = field(default=None, repr=False)  # a user entry that needs a plugin
    exec_config: Mapping[str, Any] | None = field(default=None, repr=False)  # the whole kubeconfig it stands in

    def credentials(self, clock: Clock) -> Credentials:
        """What goes into the Authorization header."""
        if self.token_file is not None:
            return TokenFile(self.token_file, clock)
        return FixedToken(self.token) if self.token else ANONYMOUS

    def current_tls(self, clock: Clock) -> CurrentTls | ssl.SSLContext | None:
        """The TLS context, or what answers it where it comes from files, which may change. Raises BadConfig."""
        if not self.server.startswith("https:") or not (self.ca_file or self.certificate_file or self.key_file):
            return self.tls()
        return CurrentTls(self._contents, self._tls_of, clock)

    def _contents(self) -> tuple[bytes | None, ...]:
        """CA, certificate and key as they are now. Raises OSError."""
        inline, files = (self.ca, self.certificate, self.key), (self.ca_file, self.certificate_file, self.key_file)
        return tuple(file.read_bytes() if file else given for file, given in zip(files, inline, strict=True))

    def _tls_of(self, contents: tuple[bytes | None, ...]) -> ssl.SSLContext:
        ca, certificate, key = contents
        context = replace(self, ca=ca, certificate=certificate, key=key).tls()
        assert context is not None  # of a server with TLS
        return context

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context; None for plain http. Raises BadConfig."""
        if not self.server.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
            # On from Python 3.13, and then authorities without key identifiers, as clouds give them, are refused.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verify:
                _log.warning("the API server's certificate is not verified", server=self.server)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate is not None and self.key is not None:
                load_pair(context, self.certificate, self.key)
        except (ssl.SSLError, ValueError) as error:
            raise BadConfig(f"the certificates for {self.server} cannot be used: {error}") from error
        return context


@asynccontextmanager
async def connect(
    config: ServerConfig, clock: Clock, chance: random.Random | None = None
) -> AsyncIterator[tuple[AiohttpTransport, Credentials]]:
    """A transport to that server, and our credentials there; an exec plugin is asked now, and for each new token.

    Raises BadConfig.

    `chance`: of how long connections live, see `connected`.
    """
    scheme = urlsplit(config.proxy).scheme
    if scheme not in ("", "http"):
        raise BadConfig(
            f"a proxy of scheme {scheme} cannot be used for {config.server}: give http://host:port, through which "
            "TLS goes end to end, in HTTPS_PROXY or as proxy-url of the kubeconfig, or name the server in NO_PROXY"
        )
    if config.exec_user is None:
        credentials = config.credentials(clock)
    else:
        ask, config = partial(_token_of_plugin, config), await _ask_plugin(config)
        credentials = AskedToken(config.token, ask) if config.token else config.credentials(clock)
    async with connected(
        config.server,
        tls=config.current_tls(clock),
        server_hostname=config.server_name,
        proxy=config.proxy,
        chance=chance,
    ) as transport:
        yield transport, credentials


def in_cluster(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> ServerConfig:
    """What a pod is given (TRN-8). Raises BadConfig outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise BadConfig("not in a cluster: KUBERNETES_SERVICE_HOST is not set")
    if ":" in host:
        host = f"[{host}]"
    try:
        ca = (folder / "ca.crt").read_bytes()
    except OSError as error:
        raise BadConfig(f"cannot read the cluster's CA: {error}") from error
    return ServerConfig(
        server=f"https://{host}:{port}",
        namespace=_text(folder / "namespace") or "default",
        ca=ca,
        ca_file=folder / "ca.crt",
        token_file=folder / "token",
    )


def with_proxy(config: ServerConfig, environ: Mapping[str, str]) -> ServerConfig:
    """With the proxy that the environment names for that server, unless the configuration names one itself."""
    return replace(config, proxy=config.proxy or proxy_for(config.server, environ))


def kubeconfig_paths(environ: Mapping[str, str], home: Path) -> list[Path]:
    """The files that KUBECONFIG names, or the one everybody has."""
    named = [Path(one) for one in environ.get("KUBECONFIG", "").split(":") if one]
    return named or [home / ".kube" / "config"]


def from_kubeconfig(paths: list[Path], context: str = "") -> ServerConfig:
    """The server and user of that context, or of the current one; of several files the first that has it wins.

    Raises BadConfig.
    """
    merged = _merged(paths)
    name = context or str(merged.get("current-context") or "")
    entry = _named(merged, "contexts", name)
    cluster = _named(merged, "clusters", str(entry.get("cluster", "")))
    user = _named(merged, "users", str(entry.get("user", ""))) if entry.get("user") else {}
    return _server_config(merged, name, entry, cluster, user)


def _server_config(
    merged: Mapping[str, Any],
    context: str,
    entry: Mapping[str, Any],
    cluster: Mapping[str, Any],
    user: Mapping[str, Any],
) -> ServerConfig:
    server = str(cluster.get("server") or "")
    if not server:
        raise BadConfig(f"the cluster of context {context!r} has no server")
    if user.get("username") or (user.get("auth-provider") or {}).get("name") == "oidc":
        raise BadConfig(f"the user of context {context!r} needs basic or OIDC authentication: use an exec plugin")
    needs_plugin = bool(user.get("exec") or user.get("auth-provider"))
    token_file = user.get("tokenFile")
    return ServerConfig(
        server=server,
        namespace=str(entry.get("namespace") or "default"),
        ca=_pem(cluster, "certificate-authority"),
        verify=not cluster.get("insecure-skip-tls-verify"),
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=str(cluster.get("proxy-url") or ""),
        token="" if token_file else str(user.get("token") or ""),
        token_file=_beside(user, str(token_file)) if token_file else None,
        certificate=_pem(user, "client-certificate"),
        key=_pem(user, "client-key"),
        ca_file=_file(cluster, "certificate-authority"),
        certificate_file=_file(user, "client-certificate"),
        key_file=_file(user, "client-key"),
        exec_user=user if needs_plugin else None,
        exec_config={**merged, "current-context": context} if needs_plugin else None,
    )


def _merged(paths: list[Path]) -> dict[str, Any]:
    """All files as one; entries remember their folder, since relative paths are relative to their file."""
    merged: dict[str, Any] = {"contexts": [], "clusters": [], "users": []}
    found = [path for path in paths if path.exists()]
    if not found:
        raise BadConfig(f"no kubeconfig at {', '.join(map(str, paths))}")
    for path in found:
        content = _read_yaml(path)
        merged.setdefault("current-context", content.get("current-context"))
        merged["current-context"] = merged["current-context"] or content.get("current-context")
        for section in ("contexts", "clusters", "users"):
            for entry in content.get(section) or ():
                body = {**(entry.get(section[:-1]) or {}), _FOLDER: str(path.parent)}
                merged[section].append({"name": entry.get("name"), section[:-1]: body})
    return merged


_FOLDER = " folder"  # a key that no kubeconfig has


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, yaml.YAMLError) as error:
        raise BadConfig(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadConfig(f"{path} is no kubeconfig")
    return content


def _named(merged: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    for entry in merged[section]:
        if entry["name"] == name:
            body: Mapping[str, Any] = entry[section[:-1]]
            return body
    raise BadConfig(f"the kubeconfig has no entry {name!r} under {section}")


def _pem(entry: Mapping[str, Any], key: str) -> bytes | None:
    """The bytes given inline, or in the file that is named."""
    inline = entry.get(f"{key}-data")
    try:
        if inline:
            return base64.b64decode(str(inline), validate=True)
        if entry.get(key):
            return _beside(entry, str(entry[key])).read_bytes()
    except (binascii.Error, OSError) as error:
        raise BadConfig(f"{key} of the kubeconfig cannot be read: {error}") from error
    return None


def _file(entry: Mapping[str, Any], key: str) -> Path | None:
    """The file that holds it; None for what is inline, or not there."""
    return _beside(entry, str(entry[key])) if entry.get(key) and not entry.get(f"{key}-data") else None


def _beside(entry: Mapping[str, Any], name: str) -> Path:
    return Path(str(entry[_FOLDER])) / name


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


async def _ask_plugin(config: ServerConfig) -> ServerConfig:
    """Credentials from the plugin that the kubeconfig names. Raises BadConfig."""
    try:
        from kubernetes_asyncio.client import Configuration
        from kubernetes_asyncio.config import ConfigException
        from kubernetes_asyncio.config.kube_config import KubeConfigLoader
    except ImportError as error:
        raise BadConfig("this kubeconfig needs an exec plugin; install kubernetes-asyncio for it") from error
    loaded = Configuration()
    try:
        async with asyncio.timeout(PLUGIN_SECONDS):
            await KubeConfigLoader(_without_folders(config.exec_config or {})).load_and_set(loaded)
    except TimeoutError as error:
        raise BadConfig(f"the exec plugin of the kubeconfig gave no answer within {PLUGIN_SECONDS:.0f} s") from error
    except (ConfigException, OSError) as error:
        raise BadConfig(f"the exec plugin of the kubeconfig failed: {error}") from error
    return _with_answer(config, loaded.api_key or {}, loaded.cert_file, loaded.key_file)


async def _token_of_plugin(config: ServerConfig) -> str:
    """Raises BadConfig."""
    return (await _ask_plugin(config)).token


def _with_answer(
    config: ServerConfig, keys: Mapping[str, str], certificate: str | None, key: str | None
) -> ServerConfig:
    """The configuration with what the plugin answered: a token, or a pair of files."""
    return replace(
        config,
        token=keys.get("BearerToken", "").removeprefix("Bearer "),
        certificate=Path(certificate).read_bytes() if certificate else config.certificate,
        key=Path(key).read_bytes() if key else config.key,
        certificate_file=None if certificate else config.certificate_file,
        key_file=None if key else config.key_file,
        exec_user=None,
        exec_config=None,
    )


def _without_folders(merged: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"current-context": merged.get("current-context"), "apiVersion": "v1", "kind": "Config"}
    for section in ("contexts", "clusters", "users"):
        one = section[:-1]
        result[section] = [
            {"name": entry["name"], one: {key: value for key, value in entry[one].items() if key != _FOLDER}}
            for entry in merged.get(section, ())
        ]
    return result
