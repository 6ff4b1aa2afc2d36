"""The TLS side of a server whose certificate changes while it serves (spec runtime WH-1, WH-12).

Each handshake is made with the pair that was set last; connections that are open keep what they were opened with. A
pair is either taken whole or not at all.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.runtime.errors import RuntimeProblem

__all__ = ["BadPair", "Pair", "ServerTls", "load_pair"]

PROTOCOLS: Final = ["http/1.1"]


class BadPair(RuntimeProblem):
    """A certificate and a key that cannot be used: unreadable, or not of each other."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, perhaps with those that lead to its authority, and its private key; both PEM."""

    certificate: bytes
    key: bytes


class ServerTls:
    """`context` is for the listener; it has no certificate of its own, and asks for the current one at each handshake.

    With `client_authorities`, only clients with a certificate of one of them are let in.
    """

    def __init__(self, client_authorities: bytes | None = None) -> None:
        """Raises BadPair for authorities that are none."""
        self._authorities = client_authorities
        self._current: ssl.SSLContext | None = None
        self.not_after: datetime | None = None  # of the certificate in use; None before the first
        self.context = self._made()
        self.context.sni_callback = self._choose

    def use(self, certificate: bytes, key: bytes) -> None:
        """Show this certificate from now on (PEM, leaf first). Raises BadPair: then the one before stays in use."""
        not_after = _end_of(certificate)
        context = self._made()
        try:
            load_pair(context, certificate, key)
        except (ssl.SSLError, OSError) as error:
            raise BadPair(f"the certificate and its key cannot be used: {error}") from error
        self._current, self.not_after = context, not_after

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(PROTOCOLS)
        context.num_tickets = 0  # no session outlives its certificate
        context.options |= ssl.OP_NO_TICKET
        if self._authorities is not None:
            try:
                context.load_verify_locations(cadata=self._authorities.decode())
            except (ssl.SSLError, ValueError) as error:
                raise BadPair(f"the authorities of clients cannot be used: {error}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        """Called once a client has said hello, also by one that names no server."""
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


def _end_of(certificate: bytes) -> datetime:
    """When the leaf ends."""
    from cryptography import x509  # 8 MiB that only a server of webhooks needs

    try:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.astimezone(UTC)
    except ValueError as error:
        raise BadPair("the certificate is no certificate in PEM") from error


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Into a context of a server or a client. Raises ssl.SSLError, also for a key that needs a password.

    OpenSSL takes files only: one that lives in memory, since a strict pod has no folder to write to.
    """
    file = os.memfd_create("certificate")
    try:
        os.write(file, certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file}", password=_no_password)
    finally:
        os.close(file)


def _no_password() -> str:
    """A key that asks for one is refused; without this, OpenSSL would ask on a terminal."""
    return ""
