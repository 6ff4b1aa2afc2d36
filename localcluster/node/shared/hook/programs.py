"""What `ray` and `serve` are told in a pod, and the addresses in its environment (spec ray-side §10.4's table).

The last of two equal flags wins (there, observed), so flags are appended: what the user said stays visible. A value
that Ray cannot read is left for Ray to refuse.
"""

from __future__ import annotations

import os
import sys

from localcluster.node.shared.hook.targets import gcs_target, target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from localcluster.node.shared.hook.pod import Pod

__all__ = ["arguments", "command_of", "patch"]

GCS_PORT = 6379
# A raylet listens on all addresses with these (S10-13): two pods that name the same number cannot both have it.
EVERYBODYS = ("--node-manager-port", "--object-manager-port", "--dashboard-agent-grpc-port", "--metrics-agent-port")
BEFORE_COMMANDS = ("--logging-level", "--logging-format")  # options of `ray` itself that take a word
# Each node would otherwise claim 30 % of the machine as object store, and all the rest as memory (S10-4).
SHARE_OF_MEMORY = 4  # a quarter of the machine for a pod without limit
SHARE_FOR_OBJECTS = 0.3  # of the pod's memory, as Ray takes it
OBJECTS_AT_LEAST = 80 * 2**20  # Ray refuses less than 75 MiB


def patch(pod: Pod) -> None:
    """At the start of an interpreter: its arguments if it is `ray` or `serve`, and its environment."""
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""  # noqa: PTH119
    if program in ("ray", "serve"):
        sys.argv[1:] = arguments(pod, program, sys.argv[1:])  # before the environment: a head's port is chosen here
    for name, value in os.environ.items():
        if name.endswith("_ADDRESS"):
            found = gcs_target(pod, value) if name == "RAY_ADDRESS" else target(pod, value)
            if found != value:
                os.environ[name] = found
    os.environ["RAY_TMPDIR"] = pod.temporary  # drivers and the command line look for the cluster there (S10-18)


def arguments(pod: Pod, program: str, given: Sequence[str]) -> list[str]:
    """What `ray` or `serve` should have been told."""
    command = command_of(given)
    words = _with_targets(pod, given)
    if program == "ray" and command == "start":
        return [*words, *_of_start(pod, words)]
    if program == "ray" and command == "kuberay-autoscaler":
        # Its default is the machine's address, and no variable is asked (S3-1).
        return [*words, f"--gcs-address={pod.address}:{pod.ports.own_gcs(GCS_PORT)}"]
    return words


def command_of(given: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of one of those that stand before commands."""
    words = iter(given)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in BEFORE_COMMANDS:
            next(words, "")
    return ""


def _with_targets(pod: Pod, given: Sequence[str]) -> list[str]:
    """Values of --address and its like; what comes after `--` is for somebody else."""
    words: list[str] = []
    is_value = False
    for number, word in enumerate(given):
        if word == "--":
            return [*words, *given[number:]]
        name, equals, value = word.partition("=")
        if is_value:
            words.append(gcs_target(pod, word))
        elif _names_an_address(name) and equals:
            words.append(f"{name}={gcs_target(pod, value)}")
        else:
            words.append(word)
        is_value = not is_value and not equals and _names_an_address(word)
    return words


def _names_an_address(option: str) -> bool:
    return option == "-a" or (option.startswith("--") and option.endswith("address"))


def _of_start(pod: Pod, words: Sequence[str]) -> list[str]:
    said = {word.partition("=")[0] for word in words}
    flags = [
        f"--node-ip-address={pod.address}",  # it would find the machine's
        f"--temp-dir={pod.temporary}/ray",  # a worker takes the head's from GCS otherwise (S10-2, S10-18)
        "--min-worker-port=0",  # every raylet would use 10002-19999
        "--max-worker-port=0",
        *(f"{name}=0" for name in EVERYBODYS if name in said),
    ]
    if "--worker-port-list" in said:
        flags.append("--worker-port-list=")
    if "--head" in said:
        port = _value(words, "--port") or str(GCS_PORT)
        # GCS listens on all addresses (S10-13), never on the number it is known by.
        flags += [f"--port={pod.ports.renewed_gcs(int(port))}"] if port.isdecimal() else []
        flags.append(f"--dashboard-host={pod.address}")
    if pod.cpus and "--num-cpus" not in said:
        flags.append(f"--num-cpus={max(1, round(pod.cpus))}")  # no cgroup tells Ray
    return [*flags, *_memory(pod, said, words)]


def _memory(pod: Pod, said: set[str], words: Sequence[str]) -> list[str]:
    given = _value(words, "--memory")
    memory = int(given) if given.isdecimal() else pod.memory or pod.machine // SHARE_OF_MEMORY
    flags = [] if given else [f"--memory={memory}"]
    if "--object-store-memory" not in said:
        flags.append(f"--object-store-memory={max(OBJECTS_AT_LEAST, int(memory * SHARE_FOR_OBJECTS))}")
    return flags


def _value(words: Sequence[str], option: str) -> str:
    """The last one of an option, written with `=` or as the next word."""
    found = ""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option:
            found = value if equals else (words[number + 1] if number + 1 < len(words) else "")
    return found
