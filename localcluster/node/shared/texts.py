"""Pure: names, `localhost` and mount paths in what programs are told that are not Python (curl, bash scripts).

Python finds its way by the hook, and `curl` and `wget` by the stand-ins of installing.py, each time anew. All other
programs see the machine, so what a pod says to them is changed before. Whole words alone, never a part of one:

    mount path          /mnt/code/run.sh     -> the file behind it; in command, arguments, environment and probes
    own address         localhost:9000       -> 127.71.0.5:9000; also 127.0.0.1, always with a port
    service             redis:6379, http://redis.ns/x  -> its address; only with a port or in a URL

Not touched: names and `localhost` in a line that runs ray, serve or python; `--host 127.0.0.1 --port 9000` and
names on their own; a path within a longer word (-I/mnt); texts that a script reads from elsewhere. Names that lead to
pods (headless services) are replaced only in what ends soon (probes, stand-ins): a pod that is replaced has another
address, and a script that runs on would hold the old one.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from localcluster.node.shared.hook.pod import Pod

    Find = Callable[[str], "str | None"]
    Mounts = Sequence[tuple[str, str]]  # mount path and what is behind it, longest first

__all__ = ["Surroundings", "surroundings", "with_real_paths"]

_PYTHON = re.compile(r"(?<![\w.-])(?:ray|serve|python[\d.]*)(?![\w./-])")
_PIECES = re.compile(r"([;\n|&]+)")
_PORT = r"(?=:\d{2,5}(?![\w.]))"
_LOCAL = re.compile(rf"(?<![\w.:-])(?:localhost|127\.0\.0\.1){_PORT}")
_NAMED = re.compile(
    rf"(?<![\w./:@-])[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?{_PORT}|(?<=://)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?![\w.@-])"
)
_BEFORE, _AFTER = r"(?<![\w./-])", r"(?=[/\s\"';:,)}&|<>`]|$)"
_OF_RAY = ("RAY_", "FQ_RAY_", "KUBERAY_")  # Python reads them, when it starts


def with_real_paths(text: str, mounts: Mounts) -> str:
    """The text with each path below a mount replaced by that of the machine."""
    for target, real in mounts:
        if target in text:
            text = re.sub(_BEFORE + re.escape(target) + _AFTER, lambda _, real=real: real, text)  # type: ignore[misc]
    return text


class Surroundings:
    """What a container's texts speak of. `find`: the address of a name of ours. `lasting`: an address that stays."""

    def __init__(
        self, address: str, mounts: Mounts, find: Find, lasting: Callable[[str], bool] = lambda address: False
    ) -> None:
        self._address, self._mounts = address, mounts
        self._find, self._lasting = find, lasting

    def command(self, words: Iterable[str]) -> list[str]:
        """A command that may run for long."""
        return self._words(list(words), self._find_lasting)

    def probe(self, words: Iterable[str]) -> list[str]:
        """A command that ends soon: an exec probe, a stand-in's arguments."""
        return self._words(list(words), self._find)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """A container's variables. Those that Ray reads stay: the hook completes them when Python starts."""
        return {
            name: value if name.startswith(_OF_RAY) else self._text(value, self._find_lasting)
            for name, value in given.items()
        }

    def _find_lasting(self, name: str) -> str | None:
        found = self._find(name)
        return found if found is not None and self._lasting(found) else None

    def _words(self, words: list[str], find: Find) -> list[str]:
        if words and _PYTHON.fullmatch(words[0].rpartition("/")[2]):
            return [with_real_paths(word, self._mounts) for word in words]
        return [self._text(word, find) for word in words]

    def _text(self, text: str, find: Find) -> str:
        pieces = _PIECES.split(with_real_paths(text, self._mounts))
        return "".join(one if _PYTHON.search(one) else self._piece(one, find) for one in pieces)

    def _piece(self, text: str, find: Find) -> str:
        text = _LOCAL.sub(self._address, text)
        return _NAMED.sub(lambda found: find(found[0]) or found[0], text)


def surroundings(pod: Pod) -> Surroundings:
    """Of a container with that description. Addresses of services stay, those of pods do not."""
    return Surroundings(pod.address, pod.mounts, pod.names.first, lambda address: not pod.ports.is_pod(address))
