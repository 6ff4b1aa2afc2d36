"""The life of the webhooks' certificates: fourteen years of replicas that look when they look."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.runtime.certificates import Authority, Certificate, Pair, certificates_in
from webhooks.certificates import Material, data_of, is_ours, next_material, read, service_names

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = service_names("hook", "ns", "cluster.local")


def begun(now: datetime = NOW) -> Material:
    material = next_material(None, NAMES, now, carried=False)
    assert material is not None
    return material


def due(material: Material, now: datetime, *, carried: bool = True, names: object = NAMES) -> Material | None:
    return next_material(material, names, now, carried=carried)  # type: ignore[arg-type]


def trusted_by(bundle: bytes, pair: Pair) -> bool:
    return any(Certificate(pair.certificate).signed_by(one) for one in certificates_in(bundle))


@pytest.mark.spec("runtime:WH-13")
def test_the_first_material_is_an_authority_for_ten_years_and_a_certificate_for_one() -> None:
    material = begun()

    (authority,) = certificates_in(material.trusted)
    serving = Certificate(material.serving.certificate)
    assert authority.not_after - NOW == 3650 * DAY
    assert serving.not_after - NOW == 365 * DAY
    assert serving.names == {"hook", "hook.ns", "hook.ns.svc", "hook.ns.svc.cluster.local"}
    assert trusted_by(material.trusted, material.serving)


def test_a_secret_gives_back_what_was_put_into_it() -> None:
    material = begun()

    assert read({"data": data_of(material)}) == material
    assert is_ours({"data": data_of(material)})


def test_what_holds_no_pair_is_nothing_and_what_somebody_else_put_there_is_not_ours() -> None:
    good = data_of(begun())
    other = data_of(begun())

    assert read({}) is None
    assert read({"data": good | {"tls.key": other["tls.key"]}}) is None
    assert read({"data": good | {"tls.crt": "bm90aGluZw=="}}) is None
    assert read({"data": good | {"tls.crt": "???"}}) is None
    assert is_ours({})
    assert not is_ours({"data": {"tls.crt": good["tls.crt"]}})


def test_certificates_of_somebody_else_are_used_as_they_are() -> None:
    """cert-manager's Secret has no key of an authority."""
    theirs = replace(begun(), authority_key=b"")

    assert due(theirs, NOW + 5000 * DAY) is None


@pytest.mark.spec("runtime:WH-13")
def test_a_certificate_is_renewed_at_two_thirds_of_its_life_by_the_same_authority() -> None:
    material = begun()

    assert due(material, NOW + 243 * DAY) is None
    renewed = due(material, NOW + 244 * DAY)

    assert renewed is not None
    assert renewed.bundle == material.bundle
    assert renewed.serving != material.serving
    assert trusted_by(material.trusted, renewed.serving)


def test_another_name_is_a_reason_for_another_certificate() -> None:
    material = begun()

    renewed = due(material, NOW, names=["hook", "127.0.0.1"])

    assert renewed is not None
    assert Certificate(renewed.serving.certificate).names >= {"127.0.0.1"}


@pytest.mark.spec("runtime:WH-13")
def test_a_new_authority_signs_nothing_before_the_api_server_trusts_it_and_the_old_one_is_trusted_on() -> None:
    late = NOW + 2434 * DAY  # two thirds of ten years
    material = replace(begun(), serving=_signed_anew(begun(), late))
    material = _renewed_by_itself(material, late)

    announced = due(material, late, carried=True)
    assert announced is not None
    assert announced.serving == material.serving
    assert announced.bundle[0] == material.bundle[0]
    assert len(announced.bundle) == 2
    assert due(announced, late + DAY, carried=False) is None

    promoted = due(announced, late + DAY, carried=True)
    assert promoted is not None
    assert promoted.bundle == [announced.bundle[1], announced.bundle[0]]
    assert Certificate(promoted.serving.certificate).signed_by(Certificate(announced.bundle[1]))

    assert due(promoted, late + 240 * DAY) is None
    later = due(promoted, late + 245 * DAY)  # its own certificate is renewed, then the old authority goes
    assert later is not None
    last = due(later, late + 245 * DAY)
    assert last is not None
    assert last.bundle == [announced.bundle[1]]


def _signed_anew(material: Material, now: datetime) -> Pair:
    authority = Authority(Pair(material.bundle[0], material.authority_key))
    return authority.serving(NAMES, now, 365 * DAY)


def _renewed_by_itself(material: Material, now: datetime) -> Material:
    """The same authority, years later, with a certificate of yesterday."""
    authority = Authority(Pair(material.bundle[0], material.authority_key))
    return replace(material, serving=authority.serving(NAMES, now - DAY, 365 * DAY))


def test_a_secret_that_was_lost_is_made_anew_beside_the_authority_that_is_still_trusted() -> None:
    before = begun()

    again = next_material(None, NAMES, NOW + DAY, carried=False, known=before.bundle)

    assert again is not None
    assert again.bundle[1:] == before.bundle
    assert trusted_by(again.trusted, before.serving)


def test_a_secret_whose_authority_cannot_be_used_is_made_anew() -> None:
    broken = replace(begun(), authority_key=b"nothing")

    again = due(broken, NOW)

    assert again is not None
    assert Authority(Pair(again.bundle[0], again.authority_key)).certificate.not_after > NOW
    assert due(begun(), NOW + 4000 * DAY) is not None  # nobody looked for eleven years


@pytest.mark.spec("runtime:WH-13")
@pytest.mark.parametrize("seed", range(3))
def test_at_no_moment_a_replica_shows_what_the_api_server_does_not_trust(seed: int) -> None:
    """Three replicas look in any order, for fourteen years; the API server notices a bundle only after the look."""
    chance = random.Random(seed)
    now, secret = NOW, begun()
    carried_bundle = secret.trusted
    shown: list[Pair | None] = [None] * 3
    carried = [False] * 3
    authorities = {secret.bundle[0]}

    while now < NOW + 14 * 365 * DAY:
        for replica in chance.sample(range(3), 3):
            trusted = carried_bundle
            renewed = next_material(secret, NAMES, now, carried=carried[replica])
            secret = renewed or secret
            carried[replica] = carried_bundle == secret.trusted
            carried_bundle = secret.trusted
            shown[replica] = secret.serving
            authorities.add(secret.bundle[0])
            for pair in filter(None, shown):
                assert trusted_by(trusted, pair)
                assert Certificate(pair.certificate).not_after > now
            now += timedelta(seconds=chance.uniform(0, 30))
        now += chance.uniform(5, 40) * DAY

    assert len(authorities) == 3
    assert len(certificates_in(secret.trusted)) <= 2
