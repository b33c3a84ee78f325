#!/bin/sh
# Makes the folder of real parts from PyPI, pinned by hashes: OpenBao, Ansible, kolla-ansible, tripleo-common, castellan, Keystone.
# usage: tools.sh FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
stamp="$folder/requirements.installed"
cmp -s "$here/requirements.txt" "$stamp" && exit 0
mkdir -p "$folder"
rm -rf "$folder/venv"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
