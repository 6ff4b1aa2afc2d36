"""Pod addresses."""

from __future__ import annotations

import itertools

import pytest

from localcluster.node.network import Addresses


def test_an_address_given_back_is_used_again_last() -> None:
    """Whoever still knows it must not meet a stranger there."""
    addresses = Addresses()
    first, second = addresses.take(), addresses.take()
    addresses.give_back(first)

    rest = list(itertools.takewhile(lambda address: address != first, iter(addresses.take, None)))

    assert (first, second) == ("10.244.0.2", "10.244.0.3")
    assert len(rest) == 2**16 - 5
    with pytest.raises(LookupError):
        addresses.take()
