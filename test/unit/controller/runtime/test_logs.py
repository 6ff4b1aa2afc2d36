"""One line a message, in JSON or for people; the library's own messages come out in the same form."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from controller.runtime import logs
from controller.runtime.contained import contained
from controller.runtime.logs import configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: put it back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    for handler in set(root.handlers) - set(handlers):
        handler.close()
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


@pytest.mark.spec("deployment:DC-7")
def test_a_log_file_gets_a_copy_in_its_own_encoding_and_is_for_our_eyes_only(tmp_path: Path) -> None:
    """Its folder is made; both threads, libraries and tracebacks write there, too."""
    output, file = io.StringIO(), tmp_path / "new" / "folder" / "operator.log"
    configure(encoding="console", output=output, file=file)
    log = structlog.get_logger("controller")

    log.info("creating pod", pod="p")
    logging.getLogger("aiohttp.client").warning("unclosed session")
    try:
        raise KeyError("missing")
    except KeyError:
        log.exception("it failed")

    first, second, third = (json.loads(line) for line in file.read_text().splitlines())
    assert (first["level"], first["logger"], first["msg"], first["pod"]) == ("info", "controller", "creating pod", "p")
    assert (second["level"], second["msg"]) == ("warning", "unclosed session")
    assert "missing" in json.dumps(third["exception"])
    assert "creating pod" in output.getvalue()
    assert "{" not in output.getvalue().splitlines()[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.spec("deployment:DC-7")
def test_a_log_file_is_begun_anew_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more than so many are kept; none is open for others."""
    monkeypatch.setattr(logs, "FILE_BYTES", 2000)
    monkeypatch.setattr(logs, "OLD_FILES", 2)
    configure(output=io.StringIO(), file=tmp_path / "log")

    for number in range(100):
        structlog.get_logger("controller").info("creating pod", number=number)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    assert all(file.stat().st_size <= 2000 for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert json.loads(files[0].read_text().splitlines()[-1])["number"] == 99


def test_debug_lines_are_not_copied_to_the_file(tmp_path: Path) -> None:
    """They may be many, and the file is for the long term."""
    output, file = io.StringIO(), tmp_path / "log"
    configure(level=logging.DEBUG, output=output, file=file)

    structlog.get_logger("controller").debug("nothing to do")

    assert "nothing to do" in output.getvalue()
    assert file.read_text() == ""
