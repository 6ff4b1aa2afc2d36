"""Asks a URL ten times a second, each time over a new connection and without a second try: how users see an upgrade.

An answer has failed if it is no 2xx, if its connection was refused or reset, or if it took over ten seconds. Tests on
this machine ask by `asking`; in a pod, `python asker.py URL` writes a JSON object a line until SIGTERM, so nothing of
ours is imported.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field

import aiohttp

__all__ = ["Answer", "Asking", "Heard", "asking", "told"]

PACE_SECONDS = 0.1
SLOWEST_SECONDS = 10.0  # an answer that takes longer is none
PATIENCE_SECONDS = 200.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said, or how it failed, and the seconds it took."""

    said: str
    good: bool
    seconds: float


def told(answers: Sequence[Answer]) -> str:
    """For the reader of a run: how many, how many failed and in which ways, and how long the longest took."""
    failures = Counter(one.said.partition("(")[0] for one in answers if not one.good)
    kinds = ", ".join(f"{count} x {kind}" for kind, count in failures.most_common())
    failed = f"{failures.total()} failed" + (f" ({kinds})" if kinds else "")
    longest = max((one.seconds for one in answers), default=0.0)
    return f"{len(answers)} requests, {failed}, the longest answer took {longest:.2f} s"


@dataclass(slots=True)
class Heard:
    """All answers so far."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What was no good answer."""
        return [one.said for one in self.answers if not one.good]

    @property
    def told(self) -> str:
        """For the reader of a run."""
        return told(self.answers)


@dataclass(slots=True)
class Asking(Heard):
    """All answers so far, and what is to come."""

    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, answer: Answer) -> None:
        """One more."""
        self.answers.append(answer)
        self._news.set()

    async def until(self, true: Callable[[str], object]) -> str:
        """The first good answer to come that is like that."""
        seen = len(self.answers)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for answer in self.answers[seen:]:
                    if answer.good and true(answer.said):
                        return answer.said
                seen = len(self.answers)
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Asking]:
    """The URL is asked while the block is open; afterwards all that was asked was answered, or failed."""
    found, enough = Asking(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(ask_on(url, found.hear, enough))
        yield found
        enough.set()


async def ask_on(url: str, heard: Callable[[Answer], None], enough: asyncio.Event) -> None:
    """Until it is enough, and the last answer came. The pace is the point: a request does not wait for others."""
    timeout = aiohttp.ClientTimeout(total=SLOWEST_SECONDS)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as group:
        due = asyncio.get_running_loop().time()
        while not enough.is_set():
            group.create_task(_ask(session, url, heard))
            due += PACE_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await enough.wait()


async def _ask(session: aiohttp.ClientSession, url: str, heard: Callable[[Answer], None]) -> None:
    began = time.monotonic()
    try:
        async with session.get(url) as response:
            said, good = (await response.text()).strip(), response.ok
    except (aiohttp.ClientError, TimeoutError) as error:
        said, good = repr(error), False
    heard(Answer(said, good, time.monotonic() - began))


def main() -> int:
    """In a pod: a line for each answer, until SIGTERM."""

    def write(answer: Answer) -> None:
        sys.stdout.write(json.dumps(asdict(answer)) + "\n")
        sys.stdout.flush()

    async def until_told_to_end() -> None:
        enough = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
        await ask_on(sys.argv[1], write, enough)

    asyncio.run(until_told_to_end())
    return 0


if __name__ == "__main__":
    sys.exit(main())
