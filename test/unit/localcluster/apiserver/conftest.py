"""A server per test, with a clock that the test moves and chance that repeats itself."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.apiserver.store import Store


class Clock:
    """The time, which stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def server(clock: Clock, store: Store) -> ApiServer:
    return ApiServer(now=clock.now, chance=random.Random(1), store=store)


@pytest.fixture
def api(server: ApiServer) -> LocalApi:
    return LocalApi(server)
