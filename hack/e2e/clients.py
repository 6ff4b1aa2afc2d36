"""A client in a pod that asks a URL ten times a second, and what it heard: the program asker.py on a node."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hack.e2e.asker import Answer, Heard
from hack.e2e.cluster import Cluster
from hack.e2e.workloads import RAY_IMAGE

__all__ = ["Client", "a_client"]

Json = dict[str, Any]
NAME = "asker"
PROGRAM = Path(__file__).with_name("asker.py")
PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class Client(Heard):
    """What it heard so far, as its log tells."""

    _news: threading.Condition = field(default_factory=threading.Condition)

    def read(self, log: IO[str]) -> None:
        """To its end."""
        for line in log:
            with self._news:
                self.answers.append(Answer(**json.loads(line)))
                self._news.notify_all()

    def until(self, true: Callable[[str], object]) -> str:
        """The first good answer to come that is like that. Raises AssertionError."""
        seen = len(self.answers)

        def found() -> str | None:
            return next((one.said for one in self.answers[seen:] if one.good and true(one.said)), None)

        with self._news:
            said = self._news.wait_for(found, PATIENCE_SECONDS)
        assert said is not None, f"nothing such was heard in {self.told}; the last were {self.answers[-5:]}"
        return said


@contextmanager
def a_client(cluster: Cluster, namespace: str, url: str) -> Iterator[Client]:
    """A pod of the namespace asks the URL while the block is open; afterwards all of its log was read."""
    here = f"--namespace={namespace}"
    cluster.apply(*_objects(namespace, url))
    cluster.wait("condition=Ready", f"pod/{NAME}", here, seconds=120)
    command = [str(cluster.program), f"--kubeconfig={cluster.kubeconfig}", "logs", "--follow", f"pod/{NAME}", here]
    client = Client()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as log:
        assert log.stdout is not None
        reader = threading.Thread(target=client.read, args=(log.stdout,))
        reader.start()
        try:
            yield client
        finally:
            cluster.kubectl("delete", f"pod/{NAME}", here)
            reader.join()


def _objects(namespace: str, url: str) -> list[Json]:
    metadata = {"name": NAME, "namespace": namespace}
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {PROGRAM.name: PROGRAM.read_text()},
    }
    container = {
        "name": NAME,
        "image": RAY_IMAGE,  # which has a Python with aiohttp
        "command": ["python", f"/asker/{PROGRAM.name}", url],
        "volumeMounts": [{"name": "program", "mountPath": "/asker"}],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 15,  # for the answers that are on their way
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": NAME}}],
    }
    return [script, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}]
