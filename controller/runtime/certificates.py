"""A certificate authority and what it signs: PEM in, PEM out, nothing written (spec runtime WH-13).

Keys are on the P-256 curve, since an RSA key takes half a second to find. The moment is handed in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.runtime.errors import RuntimeProblem
from controller.runtime.tls import Pair

__all__ = ["BACKDATED", "Authority", "BadCertificate", "Certificate", "Pair", "certificates_in"]

BACKDATED: Final = timedelta(minutes=5)  # a clock that is a little behind must not refuse what is new
MOST_COMMON_NAME: Final = 64  # characters, by the standard


class BadCertificate(RuntimeProblem):
    """A certificate or a key that cannot be read, or not of each other."""


class Certificate:
    """What a certificate says of itself."""

    def __init__(self, pem: bytes) -> None:
        """The first one in the text. Raises BadCertificate."""
        try:
            self._parsed = x509.load_pem_x509_certificate(pem)
        except ValueError as error:
            raise BadCertificate("there is no certificate in PEM") from error
        self.pem = self._parsed.public_bytes(Encoding.PEM)
        self.not_before = self._parsed.not_valid_before_utc.astimezone(UTC)
        self.not_after = self._parsed.not_valid_after_utc.astimezone(UTC)

    @property
    def names(self) -> frozenset[str]:
        """The DNS names and addresses that it is for."""
        try:
            found = self._parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset()
        addresses = map(str, found.get_values_for_type(x509.IPAddress))
        return frozenset((*found.get_values_for_type(x509.DNSName), *addresses))

    def signed_by(self, authority: Certificate) -> bool:
        """Did that authority sign it?"""
        try:
            self._parsed.verify_directly_issued_by(authority._parsed)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def has_key(self, key: bytes) -> bool:
        """Is that its private key? An unreadable one is not."""
        try:
            public = load_pem_private_key(key, None).public_key()
        except (ValueError, TypeError):
            return False
        return _public(public) == _public(self._parsed.public_key())


def certificates_in(bundle: bytes) -> Sequence[Certificate]:
    """All certificates of a bundle; none of an empty text. Raises BadCertificate."""
    if not bundle.strip():
        return ()
    try:
        parsed = x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        raise BadCertificate("the bundle is not of certificates in PEM") from error
    return [Certificate(one.public_bytes(Encoding.PEM)) for one in parsed]


class Authority:
    """Signs. `pair.certificate` is what others trust."""

    def __init__(self, pair: Pair) -> None:
        """One that was made before. Raises BadCertificate."""
        self.pair = pair
        self.certificate = Certificate(pair.certificate)
        if not self.certificate.has_key(pair.key):
            raise BadCertificate("the authority's key is not that of its certificate")
        key = load_pem_private_key(pair.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadCertificate("the authority's key is on no elliptic curve, as all of ours are")
        self._key = key

    @staticmethod
    def new(name: str, now: datetime, valid: timedelta) -> Authority:
        """A new one; two of one name are told apart by their keys."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
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
        certificate = (
            _begun(subject, subject, key, now, valid)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return Authority(Pair(certificate.public_bytes(Encoding.PEM), _private(key)))

    def serving(self, names: Iterable[str], now: datetime, valid: timedelta) -> Pair:
        """A server's certificate for those DNS names and addresses; its subject is the first that is short enough."""
        listed = list(names)
        subject = _named(next((name for name in listed if len(name) <= MOST_COMMON_NAME), "server"))
        return self._signed(subject, [ExtendedKeyUsageOID.SERVER_AUTH], listed, now, valid)

    def identifying(
        self, user: str, groups: Iterable[str], now: datetime, valid: timedelta, *, names: Sequence[str] = ()
    ) -> Pair:
        """A client's certificate for that user of those groups; a server's, too, if it has names or addresses."""
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
        return self._signed(_named(user, groups), usages, names, now, valid)

    def _signed(
        self,
        subject: x509.Name,
        usages: Sequence[x509.ObjectIdentifier],
        names: Sequence[str],
        now: datetime,
        valid: timedelta,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate._parsed
        builder = (
            _begun(subject, issuer.subject, key, now, valid)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_key_identifier(issuer), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(Encoding.PEM), _private(key))


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, valid: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid)
    )


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _named(name: str, groups: Iterable[str] = ()) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(key: object) -> bytes:
    """Any kind of public key, to compare."""
    encoded: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded
