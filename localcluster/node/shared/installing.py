"""How the hook gets into a pod's interpreters, and the programs that stand in for curl and wget there.

By a `.pth` file in the site-packages of an environment that we made (images.py), which holds also for jobs that bring a
PYTHONPATH of their own (S10-19); and by a folder with a `sitecustomize` first in PYTHONPATH, for all others,
such as those that a job makes for itself. Who has both is hooked once.

Programs that are not Python do not see the cluster's names, and their localhost is the machine's. For those that people
use in probes and scripts there are stand-ins, first in PATH: they look at their arguments when they are called, and
become the real program. For wget, which a machine may lack, there is one of ours (../wget.py).
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from localcluster.node.shared.hook import FAILED, HOOK, POD
from localcluster.node.whole import written

__all__ = ["Tools", "hook_into", "tools_into"]

ROOT: Final = Path(__file__).parents[3]
PTH: Final = "00-manta-pod.pth"  # before others, which may import what we patch
STAND_INS: Final = ("curl", "nc", "redis-cli")  # if the machine has them; and wget
# `site` prints what goes wrong in a .pth file and goes on: then a pod would run as if it were the machine.
_ACTIVATE: Final = """\
import os, sys
try:
    root = os.environ[{hook!r}]
    sys.path.insert(0, root)
    try:
        from localcluster.node.shared.hook import activate
    finally:
        sys.path.remove(root)
    activate()
except Exception as error:
    version = ".".join(str(part) for part in sys.version_info[:3])
    sys.stderr.write("manta: no pod can have Python %s of %s: %r\\n" % (version, sys.executable, error))
    sys.stderr.flush()
    os._exit({failed})
"""
_SITECUSTOMIZE: Final = '''\
"""Manta's hook first, then whatever else is called so."""
import os
import sys

{activate}
_here = os.path.dirname(__file__)
sys.path = [path for path in sys.path if path != _here]
del sys.modules["sitecustomize"]
try:
    import sitecustomize
except ModuleNotFoundError as error:
    if error.name != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = sys.modules.get("sitecustomize") or type(sys)("sitecustomize")
finally:
    sys.path.insert(0, _here)
'''


def hook_into(environment: Path) -> None:
    """A virtual environment has the hook from now on; one that has it already is left as it is."""
    for packages in environment.glob("lib/python3.*/site-packages"):
        written(packages / PTH, _activation())


def _activation() -> str:
    """One line: of a .pth file each line is run by itself.

    It is the same for all checkouts, which use a user's environments at once: whose hook it is, the container says.
    """
    code = _ACTIVATE.format(hook=HOOK, failed=FAILED)
    return f"import os; {POD!r} in os.environ and exec({code!r}, {{}})\n"


class Tools:
    """What `tools_into` wrote below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def environment(self, given: Mapping[str, str], description: Path) -> dict[str, str]:
        """A container's variables, with all that makes its interpreters and stand-ins take part."""
        path = f"{self._folder / 'bin'}:{given.get('PATH', os.defpath)}"
        paths = [str(self._folder / "python"), *filter(None, [given.get("PYTHONPATH")])]
        return {**given, POD: str(description), HOOK: str(ROOT), "PATH": path, "PYTHONPATH": ":".join(paths)}

    def login(self, environment: Mapping[str, str]) -> str:
        """A `.bash_profile` for the container's home: /etc/profile of the machine sets PATH anew."""
        return f"export PATH={shlex.quote(environment['PATH'])}\n"


def tools_into(folder: Path) -> Tools:
    """Write `bin` and `python` below the folder, for the pods of one run."""
    for name in ("bin", "python"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    written(folder / "python" / "sitecustomize.py", _SITECUSTOMIZE.format(activate=_activation().rstrip()))
    python = getattr(sys, "_base_executable", sys.executable)
    stand_in = (
        f"#!{python} -IS\n"
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "from localcluster.node.shared.standin import main\nsys.exit(main(sys.argv))\n"
    )
    for name in ("wget", *(one for one in STAND_INS if shutil.which(one))):
        written(folder / "bin" / name, stand_in, 0o755)
    return Tools(folder)
