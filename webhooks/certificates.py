"""The webhooks' own certificates and what becomes of them with time (spec runtime WH-13, admission §4.11). Pure.

An authority lasts ten years, a server's certificate one; each is renewed at two thirds of its life. A new authority is
announced first: its certificate stands in the bundle that the API server trusts, and nothing is signed with it until
all of our configurations carry that bundle. The one before stays trusted until every replica must long have shown what
the new one signed. So there is no moment at which a replica shows what the API server does not trust.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from api.meta import Json
from controller.runtime.certificates import (
    BACKDATED,
    Authority,
    BadCertificate,
    Certificate,
    Pair,
    certificates_in,
)

__all__ = ["Material", "data_of", "is_ours", "next_material", "read", "service_names"]

AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVING_LIFE: Final = timedelta(days=365)
RENEWED_AT: Final = 2 / 3  # of a life
SUBJECT: Final = "kuberay-operator-webhooks"

# Keys of the Secret. The first three are those of cert-manager's, so that a pod may mount either.
BUNDLE, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
AUTHORITY_KEY, NEXT_KEY = "ca.key", "next-ca.key"


@dataclass(frozen=True, slots=True)
class Material:
    """What the Secret holds, all PEM. Without an authority's key it is somebody else's, and is used as it is.

    `bundle`: the authority that signs, then others that are trusted. With a `next_key`, the second is the one to come.
    """

    bundle: Sequence[bytes]
    serving: Pair
    authority_key: bytes = b""
    next_key: bytes = b""

    @property
    def trusted(self) -> bytes:
        """The bundle as a configuration carries it."""
        return b"".join(self.bundle)


def read(secret: Mapping[str, Any]) -> Material | None:
    """What a Secret holds; None where that is no pair of certificate and key."""
    data = secret.get("data") or {}
    try:
        texts = {name: base64.b64decode(str(text), validate=True) for name, text in data.items()}
        bundle = [one.pem for one in certificates_in(texts.get(BUNDLE, b""))]
        serving = Pair(texts[CERTIFICATE], texts[KEY])
        if not Certificate(serving.certificate).has_key(serving.key):
            return None
    except (ValueError, KeyError, BadCertificate):
        return None
    return Material(bundle, serving, texts.get(AUTHORITY_KEY, b""), texts.get(NEXT_KEY, b""))


def is_ours(secret: Mapping[str, Any]) -> bool:
    """May we write it anew, whatever it holds? Not what somebody else put there."""
    data = secret.get("data") or {}
    return not data or AUTHORITY_KEY in data


def data_of(material: Material) -> Json:
    """The Secret's data."""
    texts = {
        BUNDLE: material.trusted,
        CERTIFICATE: material.serving.certificate,
        KEY: material.serving.key,
        AUTHORITY_KEY: material.authority_key,
        NEXT_KEY: material.next_key,
    }
    return {name: base64.b64encode(text).decode() for name, text in texts.items() if text}


def service_names(service: str, namespace: str, domain: str) -> Sequence[str]:
    """The names by which a Service is reached."""
    return (service, f"{service}.{namespace}", f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.{domain}")


def next_material(
    material: Material | None,
    names: Sequence[str],
    now: datetime,
    *,
    carried: bool,
    known: Sequence[bytes] = (),
) -> Material | None:
    """What is to stand there next; None where all is as it should be.

    `carried`: every configuration of ours carries the whole bundle already. `known`: authorities that are trusted until
    now; a Secret that was lost is made anew beside them.
    """
    if material is None:
        return _begun(names, now, known)
    if not material.authority_key:
        return None
    try:
        authority = Authority(Pair(material.bundle[0], material.authority_key))
        following = Authority(Pair(material.bundle[1], material.next_key)) if material.next_key else None
    except (BadCertificate, IndexError):
        return _begun(names, now, material.bundle)
    if authority.certificate.not_after <= now:
        return _begun(names, now, ())
    if _signing_is_due(authority, material.serving, names, now):
        return replace(material, serving=_signed(authority, names, now))
    if following is not None:
        return _promoted(material, following, names, now) if carried else None
    if now >= _renewal(authority.certificate):
        coming = Authority.new(SUBJECT, now, AUTHORITY_LIFE)
        kept = [authority.pair.certificate, coming.pair.certificate, *material.bundle[1:]]
        return replace(material, bundle=kept, next_key=coming.pair.key)
    kept = [material.bundle[0], *(one for one in material.bundle[1:] if _is_needed(one, authority, now))]
    return replace(material, bundle=kept) if len(kept) < len(material.bundle) else None


def _begun(names: Sequence[str], now: datetime, known: Iterable[bytes]) -> Material:
    authority = Authority.new(SUBJECT, now, AUTHORITY_LIFE)
    still_good = [one for one in known if Certificate(one).not_after > now]
    bundle = [authority.pair.certificate, *still_good]
    return Material(bundle, _signed(authority, names, now), authority.pair.key)


def _promoted(material: Material, following: Authority, names: Sequence[str], now: datetime) -> Material:
    before, coming, *older = material.bundle
    return Material([coming, before, *older], _signed(following, names, now), following.pair.key)


def _signed(authority: Authority, names: Sequence[str], now: datetime) -> Pair:
    return authority.serving(names, now, min(SERVING_LIFE, authority.certificate.not_after - now))


def _signing_is_due(authority: Authority, serving: Pair, names: Sequence[str], now: datetime) -> bool:
    certificate = Certificate(serving.certificate)
    fits = certificate.names >= set(names) and certificate.signed_by(authority.certificate)
    return not fits or now >= _renewal(certificate)


def _renewal(certificate: Certificate) -> datetime:
    """When two thirds of its life are over."""
    begin = certificate.not_before + BACKDATED
    return begin + RENEWED_AT * (certificate.not_after - begin)


def _is_needed(earlier: bytes, authority: Authority, now: datetime) -> bool:
    """Some replica may still show what an earlier authority signed, until its own renewal would have been due."""
    promoted = authority.certificate.not_before + BACKDATED
    return Certificate(earlier).not_after > now and now < promoted + RENEWED_AT * SERVING_LIFE
