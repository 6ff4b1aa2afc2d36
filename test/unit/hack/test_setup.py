"""hack/setup.sh: whoever has told pip where packages are, and whom to trust, has told uv as well."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from localcluster.node.imagemaking import HANDED_ON

ROOT = Path(__file__).parents[3]
CONFIGURED = """\
:env:.index-url='https://mirror.example.com/simple'
:env:.timeout='3'
global.cert='/etc/company.pem'
global.index-url='https://elsewhere.example.com/simple'
global.proxy='proxy.example.com:3128'
install.trusted-host='mirror.example.com'
"""
# An interpreter that knows what the script asks, and no more; the uv of the environment that it makes notes its own.
PYTHON = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
case "$*" in
  "-m venv "*)
    mkdir -p "$3/bin"
    ln -s "$(readlink -f "$0")" "$3/bin/python"
    printf '#!/bin/sh\\nenv >"%s/seen"\\n' "$here" >"$3/bin/uv"
    chmod +x "$3/bin/uv" ;;
  *"-m pip config list"*) cat "$here/configured" ;;
esac
"""


def settings_of_uv(folder: Path, configured: str, **environment: str) -> dict[str, str]:
    """The environment in which the script starts uv, where pip says that it is configured so."""
    python = folder / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (folder / "configured").write_text(configured)

    subprocess.run(
        [ROOT / "hack" / "setup.sh", python, folder / "venv"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        check=True,
        capture_output=True,
        timeout=30,
    )
    return dict(line.split("=", 1) for line in (folder / "seen").read_text().splitlines())


def test_pips_settings_are_handed_on_to_uv(tmp_path: Path) -> None:
    """Its own variables come before its files, as with pip itself; an index without its certificate is no use."""
    seen = settings_of_uv(tmp_path, CONFIGURED)

    assert seen["UV_DEFAULT_INDEX"] == "https://mirror.example.com/simple"
    assert seen["SSL_CERT_FILE"] == "/etc/company.pem"
    assert seen["ALL_PROXY"] == "proxy.example.com:3128"
    assert seen["UV_INSECURE_HOST"] == "mirror.example.com"


def test_what_the_user_set_for_uv_itself_stays(tmp_path: Path) -> None:
    """Under its newer or its older name."""
    seen = settings_of_uv(tmp_path, CONFIGURED, UV_INDEX_URL="own", SSL_CERT_FILE="/own.pem")

    assert seen["UV_INDEX_URL"] == "own"
    assert "UV_DEFAULT_INDEX" not in seen
    assert seen["SSL_CERT_FILE"] == "/own.pem"


def test_where_nothing_is_configured_uv_has_its_own_way(tmp_path: Path) -> None:
    """An empty variable would be a setting, too."""
    seen = settings_of_uv(tmp_path, "")

    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INSECURE_HOST", "SSL_CERT_FILE"} & set(seen)


def test_an_environment_of_an_image_is_handed_the_same_settings() -> None:
    """It is made by uv as well, later and by Python, which the set-up has not got yet."""
    script = (ROOT / "hack" / "setup.sh").read_text()

    assert dict(re.findall(r"\bhand_on ([a-z-]+) ([A-Z_]+)$", script, re.MULTILINE)) == HANDED_ON
