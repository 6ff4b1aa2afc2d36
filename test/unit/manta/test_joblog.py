"""A job's own output, told once."""

from __future__ import annotations

from manta.joblog import JobLog, cause_and_tail

# What `ray job submit` and `ray job logs --follow` of Ray 2.52 write around a job that fails.
STAMP = "2026-11-24 20:52:34,175"
BEFORE = f"""\
{STAMP}\tINFO cli.py:41 -- Job submission server address: http://x-head-svc:8265
\x1b[32m{STAMP}\tSUCC cli.py:65 -- \x1b[32m-----------------------\x1b[39m
{STAMP}\tSUCC cli.py:66 -- Job 'bad-vzjwp' submitted successfully
{STAMP}\tINFO cli.py:291 -- Next steps
{STAMP}\tINFO cli.py:292 -- Query the logs of the job:
{STAMP}\tINFO cli.py:294 -- ray job logs bad-vzjwp""".splitlines()
OUTPUT = f"""\
{STAMP}\tINFO job_manager.py:568 -- Runtime env is setting up.
hello
Traceback (most recent call last):
  File "<string>", line 4, in <module>
ValueError: no such data set""".splitlines()
AFTER = f"""\
{STAMP}\tERR cli.py:73 -- ----------------------
{STAMP}\tERR cli.py:74 -- Job 'bad-vzjwp' failed
{STAMP}\tINFO cli.py:88 -- Status message: Job entrypoint command failed with exit code 1, last available logs:
hello
Traceback (most recent call last):
  File "<string>", line 4, in <module>
ValueError: no such data set
""".splitlines()


def news(log: JobLog, lines: list[str]) -> list[str]:
    return [line for line in lines if log.is_news(line)]


def test_of_a_submitters_log_only_the_jobs_own_output_is_news() -> None:
    """Neither hints how to ask for the log, nor its end once more."""
    assert news(JobLog(), [*BEFORE, *OUTPUT, *AFTER]) == OUTPUT


def test_a_warning_of_the_submitter_is_news() -> None:
    """It may be why nothing happens."""
    warning = f"{STAMP}\tWARN cli.py:100 -- Tailing logs is not enabled"

    assert news(JobLog(), [*BEFORE, warning]) == [warning]


def test_what_a_second_submitter_says_is_news_again() -> None:
    """A retry begins where the first log ended in a repetition."""
    assert news(JobLog(), [*BEFORE, *OUTPUT, *AFTER, *BEFORE, *OUTPUT]) == [*OUTPUT, *OUTPUT]


def test_output_that_looks_a_little_like_the_submitters_is_news() -> None:
    """A time, or the name of a file, are nothing special."""
    lines = [f"{STAMP} INFO hello.py:3 -- here", "INFO cli.py:3 -- here", "Status message: fine", "-----"]

    assert news(JobLog(), lines) == lines


def test_of_a_tail_that_was_shown_live_nothing_is_shown_again() -> None:
    """Ray repeats up to 20,000 characters."""
    log = JobLog()
    news(log, OUTPUT)

    assert log.not_shown([*OUTPUT[1:], "", ""]) == ()


def test_a_coloured_tail_was_shown_as_well() -> None:
    """Ray colours who says a line, in the log as in the status message."""
    log = JobLog()
    coloured = [*OUTPUT, "\x1b[33m(raylet)\x1b[0m It was the last straw."]
    news(log, coloured)

    assert log.not_shown(coloured) == ()


def test_a_tail_whose_end_was_not_shown_is_shown() -> None:
    """The connection broke off, or the head was gone."""
    log = JobLog()
    news(log, OUTPUT[:2])

    assert log.not_shown(OUTPUT) == tuple(OUTPUT)
    assert len(JobLog().not_shown([str(number) for number in range(100)])) == 20


def test_a_message_is_a_sentence_and_a_tail() -> None:
    """A message without a tail is all sentence."""
    assert cause_and_tail("failed with exit code 1, last available logs (truncated to 9 chars):\na\n b\n") == (
        "failed with exit code 1",
        ("a", " b"),
    )
    assert cause_and_tail("the head is gone") == ("the head is gone", ())
    assert cause_and_tail("") == ("", ())


def test_of_a_traceback_the_cause_is_its_last_line() -> None:
    """Ray's own, where it fails itself: its first line says nothing. The tail is all of it."""
    traceback = 'Traceback (most recent call last):\n  File "job_supervisor.py", line 4\nOSError: no space left\n'

    assert cause_and_tail(traceback) == ("OSError: no space left", tuple(traceback.splitlines()))
