"""Series that dashboards made for any controller look for, beside those of Ray's kinds."""

from __future__ import annotations

import random

import pytest

from controller.process import exposed
from controller.runtime.client.rest import Identity
from controller.runtime.clock import SystemClock
from controller.runtime.health import Health
from controller.runtime.manager import Runtime
from controller.settings import Settings
from localcluster.testing.scripted_api import ScriptedTransport

pytestmark = pytest.mark.looptime


async def test_a_process_tells_its_processor_time_its_memory_and_since_when_it_runs() -> None:
    """As every process does that uses one of Prometheus' libraries; alerts on restarts and memory are made of it."""
    whole = exposed(
        Runtime(
            transport=ScriptedTransport(),
            watched=(),
            build=lambda kit: pytest.fail("nothing runs here"),
            clock=SystemClock(),
            rng=random.Random(1),
            identity=Identity("op", "1"),
        ),
        Settings(),
        Health(),
    )

    names = {sample.name for family in whole.metrics.registry.collect() for sample in family.samples}
    assert {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
    } <= names
