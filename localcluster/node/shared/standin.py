"""What stands in for curl, wget and their like in a pod: it says to the real program where names and localhost lead.

Called by the scripts that installing.py writes. `localhost:P` is the pod's own address, a name of the cluster its
address at this moment, a mount path the file behind it (spec ray-side §10.4, "exec probe"). A name on its own is one,
too (`redis-cli -h redis`), and `localhost` if the pod listens at a port that is said beside it (`nc localhost 8265`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from localcluster.node.shared.hook import FAILED, POD
from localcluster.node.shared.hook.pod import Pod, described
from localcluster.node.shared.hook.ports import LOOPBACKS, listens
from localcluster.node.shared.texts import surroundings

__all__ = ["arguments", "main"]

NOT_FOUND = 127


def main(given: Sequence[str]) -> int:
    """Become the real program; wget, if there is none, is ours."""
    name, said = os.path.basename(given[0]), list(given[1:])  # noqa: PTH119
    if POD in os.environ:
        try:
            said = arguments(described(os.environ[POD]), said)
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write(f"{name}: this pod's description {os.environ[POD]} cannot be read: {error!r}\n")
            return FAILED
    real = _real(name, given[0])
    if real is not None:
        os.execv(real, [name, *said])  # noqa: S606
    if name == "wget":
        from localcluster.node.wget import main as wget

        return wget(said)
    sys.stderr.write(f"{name}: not found on this machine\n")
    return NOT_FOUND


def arguments(pod: Pod, given: Sequence[str]) -> list[str]:
    """The same, as the machine must be asked."""
    words = surroundings(pod).probe(given)
    own = any(listens(pod.address, int(word)) for word in words if word.isdecimal())
    return [pod.address if own and word in LOOPBACKS else pod.names.first(word) or word for word in words]


def _real(name: str, called: str) -> str | None:
    """The program of that name that is no stand-in."""
    own = os.path.dirname(os.path.abspath(called))  # noqa: PTH100, PTH120
    places = [one for one in os.environ.get("PATH", os.defpath).split(":") if os.path.abspath(one or ".") != own]  # noqa: PTH100
    return shutil.which(name, path=":".join(places))
