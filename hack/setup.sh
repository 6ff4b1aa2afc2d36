#!/bin/sh
# Makes the virtual environment: pinned and hashed packages, and this project in it, editable.
# usage: hack/setup.sh PYTHON VENV
set -eu
python=$1 venv=$2
cd "$(dirname "$0")/.."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "manta needs Python 3.11 or newer; $("$python" --version 2>&1) is too old. Name another one: make PYTHON=/path/to/python3.12" >&2
  exit 2
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "$python has no venv module (on Debian and Ubuntu: apt-get install python3-venv)" >&2
  exit 2
fi
echo "setting up $venv, once: pinned packages of Python" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# uv comes from the same pinned and hashed file as everything else.
uv=$(sed -n '/^uv==/,/^[^ ]/p' requirements/dev.txt | sed '1n; /^[^ ]/d')
printf '%s\n' "$uv" >"$venv/uv.txt"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$venv/uv.txt"
# uv does not read pip's configuration: hand on where pip looks, and whom it trusts.
configured=$("$venv/bin/python" -m pip config list 2>/dev/null || true) # its variables first, then its files
hand_on() { # PIP'S-SETTING UV'S-VARIABLE
  value=$(printf '%s\n' "$configured" | sed -n -E "s/^(:env:|global|install)\\.$1='(.*)'\$/\\2/p" | head -n 1)
  [ -z "$value" ] || [ -n "$(printenv "$2")" ] || export "$2=$value"
}
[ -n "${UV_INDEX_URL:-}" ] || hand_on index-url UV_DEFAULT_INDEX
[ -n "${UV_EXTRA_INDEX_URL:-}" ] || hand_on extra-index-url UV_INDEX
hand_on find-links UV_FIND_LINKS
hand_on trusted-host UV_INSECURE_HOST
hand_on cert SSL_CERT_FILE
hand_on proxy ALL_PROXY
"$venv/bin/uv" pip install -q --python "$venv/bin/python" --require-hashes -r requirements/dev.txt
"$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps --no-build-isolation --offline -e .
