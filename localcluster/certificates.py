"""The API server's certificate for who reaches it by the service `kubernetes`, as programs in pods do: PEM texts.

An authority is made for one server and signs this once; its key is then forgotten. The keys are on the P-256 curve:
an RSA key takes half a second to find. The operator makes certificates, too, and neither may import the other; one
test, test/unit/hack/test_certificates.py, holds both to what a strict client asks for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster.addresses import IN_A_CELL, AddressPlan

__all__ = ["Certified", "certified", "names_on"]

SERVICE_NAMES: Final = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
VALID: Final = timedelta(days=3650)  # longer than a local cluster lives
BACKDATED: Final = timedelta(minutes=5)  # a clock that was just set back must not refuse it


@dataclass(frozen=True, slots=True)
class Certified:
    """What clients trust, and what the server shows and signs with; all PEM."""

    authority: str
    certificate: str
    key: str


def names_on(addresses: AddressPlan) -> tuple[str, ...]:
    """What the server is called by who reaches it there."""
    return (*SERVICE_NAMES, "localhost", addresses.host, addresses.kubernetes)


def certified(now: datetime, names: Sequence[str] = names_on(IN_A_CELL)) -> Certified:
    """A new authority, and a server's certificate of it for those names and addresses."""
    issuer, subject = _named("manta"), _named("kube-apiserver")
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        _begun(issuer, issuer, root, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    certificate = (
        _begun(subject, issuer, own, now)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    key = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Certified(_pem(authority), _pem(certificate), key.decode())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + VALID)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
