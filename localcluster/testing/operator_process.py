"""The operator as a process of its own, as in production, against whatever API server a kubeconfig names."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["OperatorProcess", "logged", "operator_process"]

START_SECONDS = 60.0  # a second on an idle machine
END_SECONDS = 40.0  # its own grace is 30
WORKS = "controllers work"  # what it logs when it does


@dataclass(slots=True)
class OperatorProcess:
    """A running operator: its pid and what it has logged so far."""

    pid: int
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    works: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def memory_mib(self) -> float:
        """Its resident memory now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(self.pid)

    def complaints(self) -> list[Mapping[str, Any]]:
        """What it logged above info."""
        return [line for line in self.lines if line.get("level") not in ("debug", "info")]


@asynccontextmanager
async def operator_process(kubeconfig: Path, *flags: str) -> AsyncIterator[OperatorProcess]:
    """Run it while the block is open; entered once its controllers work.

    Raises RuntimeError with its last lines when it does not come up, or does not end as a process should when asked.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "controller", f"--kubeconfig={kubeconfig}", "--enable-leader-election=false"),
        *("--metrics-addr=0", "--health-probe-bind-address=0", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "KUBE"))},
        limit=2**20,
    )
    operator = OperatorProcess(process.pid)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(process, operator), name="the operator's log")
        try:
            async with asyncio.timeout(START_SECONDS):
                await operator.works.wait()
            if process.returncode is not None:
                raise RuntimeError(f"the operator did not start: {operator.lines[-5:]}")
            yield operator
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(END_SECONDS):
                    code = await process.wait()
            except TimeoutError:
                process.kill()
                code = await process.wait()
            await reading
    if code != 0:
        raise RuntimeError(f"the operator ended with {code}: {operator.lines[-5:]}")


async def _read(process: asyncio.subprocess.Process, operator: OperatorProcess) -> None:
    """Keep its lines; at their end it works no more, and nobody need wait for it to."""
    assert process.stdout is not None
    async for line in process.stdout:
        said = logged(line)
        operator.lines.append(said)
        if said.get("msg") == WORKS:
            operator.works.set()
    await process.wait()
    operator.works.set()


def logged(line: bytes) -> Mapping[str, Any]:
    """A log line; what is none, a traceback say, as an error."""
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"level": "error", "msg": line.decode(errors="replace").rstrip()}
