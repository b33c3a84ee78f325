#!/usr/bin/env bash
# Donjon's main job on real servers, step by step: OpenBao, MariaDB, RabbitMQ, Ansible, systemd, podman, castellan. Run by `make demo`; `make test`
# runs it too, on the debug build (DONJON_DEMO_BIN=target/debug). A proof that fails ends it, says which, and exits 1.
# Everything lives in temporary folders and ends with this script. As root: containers, and the search of memory at the end.
set -Eeuo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
tools=${DONJON_TEST_TOOLS:-$here/target/tools}
bin=$(cd "${DONJON_DEMO_BIN:-$here/target/release}" && pwd)
venv=$tools/venv/bin
work=$(mktemp -d /tmp/donjon-demo-XXXXXX)
memory=$(mktemp -d /dev/shm/donjon-demo-XXXXXX) # what may hold values
chmod 711 "$work" # no dot in the names: tripleo-common takes one for the extension of a file
export DONJON_HOME=$work/home PATH="$bin:$venv:/usr/sbin:/usr/bin:/sbin:/bin" NO_COLOR=1
export GIT_AUTHOR_NAME=demo GIT_AUTHOR_EMAIL=demo@example GIT_COMMITTER_NAME=demo GIT_COMMITTER_EMAIL=demo@example
export ANSIBLE_LOCALHOST_WARNING=false LC_ALL=C.UTF-8
unset VAULT_ADDR BAO_ADDR VAULT_TOKEN BAO_TOKEN DONJON_CONFIG DONJON_SOCKET DONJON_VAULT_BIN
homes=("$DONJON_HOME" "$work/custodians" "$work/folder" "$work/existing")
mkdir -m 700 "${homes[@]}"
box=donjon-demo-box-$$ machine=donjon-demo-machine-$$ # a container with one service; one in which systemd and sshd run
pids=()
cleanup() {
    trap - ERR
    unset BAO_ADDR BAO_TOKEN DONJON_SOCKET
    podman --runtime runc rm --force --time 0 "$box" "$machine" >/dev/null 2>&1 || true
    DONJON_SOCKET=$work/consumer/donjon.sock donjon down --force --no-search >/dev/null 2>&1 || true
    for home in "${homes[@]}"; do DONJON_HOME=$home donjon down --force --no-search >/dev/null 2>&1 || true; done
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    rm -rf "$work" "$memory"
}
trap cleanup EXIT
trap 'echo "   FAILED, line $LINENO: $BASH_COMMAND" >&2' ERR

if [ -t 1 ]; then bold=$(printf '\033[1m'); plain=$(printf '\033[0m'); else bold=; plain=; fi
number=0
step() { number=$((number + 1)); printf '\n%s== %s. %s%s\n' "$bold" "$number" "$1" "$plain"; }
proves() { printf '   proves: %s\n' "$1"; }
no() { echo "   NOT PROVEN: $1" >&2; exit 1; }
must() { # what is so, then the command that ends with 0 where it is
    local what=$1; shift
    if "$@" >/dev/null 2>&1; then echo "   $what"; else no "$what"; fi
}
must_not() { # what is so, then the command that ends with 1 where it is: any other code is no answer
    local what=$1 got=0; shift
    "$@" >/dev/null 2>&1 || got=$?
    [ "$got" = 1 ] || no "$what"
    echo "   $what"
}
show() { # file, lines at most
    grep -v '^not looked for: ' "$1" | head -n "$2" | cut -c1-150 | sed 's/^/     /' || true
    local lines; lines=$(grep -vc '^not looked for: ' "$1" || true)
    [ "$lines" -le "$2" ] || echo "     … $((lines - $2)) lines more"
}
fails() { # exit code, then the command: it must end with that code
    local want=$1 got=0; shift
    printf '   $ %s\n' "$*"; "$@" >"$work/out" 2>&1 || got=$?
    show "$work/out" 14
    [ "$got" = "$want" ] || no "\`$*\` ended with $got instead of $want"
    [ "$want" = 0 ] || echo "     (exit $got, as it should)"
}
run() { fails 0 "$@"; }
said() { grep -qF -- "$1" "$work/out"; } # whether the last command said so
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
until_so() { # for at most so many tenths of a second
    local tries=$1; shift
    for _ in $(seq "$tries"); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    no "after $tries tenths of a second: $*"
}
pid_of() { donjon status --output json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])'; }

step "A MariaDB with a root password that everybody knows"
db=$work/db; mkdir -m 711 "$db"; dbport=$(port); old=the-old-root-password
mariadb-install-db --no-defaults --datadir="$db/data" --auth-root-authentication-method=normal --user="$(id -un)" >/dev/null 2>&1
mariadbd --no-defaults --user="$(id -un)" --datadir="$db/data" --tmpdir="$db" --socket="$db/socket" --port="$dbport" --bind-address=127.0.0.1 \
    --skip-name-resolve --general-log=0 --general-log-file="$db/general.log" >"$db/log" 2>&1 &
pids+=($!)
until_so 200 mariadb-admin --no-defaults -S "$db/socket" -uroot ping
hash="*$(printf %s "$old" | "$venv/python3" -c 'import hashlib,sys; print(hashlib.sha1(hashlib.sha1(sys.stdin.buffer.read()).digest()).hexdigest().upper())')"
mariadb --no-defaults -S "$db/socket" -uroot <<SQL
DELETE FROM mysql.global_priv WHERE User='' OR (User='root' AND Host NOT IN ('localhost'));
FLUSH PRIVILEGES;
CREATE USER root@'%' IDENTIFIED BY PASSWORD '$hash'; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
ALTER USER root@localhost IDENTIFIED BY PASSWORD '$hash';
SQL
login_as() { MYSQL_PWD=$2 mariadb --no-defaults -h127.0.0.1 -P"$dbport" -u"$1" -N -e "select 'in'" >/dev/null 2>&1; }
login() { login_as root "$1"; }
must "the old password logs in" login "$old"
must_not "another does not" login not-the-password

mkdir "$work/rabbit" # a RabbitMQ for a later step takes its time to start
for part in dist node mapper; do declare "rabbit_$part=$(port)"; done
(umask 077; head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$work/rabbit/.erlang.cookie"); chmod 400 "$work/rabbit/.erlang.cookie"
echo '[].' > "$work/rabbit/plugins"; : > "$work/rabbit/rabbitmq.conf"
rabbit=(ERL_EPMD_PORT="$rabbit_mapper" ERL_CRASH_DUMP="$work/rabbit/crash" RABBITMQ_CONFIG_FILE="$work/rabbit/rabbitmq.conf"
    RABBITMQ_DIST_PORT="$rabbit_dist" RABBITMQ_NODE_PORT="$rabbit_node" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_LOGS="$work/rabbit/log"
    RABBITMQ_ENABLED_PLUGINS_FILE="$work/rabbit/plugins" RABBITMQ_MNESIA_BASE="$work/rabbit/data" RABBITMQ_PID_FILE="$work/rabbit/pid"
    RUNNING_UNDER_SYSTEMD=true)
epmd -address 127.0.0.1 -port "$rabbit_mapper" >/dev/null 2>&1 & pids+=($!)
until_so 50 epmd -port "$rabbit_mapper" -names
env "${rabbit[@]}" HOME="$work/rabbit" /usr/lib/rabbitmq/bin/rabbitmq-server >/dev/null 2>&1 & pids+=($!)

step "A temporary Vault, opened by this host"
mkdir -m 700 "$work/consumer" # the socket lies where the container of a later step sees it
export DONJON_SOCKET=$work/consumer/donjon.sock
describe() { # services of the deployment
    cat > "$DONJON_HOME/donjon.yaml" <<YAML
deployment: demo
catalogue: kolla-ansible
targets:
  mariadb: {driver: mariadb, nodes: [{name: db1, address: 127.0.0.1, port: $dbport, socket: $db/socket}]}
views:
  keystone.database.connection: "mysql+pymysql://root:{database_password:url}@127.0.0.1:$dbport/mysql"
roles:
  keystone: {reads: [keystone.database.connection]}
sites:
  edge1: {roles: [keystone], recipients: []}
$1
YAML
    chmod 600 "$DONJON_HOME/donjon.yaml"
}
describe ""
run donjon up
must "it says what the host identity means" said "can open the store"
first=$(pid_of)
run donjon up
must "a second \`up\` finds the first" test "$(pid_of)" = "$first"
run donjon status
printf %s "$old" | donjon put database_password
run donjon scan "$DONJON_HOME"
must "every file in DONJON_HOME is its owner's alone" test -z "$(find "$DONJON_HOME" -type f -perm /077)"
proves "one command makes a Vault that is unsealed and ready; no value lies in its folder in clear"

step "A temporary Vault, opened by custodians; a folder without any Vault; a Vault that is there already"
custody=$work/custodians; umask 077
for person in alice bob carol; do age-keygen -o "$custody/$person" 2>/dev/null; done
recipient() { age-keygen -y "$1"; }
umask 022
there() { env -u DONJON_SOCKET DONJON_HOME="$custody" "$@"; }
run there donjon up --custodian "$(recipient "$custody/alice")" --custodian "$(recipient "$custody/bob")" \
    --custodian "$(recipient "$custody/carol")" --threshold 2
printf 'a-value-of-theirs' | there donjon put theirs
kill -9 "$(there donjon status --output json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')"
kill -9 "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["process"]["pid"])' "$custody/vault/process.json")"
echo "   the daemon and its Vault were killed (kill -9)"
run there donjon up
fails 2 there donjon status
fails 6 there donjon get theirs
run there donjon unseal -i "$custody/alice"
fails 2 there donjon status
run there donjon unseal -i "$custody/carol"
must "the value is there again" test "$(there donjon get theirs)" = a-value-of-theirs
there donjon down --force --no-search >/dev/null
proves "after a crash one of three custodians opens nothing, and two open it; nothing was lost"

folder() { env -u DONJON_SOCKET DONJON_HOME="$work/folder" PATH="$bin:/usr/bin:/bin" "$@"; }
cp "$DONJON_HOME/donjon.yaml" "$work/folder/donjon.yaml"
fails 2 folder donjon up
run folder donjon up --store file
printf %s "$old" | folder donjon put database_password
must "it keeps a value" test "$(folder donjon get database_password)" = "$old"
fails 8 folder donjon rotate apply database_password
must "and nothing was rotated" login "$old"
folder donjon down >/dev/null
proves "without a Vault an encrypted folder serves, and will not rotate"

devport=$(port); umask 077; token=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
BAO_DEV_ROOT_TOKEN_ID=$token bao server -dev -dev-no-store-token -dev-listen-address="127.0.0.1:$devport" >"$work/dev.log" 2>&1 &
dev=$!; pids+=("$dev"); umask 022
answers() { curl -sf "http://127.0.0.1:$devport/v1/sys/health"; }
until_so 100 answers
existing() { env -u DONJON_SOCKET DONJON_HOME="$work/existing" BAO_ADDR="http://127.0.0.1:$devport" BAO_TOKEN="$token" DONJON_MOUNT=secret "$@"; }
run existing donjon up
printf 'kept-elsewhere' | existing donjon put kept
must "the value is in that server" test "$(existing donjon get kept)" = kept-elsewhere
must_not "no Vault was made beside it" test -e "$work/existing/vault"
existing donjon down >/dev/null
must "\`down\` has not stopped it" answers
kill "$dev"
proves "a server that BAO_ADDR names is used, and left running"

step "Catalogues: what is wrong with one is told at once; what is right has every name of kolla-ansible"
fails 2 donjon generate --catalogue "$here/policies/tests/broken.yaml"
must "every mistake was told, each with its line" test "$(grep -c 'broken.yaml:[0-9]' "$work/out")" = "$(grep -c . "$here/policies/tests/broken.txt")"
fails 4 donjon get two

step "Every secret of kolla-ansible"
time (donjon generate --catalogue kolla-ansible >/dev/null 2>&1)
before=$(donjon get keystone_database_password | sha256sum)
run donjon generate --catalogue kolla-ansible --output json
must "a second run makes nothing: what is there stays" test "$(donjon get keystone_database_password | sha256sum)" = "$before"
sample=$(find "$tools/venv/share/kolla-ansible" -name passwords.yml | head -1)
names() { "$venv/python3" -c 'import sys,yaml; print("\n".join(sorted(yaml.safe_load(open(sys.argv[1])))))' "$1"; }
donjon list --output json > "$work/list.json"
missing() { names "$sample" | while read -r name; do grep -qF "\"$name\"" "$work/list.json" || printf '%s ' "$name"; done; }
must "all $(names "$sample" | wc -l) names of the installed kolla-ansible's passwords.yml are there; but two that only an operator can know, and an older name of valkey_master_password" \
    test "$(missing)" = "barbican_p11_password docker_registry_password redis_master_password "
proves "what is generated is what the installed deployer asks for, and nothing is ever made twice"

step "put, get, list, history"
one=$(head -c 12 /dev/urandom | base64) two=$(head -c 12 /dev/urandom | base64)
printf '%s\nand more' "$one" | donjon put demo_value >/dev/null 2>&1
donjon get demo_value > "$memory/got"
must "what comes out is what went in, byte for byte" cmp -s "$memory/got" <(printf '%s\nand more' "$one")
printf %s "$two" | donjon put demo_value >/dev/null
run donjon history demo_value
must "both versions are in the history" test "$(grep -c present "$work/out")" = 2
must_not "and no value" grep -qF -e "$one" -e "$two" "$work/out"
must "the one before can be had" test "$(donjon get demo_value --version 1 | sed -n 1p)" = "$one"
must "and the present one" test "$(donjon get demo_value)" = "$two"
fails 2 donjon put demo_value on-the-command-line
donjon list > "$work/list"
must "list has the names" grep -q keystone_database_password "$work/list"
must_not "and no value" grep -qF "$(donjon get keystone_database_password)" "$work/list"
proves "values go in by standard input and come out by \`get\` alone"

step "References instead of values, run by the real ansible-playbook: kolla-ansible's own roles"
kolla=$tools/venv/share/kolla-ansible/ansible
for name in database_password mariadb_monitor_password mariadb_backup_database_password keystone_database_password rabbitmq_password; do
    printf '%s\n' "$(donjon get "$name")" >> "$memory/values"
done
chmod 600 "$memory/values"
site() { # name: a folder as an operator has it
    local site=$work/$1
    cp -r "$here/tests/fixtures/ansible/kolla" "$site"; mkdir -p "$site/home" "$site/tmp" "$memory/$1"
    cp "$work/rabbit/.erlang.cookie" "$site/home/" # kolla's tasks for RabbitMQ are an administrator's
    donjon wire kolla -o "$site/passwords.yml" >/dev/null
    ln -s "$kolla/group_vars" "$site/group_vars"
    cat > "$site/ansible.cfg" <<INI
[defaults]
roles_path = $kolla/roles
library = $kolla/library
module_utils = $kolla/module_utils
filter_plugins = $kolla/filter_plugins
action_plugins = $site/action_plugins:$kolla/action_plugins
INI
    cat > "$site/here.yml" <<YAML
node_config: $site
node_custom_config: $site/config
node_config_directory: $memory/$1/sinks
ansible_python_interpreter: $venv/python3
mariadb_port: $dbport
YAML
}
play() { # site, then what starts ansible-playbook
    local name=$1 site=$work/$1; shift
    (cd "$site" && env "${rabbit[@]}" PATH="/usr/lib/rabbitmq/bin:$PATH" HOME="$site/home" TMPDIR="$site/tmp" XDG_RUNTIME_DIR="$memory/$name" ANSIBLE_CONFIG="$site/ansible.cfg" \
        ANSIBLE_PYTHON_INTERPRETER="$venv/python3" ANSIBLE_LOG_PATH="$site/ansible.log" ANSIBLE_CACHE_PLUGIN=jsonfile \
        ANSIBLE_CACHE_PLUGIN_CONNECTION="$site/facts" "$@" -vvv --diff -i "$kolla/inventory/all-in-one" \
        -e @globals.yml -e @passwords.yml -e @here.yml site.yml >"$memory/$name/said" 2>&1) || {
        tail -40 "$memory/$name/said"; no "ansible-playbook ran to its end"; }
    (cd "$site" && git init -q && git add -A -f && git commit -q -m "a run")
}
holds() { grep -rqF -f "$memory/values" "$@"; }
history_holds() { git -C "$1" cat-file --batch-all-objects --batch | grep -aF -f "$memory/values"; }
site careless; site kept
run sh -c "grep -A2 -E '^(database_password|kolla_ssh_key)' $work/kept/passwords.yml"

until_so 600 grep -q "Server startup complete" "$work/rabbit/log"
echo "   $ ansible-playbook -vvv --diff site.yml      # the control: without the collection's precautions"
play careless env ANSIBLE_COLLECTIONS_PATH="$here/drivers/ansible" DONJON_UNMASKED=allow ANSIBLE_PIPELINING=false \
    ANSIBLE_KEEP_REMOTE_FILES=true ANSIBLE_LOCAL_TEMP="$work/careless/tmp/local" ANSIBLE_REMOTE_TEMP="$work/careless/tmp/remote" ansible-playbook
must "values are in its output" holds "$memory/careless/said"
must "in its log" holds "$work/careless/ansible.log"
must "in its temporary files" holds "$work/careless/tmp"
must "and in the folder's git history" history_holds "$work/careless"
fails 7 donjon scan "$work/careless/facts"
rm -rf "$work/careless" "$memory/careless"

echo "   $ donjon run --deploy -- ansible-playbook -vvv --diff site.yml"
play kept donjon run --deploy -- ansible-playbook
grep -E '^(ok|changed|PLAY RECAP|localhost)' "$memory/kept/said" | tail -4 | cut -c1-100 | sed 's/^/     /'
must "something was there to be covered" grep -qF '********' "$memory/kept/said"
must_not "no value is in its output" holds "$memory/kept/said"
must "facts were cached" test -n "$(ls "$work/kept/facts")"
must_not "no value is in its log, its facts, its temporary files, or anything else of the folder" holds "$work/kept"
must_not "nor in the folder's git history" history_holds "$work/kept"
run donjon scan "$work/kept"
for user in monitor:mariadb_monitor_password backup_shard_0:mariadb_backup_database_password root_shard_0:database_password; do
    must "${user%%:*}, whom kolla's role has registered, logs in" login_as "${user%%:*}" "$(donjon get "${user##*:}")"
done
must "galera.cnf, rendered from kolla's own template, has the value" grep -qF "root:$old" "$memory/kept/sinks/mariadb/galera.cnf"
must "keystone.conf has the URL of its database" grep -qF "keystone:$(donjon get keystone_database_password)@" "$memory/kept/sinks/keystone/keystone.conf"
knows() { printf %s "$1" | env "${rabbit[@]}" HOME="$work/rabbit" /usr/lib/rabbitmq/bin/rabbitmqctl authenticate_user openstack; }
must "openstack, whom kolla's service-rabbitmq has made, is who RabbitMQ knows by the stored password" knows "$(donjon get rabbitmq_password)"
refused() { { knows "$1" 2>&1 || true; } | grep -q "failed to authenticate"; }
must "and by no other" refused not-the-password
checked() { awk '/^TASK \[prometheus : Check that prometheus_bcrypt_salt/ { on = 1; next } /^TASK/ { on = 0 } on' "$memory/kept/said"; }
must "kolla's own check of Prometheus' values has run, and has found them right" grep -q "All assertions passed" <(checked)
rm -rf "$work/kept" "$memory/kept"
proves "kolla's roles did their work on references; what they printed, logged, cached and committed is free of values"

step "TripleO: an environment of placeholders for heat, and lookups in the tree that comes of it"
run donjon wire tripleo --environment "$work/environment.yaml"
must "heat gets placeholders" grep -q 'MysqlRootPassword: .*DONJON_REF_MysqlRootPassword_END' "$work/environment.yaml"
mkdir "$work/tree"
(cd "$work/tree" && python3 "$here/tests/fixtures/ansible/tripleo/config_download.py" "$work/environment.yaml" "$work/tree" >/dev/null 2>&1)
echo "   tripleo-common's own code has written a config-download tree from it (heat itself is stood in for)"
must "the placeholder is in it" grep -rqF DONJON_REF_MysqlRootPassword_END "$work/tree/group_vars"
run donjon wire tripleo "$work/tree"
must_not "no placeholder is left" grep -rqF DONJON_REF_ "$work/tree" --exclude-dir=.git
must "lookups are in their place" grep -rqF "donjon.broker.secret" "$work/tree/group_vars"
proves "neither heat nor the tree that TripleO commits ever sees a value"

step "scan: where values lie about"
mkdir "$work/forgotten"; (cd "$work/forgotten" && git init -q)
printf 'password = %s\n' "$old" > "$work/forgotten/settings"
donjon get nova_database_password | base64 -w0 > "$work/forgotten/encoded"
(cd "$work/forgotten" && git add -A && git commit -q -m "by mistake" && git rm -q settings encoded && git commit -q -m "removed")
must_not "the files are gone from the folder" test -e "$work/forgotten/settings"
fails 7 donjon scan "$work/forgotten"
must "the raw value is found in its git history" grep -q 'database_password .* raw ' "$work/out"
must "and so is the encoded one" grep -q 'nova_database_password .*base64' "$work/out"
must_not "the report itself holds no value" grep -qF "$old" "$work/out"
rm -rf "$work/forgotten"
run donjon scan "$work/tree"
proves "names and places are told, also of what was removed; a tree of references is clean"

step "MySQL root rotates under two consumers, a unit of systemd and a container; kill -9 in the middle loses nothing"
cp "$here/tests/fixtures/consumer/consumer.py" "$work/consumer/"; mkdir -m 700 "$work/machine"
sshport=$(port)
for key in key host_key; do ssh-keygen -q -t ed25519 -N '' -C demo -f "$work/machine/$key" </dev/null; done
printf '[127.0.0.1]:%s %s\n' "$sshport" "$(cat "$work/machine/host_key.pub")" > "$work/machine/known_hosts"
printf '%s\n' "Port $sshport" "ListenAddress 127.0.0.1" "HostKey /machine/host_key" "AuthorizedKeysFile /machine/key.pub" \
    "PasswordAuthentication no" "UsePAM no" "StrictModes no" "PidFile none" > "$work/machine/sshd_config"
printf '%s\n' "[Service]" "KillSignal=SIGKILL" \
    "ExecStart=/usr/bin/python3 /donjon/consumer.py /donjon/donjon.sock $dbport /donjon/worker" > "$work/machine/worker.service"
container() { # name, arguments and words of podman run, with a `--` between them
    local name=$1 arguments=(); shift
    while [ "$1" != -- ]; do arguments+=("$1"); shift; done; shift
    podman --runtime runc run --detach --name "$name" --network host --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 \
        --volume="$work/consumer:/donjon" "${arguments[@]}" --rootfs "$tools/debian-root:O" "$@" >/dev/null
}
inside() { podman --runtime runc exec "$machine" "$@"; }
container "$machine" --systemd=always --privileged --volume="$work/machine:/machine" -- /sbin/init
up_and_running() { case $(inside systemctl is-system-running) in running | degraded) ;; *) return 1 ;; esac; }
until_so 900 up_and_running
inside systemd-run --quiet --unit=sshd-of-the-demo --property=RuntimeDirectory=sshd /usr/sbin/sshd -D -f /machine/sshd_config
inside cp /machine/worker.service /etc/systemd/system/; inside systemctl daemon-reload; inside systemctl start worker.service
container "$box" -- python3 /donjon/consumer.py /donjon/donjon.sock "$dbport" /donjon/api
reports=("$work/consumer/worker" "$work/consumer/api")
logins() { cat "${reports[@]}" | grep -c '"logins"'; }
starts() { grep -c started "$1"; }
for report in "${reports[@]}"; do until_so 200 grep -q logins "$report"; done
echo "   both log in anew every 20 ms: half with what they read at their start, half with what the store offers"
describe "hosts:
  node1: {driver: ssh, address: 127.0.0.1, port: $sshport, user: root, identity: $work/machine/key, known_hosts: $work/machine/known_hosts, config: /dev/null}
services:
  worker: {driver: systemd, unit: worker.service, hosts: [node1], order: 1, uses: [database_password]}
  api: {driver: container, container: $box, engine_arguments: [--runtime, runc], stop_timeout: 0, order: 2, uses: [database_password]}"
mariadb --no-defaults -S "$db/socket" -uroot -p"$old" -e "SET GLOBAL general_log=1"
run donjon rotate plan database_password
for attempt in 1 2 3; do
    before=$(donjon get database_password)
    donjon rotate apply database_password >"$work/apply" 2>&1 & apply=$!
    for _ in $(seq 2000); do grep -q added "$work/apply" && break; sleep 0.005; done
    kill -9 "$(pid_of)"
    wait "$apply" || true
    echo "   the daemon was killed (kill -9); what the rotation had said:"; sed 's/^/     /' "$work/apply"
    run donjon up
    got=0; donjon rotate status >"$work/out" 2>&1 || got=$?
    [ "$got" = 0 ] || break # else it was over before the kill came: once more
done
sed 's/^/     /' "$work/out"
must "the rotation is open: \`rotate status\` ends with 13" test "$got" = 13
must "what the store serves logs in, before anything is mended" login "$(donjon get database_password)"
must "and so does what it served before" login "$before"
run donjon rotate resume
run donjon rotate status
must "nothing is open any more" said "no rotation is under way"
new=$(donjon get database_password)
must "the served password is a new one" test "$new" != "$before"
must "it logs in" login "$new"
must_not "the one before is refused" login "$before"
must_not "and the very first one is" login "$old"
for report in "${reports[@]}"; do must "the consumer that reports to ${report##*/} was restarted" test "$(starts "$report")" -ge 2; done
seen=$(logins); more() { [ "$(logins)" -gt "$((seen + 3))" ]; }; until_so 100 more
must_not "not one of their logins was denied ($(($(logins) * 25)) and more)" grep -q denied "${reports[@]}"
must "the server's general log has what was done" grep -qi 'ALTER USER' "$db/general.log"
must_not "and holds hashes alone" grep -qF "$new" "$db/general.log"
proves "old and new are valid until the consumers run on the new one; after a crash anywhere the same rotation ends"

step "A rotation that is called off"
began=$(starts "$work/consumer/api")
coproc HOLDER { MYSQL_PWD=$new exec mariadb --no-defaults -S "$db/socket" -uroot --unbuffered --skip-column-names; }
holder=$HOLDER_PID; pids+=("$holder")
echo "FLUSH TABLES WITH READ LOCK; SELECT 'held';" >&"${HOLDER[1]}"; read -r held <&"${HOLDER[0]}"
must "another session keeps the server from changing anything" test "$held" = held
donjon rotate apply database_password >"$work/apply" 2>&1 & apply=$!
until_so 100 grep -q staged "$work/apply"
kill -9 "$(pid_of)"; wait "$apply" || true
printf 'UNLOCK TABLES;\nexit\n' >&"${HOLDER[1]}"; wait "$holder" || true
echo "   the new value was stored, and nowhere else yet, when the daemon was killed; what the rotation had said:"; sed 's/^/     /' "$work/apply"
run donjon up
fails 13 donjon rotate status
run donjon rotate abort
run donjon rotate status
must "nothing is open any more" said "no rotation is under way"
must "the served password is the one from before" test "$(donjon get database_password)" = "$new"
must "it logs in" login "$new"
second() { MYSQL_PWD=$new mariadb --no-defaults -S "$db/socket" -uroot -N -e "SHOW CREATE USER root@'%'; SHOW CREATE USER root@localhost" | grep -q ' OR '; }
must_not "no second password is left at the server" second
must "no consumer was restarted for it" test "$(starts "$work/consumer/api")" = "$began"
must_not "and none was denied" grep -q denied "${reports[@]}"
proves "what no consumer could have read is taken back, and everything runs on as before"

step "An encrypted, signed bundle for an edge site; the temporary Vault goes; unchanged castellan reads on"
umask 077
age-keygen -o "$work/node.identity" 2>/dev/null; node=$(recipient "$work/node.identity")
age-keygen -o "$work/custodian.identity" 2>/dev/null; custodian=$(recipient "$work/custodian.identity")
umask 022
run donjon export bundle --site edge1 --role keystone --recipient "$node" -o "$work/edge1.donjon"
must_not "the bundle shows no value" grep -qF "$new" "$work/edge1.donjon"
run donjon export key -o "$work/old-authority.pem"
head -c -100 "$work/edge1.donjon" > "$work/short.donjon"
fails 9 donjon import "$work/short.donjon" -i "$work/node.identity" --into "$work/node" --authority-key "$work/old-authority.pem"
run donjon import "$work/edge1.donjon" -i "$work/node.identity" --into "$work/node" --authority-key "$work/old-authority.pem"
run donjon receipt "$work/edge1.donjon.receipt"
fails 13 donjon down
proves "the site has its part and has signed for it; the only copy of the rest is not destroyed by mistake"
run donjon export bundle --custodians --recipient "$custodian" -o "$work/everything.donjon"
run donjon doctor --drill "$work/everything.donjon" -i "$work/custodian.identity"
rm -f "$memory/values" "$memory/got"
run donjon down
must_not "the Vault's storage and keys are gone" test -e "$DONJON_HOME/vault/raft"
proves "custodians have opened all of it, so the Vault may go; a second process has looked for what is left"
readport=$(port)
donjon serve --store "bundle:$work/edge1.donjon" -i "$work/node.identity" --node "$work/node" --listen "127.0.0.1:$readport" >"$work/serve.log" 2>&1 &
pids+=($!)
until_so 100 test -s "$work/node/approle/keystone/secret-id"
until_so 100 grep -q serving "$work/serve.log"
sed 's/^/     /' "$work/serve.log"
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
read=$("$venv/python3" - "$work/service.conf" 2>/dev/null <<'PY'
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt('connection', default='sqlite://')], group='database')
conf(['--config-file', sys.argv[1]], project='service')
print(conf.database.connection)
PY
)
must "oslo.config through castellan reads [database] connection, with the rotated password in it" \
    test "$read" = "mysql+pymysql://root:$new@127.0.0.1:$dbport/mysql"
proves "a service of the site reads its database's URL from the node's own reader, and the Vault is gone"

step "Weeks later: the custodians' bundle opens again, and rotates"
describe ""
podman --runtime runc rm --force --time 0 "$box" "$machine" >/dev/null
run donjon up --from "$work/everything.donjon" -i "$work/custodian.identity" --authority-key "$work/old-authority.pem"
must "it has the value" test "$(donjon get database_password)" = "$new"
fails 13 donjon rotate apply database_password
fails 13 donjon rotate status
must "the edge site is waited for, by name" said edge1
must "the password that it still has is accepted" login "$new"
run donjon export key -o "$work/authority.pem"
run donjon export bundle --site edge1 --role keystone --recipient "$node" -o "$work/edge1-new.donjon"
run donjon import "$work/edge1-new.donjon" -i "$work/node.identity" --into "$work/node" --authority-key "$work/authority.pem"
fails 9 donjon import "$work/edge1.donjon" -i "$work/node.identity" --into "$work/node"
run donjon receipt "$work/edge1-new.donjon.receipt"
fails 13 donjon rotate resume
must "that the bundle is there is not enough: the old password is still accepted" login "$new"
run donjon drain -i "$work/node.identity" --node "$work/node" --no-consumers --receipt "$work/drained.receipt"
run donjon receipt "$work/drained.receipt"
run donjon rotate resume
latest=$(donjon get database_password)
must "the new authority's password logs in" login "$latest"
must_not "the one before is refused" login "$new"
run donjon audit verify
proves "an old password dies only when the site has signed that it runs on the new one"

printf "\n%s== Done: everything above was so%s\n" "$bold" "$plain"
