"""Where a shell sees a command end, and where it does not."""

from __future__ import annotations

import pytest

from api.v1.rules.shell import control_operator


@pytest.mark.parametrize(
    ("line", "operator"),
    [
        ("python a.py && rm x", "&&"),
        ("python a.py || true", "||"),
        ("cd /app; python a.py", ";"),
        ("python a.py | tee log", "|"),
        ("python a.py |& tee log", "|&"),
        ("python a.py &", "&"),
        ("python a.py & python b.py", "&"),
        ("python a.py\npython b.py", "\n"),
        ("python - <<EOF\nprint(1)\nEOF", "\n"),
        ("(cd /app; python a.py)", ";"),
        ("echo 'a;b' ; ls", ";"),
        ('echo "a" && ls', "&&"),
    ],
)
def test_an_operator_outside_of_quotes_ends_the_command(line: str, operator: str) -> None:
    """The first of them is told."""
    assert control_operator(line) == operator


@pytest.mark.parametrize(
    "line",
    [
        "",
        "python a.py --flag value",
        "python -c 'a; b && c | d'",
        'python -c "a; b && c"',
        'python -c "\nimport ray\nray.init()\n"\n',
        "bash -c $'it\\'s; here'",
        "find . -exec ls {} \\;",
        "python a.py \\\n  --more",
        "python a.py > log 2>&1",
        "python a.py &> log",
        "python a.py >| log",
        "python a.py >& log",
        "echo $(date; hostname)",
        "echo `date; hostname`",
        'echo "$(echo "a;b")"',
        'echo "it\'s; fine"',
        "echo ${NAME:-a;b}",
        "echo $((1 + (2 | 3)))",
        "diff <(a; b) >(c; d)",
        'echo "<(a" ;'.removesuffix(" ;"),
    ],
)
def test_what_is_quoted_substituted_or_redirected_ends_nothing(line: str) -> None:
    """A line break at the end neither: the submitter cuts it off."""
    assert control_operator(line) == ""


@pytest.mark.parametrize("line", ["echo 'a; b", 'echo "a; b', "echo $(a; b", "echo `a; b", "a; echo ${b"])
def test_a_line_that_does_not_close_its_quotes_is_not_taken_apart(line: str) -> None:
    """A shell refuses it whole."""
    assert control_operator(line) == ""


def test_a_long_line_is_read_in_no_time() -> None:
    """Each character is looked at once: 200,000 of them, deeply nested, take no minute."""
    assert control_operator("$(" * 50_000 + ")" * 50_000 + "\\\\" * 50_000 + ";") == ";"
