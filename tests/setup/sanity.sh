#!/bin/sh
# Makes what `ansible-test sanity` checks with (pycodestyle, pylint, yamllint and others, in the versions that it names), so that
# the suite runs it without a network.
# usage: sanity.sh FOLDER
set -eu
folder=$(cd "$1" && pwd)
collections=$(cd "$(dirname "$0")/../../drivers/ansible" && pwd)
home="$folder/ansible-test"
stamp="$home/requirements.installed"
# Made anew where the packages are others, or what is to be checked.
wanted=$(cat "$folder/requirements.installed" "$0")
[ -f "$stamp" ] && [ "$wanted" = "$(cat "$stamp")" ] && exit 0
rm -rf "$home"
# It would fetch a script that installs pip; Python brings one. The name is the one that the pinned ansible-test looks for.
bin="$folder/venv/bin"
version=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
mkdir -p "$home/.ansible/test/cache" "$home/work"
printf 'import subprocess, sys\nsubprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade"])\n' \
  > "$home/.ansible/test/cache/get_pip_24_2.py"
cp -a "$collections/ansible_collections" "$home/work/"
cd "$home/work/ansible_collections/donjon/broker"
git init -q && git add --all --force
HOME="$home" LC_ALL=C.UTF-8 PATH="$bin:$PATH" "$bin/python" "$bin/ansible-test" sanity --prime-venvs --requirements --python "$version" \
  --test ansible-doc --test import --test pep8 --test pylint --test runtime-metadata --test validate-modules --test yamllint > "$home/log" 2>&1 ||
  { cat "$home/log" >&2; exit 1; }
cd /
rm -rf "$home/work"
printf '%s\n' "$wanted" > "$stamp"
