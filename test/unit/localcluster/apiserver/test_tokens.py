"""How long a service account's token is good: the clock is ours here."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer

ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "default"}}


async def a_token(api: LocalApi, **spec: Any) -> str:
    """A token of the account a, which is made as well."""
    await api.create("serviceaccounts", "default", ACCOUNT)
    body = {"metadata": {"name": "a"}, "spec": spec}
    made = await api.create("serviceaccounts", "default", body, subresource="token")
    return str(made["status"]["token"])


async def test_a_token_stands_for_its_account(api: LocalApi, server: ApiServer) -> None:
    """As real servers name it."""
    user = server.user_of(await a_token(api))

    assert user is not None
    assert user["username"] == "system:serviceaccount:default:a"
    assert "system:serviceaccounts:default" in user["groups"]


@pytest.mark.spec("kube-api:AUTH-6")
async def test_a_token_ends_with_its_time(api: LocalApi, server: ApiServer, clock: Any) -> None:
    """To the second."""
    token = await a_token(api, expirationSeconds=600)

    clock.advance(599)
    assert server.user_of(token) is not None
    clock.advance(1)
    assert server.user_of(token) is None


async def test_a_token_ends_with_its_account_even_if_another_comes_by_that_name(
    api: LocalApi, server: ApiServer
) -> None:
    """The claims hold the account's UID."""
    token = await a_token(api)

    await api.delete("serviceaccounts", "default", "a")
    assert server.user_of(token) is None
    await api.create("serviceaccounts", "default", ACCOUNT)
    assert server.user_of(token) is None


async def test_a_token_for_another_audience_is_not_for_this_server(api: LocalApi, server: ApiServer) -> None:
    """It is made, for whoever it is meant for."""
    assert server.user_of(await a_token(api, audiences=["vault"])) is None
