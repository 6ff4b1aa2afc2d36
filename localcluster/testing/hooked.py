"""Pods of a shared machine without a cluster: interpreters with the hook, each told its own description.

The interpreter is the one that runs the tests, or HOOK_PYTHON: images bring others, from 3.10 on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster.node.shared.hook.pod import Pod
from localcluster.node.shared.installing import Tools, tools_into
from localcluster.testing.block import own_block

__all__ = ["PYTHON", "HookedPod", "Neighbours", "answering"]

PYTHON = os.environ.get("HOOK_PYTHON") or sys.executable


@dataclass(frozen=True, slots=True)
class HookedPod:
    """A description, and what runs by it."""

    address: str
    file: Path
    tools: Tools
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def pod(self) -> Pod:
        """As the hook reads it."""
        return Pod(json.loads(self.file.read_text()))

    def variables(self) -> dict[str, str]:
        """Of its processes."""
        return self.tools.environment({"PATH": os.environ["PATH"], **self.environment}, self.file)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program in it, until its end."""
        return subprocess.run(command, env=self.variables(), capture_output=True, text=True, check=False, timeout=30)

    def python(self, code: str) -> str:
        """What that prints. Raises AssertionError when it fails."""
        ended = self.run(PYTHON, "-c", code)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    @contextmanager
    def running(self, code: str) -> Iterator[subprocess.Popen[str]]:
        """Python code that has written its first line; it ends with the block."""
        process = subprocess.Popen(
            [PYTHON, "-u", "-c", code],
            env=self.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline(), "the program ended before it was ready"
                yield process
            finally:
                process.kill()


class Neighbours:
    """Pods on addresses of their own, in one cluster; two clusters at a time would have the same ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.block = f"127.{own_block()}"
        self.tools = tools_into(folder / "tools")
        (folder / "ports").mkdir()
        self.names({})

    def names(self, table: Mapping[str, list[str]]) -> None:
        """The table, replaced as a whole."""
        unfinished = self.folder / "unfinished"
        unfinished.write_text(json.dumps(table))
        unfinished.replace(self.folder / "names.json")

    def moved(self, address: str, port: int, to: int) -> None:
        """That port of that pod is at another number."""
        (self.folder / "ports" / f"{address}-{port}").write_text(str(to))

    def pod(self, name: str, number: int, environment: Mapping[str, str] | None = None, **described: Any) -> HookedPod:
        """A pod of that name, at the number-th address."""
        folder = self.folder / name
        folder.mkdir()
        address = f"{self.block}.{number >> 8}.{number & 255}"
        told = {
            "address": address,
            "hostname": name,
            "namespace": "ns",
            "folder": str(folder),
            "table": str(self.folder / "names.json"),
            "ports": str(self.folder / "ports"),
            "mounts": [],
            "memory": 0,
            "cpus": 0,
            "machine": 16 * 2**30,
        }
        (folder / "pod.json").write_text(json.dumps(told | described))
        return HookedPod(address, folder / "pod.json", self.tools, environment or {})


def answering(text: str, port: int) -> str:
    """A program, for `HookedPod.running`: a server for HTTP that answers with that text, whatever it is asked."""
    return f"""
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write({text.encode()!r})
    def log_message(self, *given):
        return
server = http.server.HTTPServer(("0.0.0.0", {port}), Answer)
print("ready")
server.serve_forever()
"""
