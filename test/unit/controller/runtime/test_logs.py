"""One line a message, in JSON or for people; the library's own messages come out in the same form."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from controller.runtime.contained import contained
from controller.runtime.logs import configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: put it back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def lines(output: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_json_line_has_time_level_logger_message_and_the_bound_context() -> None:
    """And nothing below the level is written."""
    output = io.StringIO()
    configure(output=output)
    log = structlog.get_logger("controller")

    with structlog.contextvars.bound_contextvars(name="a"):
        log.info("creating pod", pod="p")
        log.debug("not now")

    (line,) = lines(output)
    assert (line["level"], line["logger"], line["msg"]) == ("info", "controller", "creating pod")
    assert (line["name"], line["pod"]) == ("a", "p")
    assert str(line["ts"]).endswith("Z")


def test_messages_of_libraries_look_the_same() -> None:
    """Those of aiohttp, say."""
    output = io.StringIO()
    configure(output=output)

    logging.getLogger("aiohttp.client").warning("unclosed %s", "session")

    (line,) = lines(output)
    assert (line["level"], line["logger"], line["msg"]) == ("warning", "aiohttp.client", "unclosed session")


def test_a_contained_exception_is_logged_with_its_traceback_and_told() -> None:
    """And the code after the block runs on."""
    output, told = io.StringIO(), list[Exception]()
    configure(output=output)

    with contained("listener", object="Pod ns/a", on_error=told.append):
        raise KeyError("missing")

    (line,) = lines(output)
    assert (line["where"], line["object"]) == ("listener", "Pod ns/a")
    assert "missing" in json.dumps(line["exception"])
    assert isinstance(told[0], KeyError)


def test_what_ends_the_process_is_not_contained() -> None:
    """Neither a cancellation nor an exit."""
    with pytest.raises(SystemExit), contained("listener"):
        raise SystemExit(1)


def test_lines_for_people_are_no_json() -> None:
    """The console encoder."""
    output = io.StringIO()
    configure(encoding="console", output=output)

    structlog.get_logger("setup").info("started", port=8080)

    assert "started" in output.getvalue()
    assert "port=8080" in output.getvalue()
