"""Certificates under the eyes of a strict client, whoever made them: the operator's own code, or the local cluster.

The local cluster makes its own, since it may import nothing of ours; this is what both must keep.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from controller.runtime import certificates
from hack.kube.certificates import Authority
from localcluster.certificates import certified


class Server(NamedTuple):
    """What its clients trust, and what it shows."""

    authority: bytes
    certificate: bytes
    key: bytes


def now() -> datetime:
    """A handshake compares with the machine's own clock."""
    return datetime.now(UTC)  # noqa: TID251


def of_a_bare_node() -> Server:
    authority = Authority()
    pair = authority.signed("kube-apiserver", names=["kubernetes", "10.96.0.1"])
    return Server(authority.certificate, pair.certificate, pair.key)


def of_a_webhook() -> Server:
    authority = certificates.Authority.new("a", now(), timedelta(days=3650))
    pair = authority.serving(["kubernetes", "10.96.0.1"], now(), timedelta(days=365))
    return Server(authority.certificate.pem, pair.certificate, pair.key)


def of_the_local_cluster() -> Server:
    made = certified(now())
    return Server(made.authority.encode(), made.certificate.encode(), made.key.encode())


def shaking_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Both ends, with nothing but memory between them. Raises ssl.SSLError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there, server_hostname=name)
    serving = server.wrap_bio(there, back, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for end in (asking, serving):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue


def serving_with(file: Path, certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    file.write_bytes(certificate + key)
    context.load_cert_chain(file)
    return context


def strict(authority: bytes) -> ssl.SSLContext:
    """As Python 3.13 and later check by default."""
    context = ssl.create_default_context(cadata=authority.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


MAKERS = [of_a_bare_node, of_a_webhook, of_the_local_cluster]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["kubernetes", "10.96.0.1"])
def test_a_client_that_checks_strictly_trusts_the_server_by_name_and_by_address(
    make: Callable[[], Server], name: str, tmp_path: Path
) -> None:
    """It refuses an authority without key usage, and a certificate that does not say whose key signed it."""
    server = make()

    shaking_hands(serving_with(tmp_path / "server", server.certificate, server.key), strict(server.authority), name)


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_for_nobody_else(make: Callable[[], Server], tmp_path: Path) -> None:
    """Another name, and a client who trusts another authority of the same name."""
    server, other = make(), make()
    serving = serving_with(tmp_path / "server", server.certificate, server.key)

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shaking_hands(serving, strict(server.authority), "example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        shaking_hands(serving, strict(other.authority), "kubernetes")


def test_a_server_that_checks_strictly_knows_a_client_by_user_and_groups(tmp_path: Path) -> None:
    """As an API server reads a subject; a client's certificate is no server's."""
    authority = Authority()
    server, client = authority.signed("server", names=["kubernetes"]), authority.signed("ann", groups=["team", "ops"])
    serving = serving_with(tmp_path / "server", server.certificate, server.key)
    serving.load_verify_locations(cadata=authority.certificate.decode())
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.verify_flags |= ssl.VERIFY_X509_STRICT
    asking = strict(authority.certificate)
    (tmp_path / "client").write_bytes(client.certificate + client.key)
    asking.load_cert_chain(tmp_path / "client")

    shaking_hands(serving, asking, "kubernetes")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        shaking_hands(serving_with(tmp_path / "x", client.certificate, client.key), asking, "kubernetes")
