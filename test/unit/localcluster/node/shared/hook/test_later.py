"""Each module of Ray's that the hook knows is changed when it comes, whatever is imported before it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from localcluster.node.shared.hook import later
from localcluster.testing.hooked import HookedPod, Neighbours

SERVING = """
    def add_insecure_port(self, address):
        self.place = address
        return 5
    def add_secure_port(self, address, how):
        self.place = address
        return 5
"""
# Modules of those names, with what is changed in them; each answers what it was told.
MODULES = {
    "ray/__init__.py": "",
    "ray/_private/__init__.py": "",
    "ray/_private/services.py": """
def canonicalize_bootstrap_address(addr=None, temp_dir=None):
    return addr
def canonicalize_bootstrap_address_or_die(addr=None, temp_dir=None):
    return addr
def node_ip_address_from_perspective(address=None):
    return "the machine's"
""",
    "ray/_private/utils.py": "def internal_kv_get_with_retry(gcs, key, namespace): return b'the head\\'s'",
    "psutil.py": """
class Init:
    pid = 1
def process_iter():
    return iter([Init])
process_iter.cache_clear = lambda: "cleared"
""",
    "grpc/__init__.py": "def insecure_channel(to): return to\ndef secure_channel(to, how): return to",
    "grpc/aio/__init__.py": "def insecure_channel(to): return to\ndef secure_channel(to, how): return to",
    "grpc/_server.py": f"class _Server:{SERVING}",
    "grpc/aio/_server.py": f"class Server:{SERVING}",
}


@pytest.fixture
def pod(tmp_path: Path) -> HookedPod:
    """With those modules, and the name `head` for another pod."""
    for name, content in MODULES.items():
        file = tmp_path / "modules" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    cluster = Neighbours(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
    return cluster.pod("one", 5, {"PYTHONPATH": str(tmp_path / "modules")})


def head_of(pod: HookedPod) -> str:
    return pod.address.rpartition(".")[0] + ".7"


@pytest.mark.spec("ray-side:S10-12")
def test_rays_own_modules_are_changed(pod: HookedPod) -> None:
    """Addresses, this node's, and the folder of a node that starts."""
    said = pod.python("""
import sys
from ray._private.services import *
from ray._private.utils import internal_kv_get_with_retry
print(canonicalize_bootstrap_address("ray://head:10001"), canonicalize_bootstrap_address_or_die("ray://head:10001"))
print(node_ip_address_from_perspective())
sys.argv = ["/bin/ray", "start"]
print(internal_kv_get_with_retry(None, b"temp_dir", None).decode())
""")

    at_head = f"ray://{head_of(pod)}:10001"
    assert said.split() == [at_head, at_head, pod.address, f"{pod.pod.temporary}/ray"]


def test_channels_and_servers_of_grpc_are_changed_of_both_kinds_with_and_without_a_secret(pod: HookedPod) -> None:
    """Serve and Ray's clients use either kind."""
    said = pod.python("""
import grpc, grpc.aio, grpc._server, grpc.aio._server
for module in (grpc, grpc.aio):
    print(module.insecure_channel("head:5"), module.secure_channel("head:5", None))
for kind in (grpc._server._Server, grpc.aio._server.Server):
    one, other = kind(), kind()
    one.add_insecure_port("0.0.0.0:5")
    other.add_secure_port("[::]:5", None)
    print(one.place, other.place)
""")

    assert said.splitlines() == [" ".join([f"{head_of(pod)}:5"] * 2)] * 2 + [" ".join([f"{pod.address}:5"] * 2)] * 2


def test_what_hangs_on_a_function_that_is_changed_stays_there(pod: HookedPod) -> None:
    """psutil's `process_iter.cache_clear`. The machine's first process is none that `ray stop` may see."""
    said = "import psutil; print(list(psutil.process_iter()), psutil.process_iter.cache_clear())"

    assert pod.python(said) == "[] cleared"


def test_a_release_without_some_function_is_left_without_it(pod: HookedPod, tmp_path: Path) -> None:
    """A name that leads nowhere would be found by who looks for it."""
    (tmp_path / "modules" / "grpc" / "__init__.py").write_text("def secure_channel(to, how): return to")

    assert pod.python("import grpc; print(hasattr(grpc, 'insecure_channel'))") == "False"


def test_what_was_imported_before_the_hook_is_changed_at_once(pod: HookedPod, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once: what another .pth file needs is there already."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    changed: list[tuple[Any, ModuleType]] = []
    described = pod.pod

    later.when_imported(described, {"json": lambda one, module: changed.append((one, module))})

    assert changed == [(described, sys.modules["json"])]


def test_the_hook_takes_effect_once_however_often_it_is_called(pod: HookedPod) -> None:
    """By a .pth file and by a sitecustomize: twice the look-ups, and a port given away twice."""
    said = pod.python("""
import socket, sys
bind = socket.socket.bind
sys.modules["localcluster.node.shared.hook"].activate()
print(sum(type(one).__name__ == "_Finder" for one in sys.meta_path), socket.socket.bind is bind)
""")

    assert said == "1 True"
