"""What makes a Python interpreter of a pod believe that it is alone on its address (spec ray-side §10.4, mechanism B).

A package for the standard library alone, Python 3.10 and later: it runs in the image's interpreters, not in ours. A
`.pth` line in the image's environment (and a `sitecustomize` for environments that are not ours, see installing.py)
calls `activate()` at the start of each interpreter; outside of a pod, that is without MANTA_POD in the environment,
nothing is imported. It costs every interpreter some milliseconds, so modules come in when they are needed: dataclasses
and typing never, what is known of Ray only with Ray.

    pod.py         the container's description
    names.py       names of services and pods; short ones by the pod's namespace
    ports.py       where a pod's port really is; who listens; a port for a GCS
    mounts.py      mount paths lead to the files behind them
    sockets.py     bind, connect and name lookup of `socket`
    targets.py     "host:port" and URLs in texts
    programs.py    sys.argv of `ray` and `serve`, *_ADDRESS in the environment
    later.py       patches for modules that may never be imported
    ray.py         what is changed in Ray, gRPC and psutil
    children.py    mount paths and names in what `subprocess` starts

What it reads, all JSON:

    $MANTA_POD            the container's description, written once, before it starts:
        address           the pod's, "127.71.0.5"
        hostname
        namespace         for short names of services
        folder            the pod's folder
        temporary         a folder of the pod with a path of at most 39 characters: Ray's own files are in `ray` below
                          it (S10-18: sockets below a longer path fail); `folder` without one
        table             path of the cluster's table of names, see below
        ports             folder of moved ports: a file "ADDRESS-PORT" holds the number at which that port really is
        mounts            [[mountPath, folder or file on the machine, read only], ...], longest first
        memory, cpus      limits, in bytes and cores, 0 without one
        machine           the memory that all pods share, in bytes
    $MANTA_HOOK           the folder in which this package is: the environments of a user are used by all his checkouts
    the table             replaced as a whole whenever it changes: {"name": ["127.71.128.9", ...], ...}

Only GCS's port of a head moves, because GCS listens on every address (S10-13). Whoever in the head's pod needs it first
takes a free port and writes the file; a file that is not there means that nobody listens.

Whoever starts a container gives it the environment that installing.py's `Tools.environment` completes, changes its
command and its exec probes by texts.py's `Surroundings`, and starts it in a folder of the machine.

A pod without its description must not run as if it were the machine: the interpreter says so in one line and ends with
exit code 125, as container runtimes end when it is they who failed.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from localcluster.node.shared.hook.pod import Pod

__all__ = ["FAILED", "HOOK", "POD", "activate"]

POD = "MANTA_POD"
HOOK = "MANTA_HOOK"
FAILED = 125

_active = False


def activate() -> None:
    """Take effect in this interpreter. Without POD in the environment, and the second time, it does nothing."""
    global _active  # noqa: PLW0603 - an interpreter has one
    if _active or POD not in os.environ:
        return
    _active = True
    try:
        from localcluster.node.shared.hook.pod import described

        pod = described(os.environ[POD])
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"manta: this pod's description {os.environ[POD]} cannot be read: {error!r}\n")
        sys.stderr.flush()
        os._exit(FAILED)  # `site` would print an exception of ours and go on
    _take_effect(pod)


def _take_effect(pod: Pod) -> None:
    from localcluster.node.shared.hook import children, later, mounts, programs, sockets

    mounts.patch(pod)
    mounts.run_the_real_script(pod)
    programs.patch(pod)
    patches = {"socket": sockets.patch, "ssl": mounts.patch_ssl, "subprocess": children.patch}
    later.when_imported(pod, patches)
