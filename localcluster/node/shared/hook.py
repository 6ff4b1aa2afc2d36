"""What makes a Python interpreter of a pod believe that it is alone on its address (spec ray-side §10.4, mechanism B).

One file for the standard library alone, Python 3.10 and later: it runs in the image's interpreters, not in ours. A
`.pth` line in the image's environment (and a `sitecustomize` for environments that are not ours) calls `activate()` at
the start of each interpreter; outside of a pod, that is without MANTA_POD in the environment, nothing is imported.

What it reads, all JSON:

    $MANTA_POD            the container's description, written once, before it starts:
        address           the pod's, "127.71.0.5"
        hostname
        namespace         for short names of services
        folder            the pod's folder; its own temporary files of Ray are below
        table             path of the cluster's table of names, see below
        ports             folder of moved ports: a file "ADDRESS-PORT" holds the number at which that port really is
        mounts            [[mountPath, folder or file on the machine, read only], ...], longest first
        memory, cpus      limits, in bytes and cores, 0 without one
    the table             replaced as a whole whenever it changes: {"name": ["127.71.128.9", ...], ...}

Only GCS's port of a head moves, because GCS listens on every address (S10-13). Whoever starts a head takes a free port
and writes the file; a file that is not there means that nobody listens.
"""

from __future__ import annotations

__all__ = ["POD", "activate"]

POD = "MANTA_POD"


def activate() -> None:
    """Take effect in this interpreter. Called once; without POD in the environment it does nothing."""
    raise NotImplementedError
