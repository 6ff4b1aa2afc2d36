"""The authority of one bare node, and a key pair for its service accounts' tokens: PEM texts, nothing written.

A node lives for hours, its certificates for a week. How they are made is the operator's own (controller.runtime).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from controller.runtime import certificates
from controller.runtime.tls import Pair

__all__ = ["Authority", "a_key"]

VALID = timedelta(days=7)


class Authority:
    """Signs for one node; `certificate` is what its clients trust."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        self._authority = certificates.Authority.new("manta-bare", self._now, VALID)
        self.certificate = self._authority.certificate.pem

    def signed(self, user: str, *, groups: Sequence[str] = (), names: Sequence[str] = ()) -> Pair:
        """A certificate for `user` of `groups`, as Kubernetes reads the subject; a server's, too, if it has names."""
        return self._authority.identifying(user, groups, self._now, VALID, names=names)


def a_key() -> tuple[bytes, bytes]:
    """A public key, and its private key, to sign service account tokens with."""
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
