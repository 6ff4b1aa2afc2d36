"""Where "host:port" and URLs lead to, for those who cannot look a name up: Ray's C++ (spec ray-side S10-12)."""

from __future__ import annotations

from localcluster.node.shared.hook.ports import LOOPBACKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from localcluster.node.shared.hook.pod import Pod

__all__ = ["gcs_target", "target"]


def target(pod: Pod, text: str) -> str:
    """The text, with an address for a name of ours and the real port. What is no target stays as it is.

    `localhost` stays, too, unless that port of this pod has moved: connections find their way by themselves.
    """
    return _replaced(pod, text, gcs=False)


def gcs_target(pod: Pod, text: str) -> str:
    """The same for the address of a GCS, which may be a URL of other things (ray://, http://) as well."""
    return _replaced(pod, text, gcs="://" not in text)


def _replaced(pod: Pod, text: str, *, gcs: bool) -> str:
    scheme, colons, rest = text.rpartition("://")
    place, slash, path = rest.partition("/")
    host, colon, number = place.rpartition(":")
    if not colon or not number.isdigit() or "@" in host or not host:
        return text
    local = host in LOOPBACKS
    address = pod.address if local else pod.names.first(host) or host
    port = pod.ports.gcs(address, int(number)) if gcs else pod.ports.real(address, int(number))
    if local and not gcs and port == int(number):
        return text
    return f"{scheme}{colons}{address}:{port}{slash}{path}"
