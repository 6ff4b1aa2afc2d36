"""The `wget` of images on a machine that has none: what probes and small scripts use of it.

    wget [--tries=N|--tries N|-t N] [-T SECONDS] [-q] [-O FILE|-O-] URL

One file that needs the standard library only; its first line is written when it is put on PATH.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

NETWORK_FAILED = 4  # wget's own exit codes
SERVER_REFUSED = 8
USAGE = 2
_WITH_VALUE = {"--tries": "tries", "-t": "tries", "-T": "timeout", "--timeout": "timeout", "-O": "output"}
_WITH_VALUE |= {"--output-document": "output"}


def main(arguments: Sequence[str]) -> int:
    """Fetch one address; the exit code is wget's."""
    try:
        said, urls = parse(arguments)
        [url] = urls
        tries, timeout = int(said.get("tries", "1")), float(said.get("timeout", "900"))
    except ValueError as error:
        sys.stderr.write(f"wget: {error}\n")
        return USAGE
    code = NETWORK_FAILED
    for _ in range(max(1, tries)):
        code = _fetch(url, timeout, said)
        if code != NETWORK_FAILED:
            break
    return code


def parse(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options by meaning, and what is no option. Raises ValueError for an unknown one."""
    said: dict[str, str] = {}
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-q", "--quiet", "-nv", "--spider"):
            said[word.lstrip("-")[:1]] = "yes"
        elif not word.startswith("-") or word == "-":
            rest.append(word)
        elif equals and name in _WITH_VALUE:
            said[_WITH_VALUE[name]] = value
        elif word in _WITH_VALUE and left:
            said[_WITH_VALUE[word]] = left.pop(0)
        elif word[:2] in _WITH_VALUE and len(word) > 2 and word[1] != "-":
            said[_WITH_VALUE[word[:2]]] = word[2:]
        elif word.startswith("-q") and len(word) > 2 and word[1] != "-":
            said["q"] = "yes"
            left.insert(0, f"-{word[2:]}")
        else:
            raise ValueError(f"unknown option {word}")
    if len(rest) != 1:
        raise ValueError("exactly one address is needed")
    return said, rest


def _fetch(url: str, timeout: float, said: dict[str, str]) -> int:
    address = url if "://" in url else f"http://{url}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=timeout) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        _complain(said, f"server returned error: HTTP/1.1 {error.code} {error.reason}")
        return SERVER_REFUSED
    except (OSError, ValueError) as error:
        _complain(said, f"cannot connect to {address}: {error}")
        return NETWORK_FAILED
    output = said.get("output") or address.rstrip("/").rpartition("/")[2] or "index.html"
    if output == "-":
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    else:
        Path(output).write_bytes(body)
    return 0


def _complain(said: dict[str, str], problem: str) -> None:
    if "q" not in said:
        sys.stderr.write(f"wget: {problem}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
