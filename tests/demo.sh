#!/usr/bin/env bash
# Donjon's main job on real servers, step by step: OpenBao, MariaDB, Ansible, castellan.
# Everything lives in one temporary folder and ends with this script. Run by `make demo`.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
tools=${DONJON_TEST_TOOLS:-$here/target/tools}
venv=$tools/venv/bin
work=$(mktemp -d /tmp/donjon-demo.XXXXXX)
chmod 711 "$work"
export DONJON_HOME=$work/home DONJON_VAULT_BIN=$venv/bao PATH="$here/target/release:$venv:/usr/sbin:/usr/bin:/sbin:/bin"
unset VAULT_ADDR BAO_ADDR VAULT_TOKEN BAO_TOKEN DONJON_CONFIG DONJON_SOCKET
mkdir -m 700 "$DONJON_HOME"
pids=()
cleanup() {
    donjon down --force --no-search >/dev/null 2>&1 || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m'); plain=$(printf '\033[0m'); else bold=; plain=; fi
step() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
proves() { printf '   proves: %s\n' "$1"; }
run() { printf '   $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/     /'; }
fails() { # exit code, then the command: it must end with that code
    local want=$1 got=0; shift
    printf '   $ %s\n' "$*"; "$@" >"$work/out" 2>&1 || got=$?
    sed 's/^/     /' "$work/out"
    [ "$got" = "$want" ] || { echo "   ended with $got instead of $want"; exit 1; }
    echo "     (exit $got, as it should)"
}
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

step "A MariaDB with a root password that everybody knows"
db=$work/db; mkdir -m 711 "$db"; dbport=$(port); old=the-old-root-password
mariadb-install-db --no-defaults --datadir="$db/data" --auth-root-authentication-method=normal --user="$(id -un)" >/dev/null 2>&1
mariadbd --no-defaults --user="$(id -un)" --datadir="$db/data" --tmpdir="$db" --socket="$db/socket" --port="$dbport" --bind-address=127.0.0.1 \
    --general-log=1 --general-log-file="$db/general.log" >"$db/log" 2>&1 &
pids+=($!)
for _ in $(seq 200); do mariadb-admin --no-defaults -S "$db/socket" -uroot ping >/dev/null 2>&1 && break; sleep 0.1; done
hash="*$(printf %s "$old" | "$venv/python3" -c 'import hashlib,sys; print(hashlib.sha1(hashlib.sha1(sys.stdin.buffer.read()).digest()).hexdigest().upper())')"
mariadb --no-defaults -S "$db/socket" -uroot <<SQL
DELETE FROM mysql.global_priv WHERE User='' OR (User='root' AND Host NOT IN ('localhost'));
FLUSH PRIVILEGES;
CREATE USER root@'%' IDENTIFIED BY PASSWORD '$hash'; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
ALTER USER root@localhost IDENTIFIED BY PASSWORD '$hash';
SQL
login() { MYSQL_PWD=$1 mariadb --no-defaults -h127.0.0.1 -P"$dbport" -uroot -N -e "select 'in'" >/dev/null 2>&1; }
login "$old" && echo "   the old password logs in"

step "2. A temporary Vault"
cat > "$DONJON_HOME/donjon.yaml" <<YAML
deployment: demo
targets:
  mariadb: {driver: mariadb, nodes: [{name: db1, address: 127.0.0.1, port: $dbport, socket: $db/socket}]}
views:
  keystone.database.connection: "mysql+pymysql://root:{database_password:url}@127.0.0.1:$dbport/mysql"
roles:
  keystone: {reads: [keystone.database.connection]}
sites:
  edge1: {roles: [keystone], recipients: []}
YAML
run donjon up
run donjon status
proves "initialised, unsealed and ready; the root token is revoked, every key on disk is encrypted but the host identity (0600)"

step "4. Every secret of kolla-ansible"
printf %s "$old" | donjon put database_password
time (donjon generate --catalogue kolla-ansible >/dev/null 2>&1)
run donjon generate --catalogue kolla-ansible --output json
proves "a second run makes nothing: what is there stays"

step "5. get, list, history"
run sh -c 'donjon list | head -5'
run sh -c 'donjon get keystone_database_password | wc -c'
run donjon history database_password

step "6. References instead of values, run by the real ansible-playbook"
site=$work/site; mkdir -p "$site"
run donjon wire kolla -o "$site/passwords.yml"
run sh -c "grep -A2 -E '^(database_password|kolla_ssh_key)' $site/passwords.yml"
cat > "$site/site.yml" <<YAML
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: [passwords.yml]
  tasks:
    - ansible.builtin.copy: {content: "[client]\nuser=root\npassword={{ database_password }}\n", dest: "$work/sink.cnf", mode: "0600"}
    - ansible.builtin.debug: {msg: "the password is {{ database_password }}"}
YAML
(cd "$site" && run env ANSIBLE_LOCALHOST_WARNING=false donjon run --deploy -- ansible-playbook --diff site.yml)
grep -q "password=$old" "$work/sink.cnf" && echo "   the rendered file has the value; the output above does not"

step "9. scan: where values lie about"
fails 7 donjon scan "$work/sink.cnf"
run donjon scan "$site"
proves "the file that holds a value is found, the site directory with its references is clean"
rm "$work/sink.cnf"

step "7. MySQL root rotates: old and new valid until everything is proven, and kill -9 in the middle loses nothing"
run donjon rotate plan database_password
donjon rotate apply database_password >"$work/apply" 2>&1 &
apply=$!
for _ in $(seq 400); do grep -q added "$work/apply" && break; sleep 0.005; done
kill -9 "$(donjon status --output json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')" 2>/dev/null || true
wait "$apply" || true
echo "   the daemon was killed; what the rotation had said:"; sed 's/^/     /' "$work/apply"
run donjon up
login "$(donjon get database_password)" && echo "   what the store serves logs in, before anything is mended"
run donjon rotate resume
new=$(donjon get database_password)
login "$new" && echo "   the served password logs in"
[ "$new" != "$old" ] || run donjon rotate apply database_password
new=$(donjon get database_password)
if login "$old"; then echo "   the old password is still accepted"; exit 1; else echo "   the old password is refused"; fi
if grep -q "$new" "$db/general.log"; then echo "   the new password is in the general log"; exit 1; else echo "   the server's general log holds hashes alone"; fi

step "8. An encrypted, signed bundle for an edge site; the temporary Vault goes; unchanged castellan reads on"
umask 077
age-keygen -o "$work/node.identity" 2>/dev/null; node=$(age-keygen -y "$work/node.identity")
age-keygen -o "$work/custodian.identity" 2>/dev/null; custodian=$(age-keygen -y "$work/custodian.identity")
umask 022
run donjon export bundle --site edge1 --role keystone --recipient "$node" -o "$work/edge1.donjon"
fails 13 donjon down
proves "the only copy of the secrets is not destroyed by mistake"
run donjon export bundle --custodians --recipient "$custodian" -o "$work/everything.donjon"
run donjon export key -o "$work/old-authority.pem"
readport=$(port)
donjon serve --store "bundle:$work/edge1.donjon" -i "$work/node.identity" --node "$work/node" --listen "127.0.0.1:$readport" >"$work/serve.log" 2>&1 &
pids+=($!)
for _ in $(seq 200); do [ -s "$work/node/approle/keystone/secret-id" ] && grep -q serving "$work/serve.log" && break; sleep 0.05; done
sed 's/^/     /' "$work/serve.log"
run donjon down --force
cat > "$work/castellan.conf" <<CONF
[key_manager]
backend = vault
[vault]
vault_url = http://127.0.0.1:$readport
kv_mountpoint = donjon
approle_role_id = $(cat "$work/node/approle/keystone/role-id")
approle_secret_id = $(cat "$work/node/approle/keystone/secret-id")
CONF
printf '[database]\nconnection = demo/keystone.database.connection\n' > "$work/mapping.conf"
printf '[DEFAULT]\nconfig_source = secrets\n[secrets]\ndriver = castellan\nconfig_file = %s/castellan.conf\nmapping_file = %s/mapping.conf\n' \
    "$work" "$work" > "$work/service.conf"
read=$("$venv/python3" - "$work/service.conf" <<'PY'
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt('connection', default='sqlite://')], group='database')
conf(['--config-file', sys.argv[1]], project='service')
print(conf.database.connection)
PY
)
[ "$read" = "mysql+pymysql://root:$new@127.0.0.1:$dbport/mysql" ] || { echo "   castellan read something else"; exit 1; }
echo "   oslo.config through castellan reads [database] connection from the node, with the rotated password in it"

step "Weeks later: the custodians' bundle opens again, and rotates"
run donjon up --from "$work/everything.donjon" -i "$work/custodian.identity" --authority-key "$work/old-authority.pem"
fails 13 donjon rotate apply database_password
proves "the edge site still has the old password, so it stays valid until the site has answered"
login "$new" && echo "   the old password is still accepted"
run donjon export key -o "$work/authority.pem"
run donjon export bundle --site edge1 --role keystone --recipient "$node" -o "$work/edge1-new.donjon"
run donjon import "$work/edge1-new.donjon" -i "$work/node.identity" --into "$work/node" --authority-key "$work/authority.pem"
run donjon receipt "$work/edge1-new.donjon.receipt"
fails 13 donjon rotate resume
proves "that the bundle is there is not enough: the site's services must run on it"
run donjon drain -i "$work/node.identity" --node "$work/node" --no-consumers --receipt "$work/drained.receipt"
run donjon receipt "$work/drained.receipt"
run donjon rotate resume
latest=$(donjon get database_password)
login "$latest" && ! login "$new" && echo "   the new authority's password logs in, the one before is refused"
run donjon audit verify

step "Done"
