"""Waiting for something to become true of a cluster's objects: a watch, no polling.

`kubectl wait` sees one object and one field. What tests wait for is often true of several (a new worker beside the old
head), so kubectl's own watch is read here, and judged by a function.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from hack.e2e.cluster import Cluster

__all__ = ["NeverTrue", "noted", "until"]

Json = dict[str, Any]


class NeverTrue(AssertionError):
    """It did not become true in time; the message tells the objects as they were last seen."""


def until(
    cluster: Cluster,
    what: str,
    namespace: str,
    true: Callable[[Mapping[str, Json]], object],
    *,
    selector: str = "",
    seconds: float = 120,
) -> dict[str, Json]:
    """The objects by name, once `true` of them; an object that terminates counts until it is gone.

    `true` is asked after each change, at first after each object that is there already: it may see some of them only.
    Raises NeverTrue.
    """
    found: dict[str, Json] = {}
    with _watch(cluster, what, namespace, selector) as watch:
        alarm = threading.Timer(seconds, watch.kill)
        alarm.start()
        try:
            assert watch.stdout is not None
            for event in documents(watch.stdout):
                item = event["object"]
                if event["type"] == "DELETED":
                    found.pop(item["metadata"]["name"], None)
                else:
                    found[item["metadata"]["name"]] = item
                if true(found):
                    return found
        finally:
            alarm.cancel()
            watch.kill()
        said = watch.stderr.read() if watch.stderr else ""
    last = "\n".join(f"{name}: {json.dumps(item.get('status'))[:1500]}" for name, item in found.items())
    raise NeverTrue(f"waited {seconds:.0f} s in vain for {what} in {namespace}; {said}last seen:\n{last or 'none'}")


@contextmanager
def noted(cluster: Cluster, what: str, namespace: str, *, selector: str = "") -> Iterator[list[str]]:
    """The names of all objects that there are or come while the block lasts, in order; one that comes back, again."""
    names: list[str] = []

    def read(stream: IO[str]) -> None:
        names.extend(event["object"]["metadata"]["name"] for event in documents(stream) if event["type"] == "ADDED")

    with _watch(cluster, what, namespace, selector) as watch:
        assert watch.stdout is not None
        reader = threading.Thread(target=read, args=(watch.stdout,))
        reader.start()
        try:
            yield names
        finally:
            watch.kill()
            reader.join()


def _watch(cluster: Cluster, what: str, namespace: str, selector: str) -> subprocess.Popen[str]:
    command = [str(cluster.program), f"--kubeconfig={cluster.kubeconfig}", "get", what, f"--namespace={namespace}"]
    command += [f"--selector={selector}", "--watch", "--output-watch-events", "--output=json"]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def documents(stream: IO[str]) -> Iterator[Json]:
    """The JSON documents of a stream, each as soon as it is complete."""
    decoder, text = json.JSONDecoder(), ""
    for line in stream:
        text += line
        if line.startswith(("{", "}")) and line.rstrip().endswith("}"):  # indented, or a line of its own
            yield decoder.decode(text)
            text = ""
