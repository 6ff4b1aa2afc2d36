"""A certificate authority: what it signs is trusted by who trusts it, and by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.runtime.certificates import Authority, BadCertificate, Certificate, Pair, certificates_in

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def test_a_server_s_certificate_is_for_its_names_and_lasts_as_long_as_was_said() -> None:
    authority = Authority.new("test", NOW, 10 * YEAR)

    pair = authority.serving(["hook.ns.svc", "hook.ns", "127.0.0.1", "::1"], NOW, YEAR)

    served = Certificate(pair.certificate)
    assert served.names == {"hook.ns.svc", "hook.ns", "127.0.0.1", "::1"}
    assert served.not_before < NOW
    assert served.not_after == NOW + YEAR
    assert served.has_key(pair.key)
    assert served.signed_by(authority.certificate)


def test_an_authority_is_read_again_from_what_was_stored() -> None:
    first = Authority.new("test", NOW, YEAR)

    again = Authority(first.pair)

    assert Certificate(again.serving(["a"], NOW, YEAR).certificate).signed_by(first.certificate)


def test_authorities_of_one_name_are_told_apart_by_their_keys() -> None:
    one, other = Authority.new("test", NOW, YEAR), Authority.new("test", NOW, YEAR)
    served = Certificate(one.serving(["a"], NOW, YEAR).certificate)

    assert served.signed_by(one.certificate)
    assert not served.signed_by(other.certificate)
    assert not served.signed_by(served)
    with pytest.raises(BadCertificate, match="key is not that"):
        Authority(Pair(one.pair.certificate, other.pair.key))


def test_names_that_are_too_long_for_a_subject_are_names_all_the_same() -> None:
    long = ".".join(["n" * 60] * 3)

    assert Certificate(Authority.new("t", NOW, YEAR).serving([long], NOW, YEAR).certificate).names == {long}


def test_a_bundle_is_a_list_of_certificates() -> None:
    one, other = Authority.new("one", NOW, YEAR), Authority.new("other", NOW, YEAR)

    found = certificates_in(one.pair.certificate + other.pair.certificate)

    assert [certificate.pem for certificate in found] == [one.pair.certificate, other.pair.certificate]
    assert certificates_in(b"\n") == ()


@pytest.mark.parametrize("text", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(BadCertificate):
        Certificate(text)
    if text:
        with pytest.raises(BadCertificate):
            certificates_in(text)


def test_an_unreadable_key_is_nobody_s() -> None:
    authority = Authority.new("test", NOW, YEAR)

    assert not authority.certificate.has_key(b"nothing")
