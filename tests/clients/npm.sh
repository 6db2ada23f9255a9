#!/bin/sh
# Installs what a package.json names into a folder, by the npm that comes with a Node, so that packages are chosen for that Node.
#
#   tests/clients/npm.sh NODE PACKAGE_JSON FOLDER
set -eu
bin=$(dirname "$(readlink -f "${1:?usage: npm.sh NODE PACKAGE_JSON FOLDER}")")
mkdir -p "$3"
cp "$2" "$3/package.json"
PATH="$bin:$PATH" "$bin/node" "$bin/../lib/node_modules/npm/bin/npm-cli.js" --prefix "$3" install --no-audit --no-fund --no-progress --loglevel=error
