#!/bin/sh
# `donjon scan` beside `rg -F -f` on the same tree of SIZE MB (1,000 where not given): what each takes, after one run to warm the disk's
# cache. The scan looks for each value in a dozen encodings and in archives, rg for the values as they are.
# usage: scan_rg.sh DONJON VENV [SIZE]      (`apt-get install ripgrep`; `make bench-scan` calls it)
set -eu
donjon=$(realpath "$1") venv=$(realpath "$2") size=${3:-1000}
work=$(mktemp -d)
export DONJON_HOME="$work/home" DONJON_VAULT_BIN="$venv/bin/bao" NO_COLOR=1
trap '"$donjon" down --force >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
mkdir -m 700 "$DONJON_HOME"
"$donjon" up --store file >/dev/null
"$donjon" generate --catalogue kolla-ansible >/dev/null
# Text of words and numbers, such as logs have; no value is in it.
mkdir "$work/tree"
base64 -w 120 /dev/urandom | head -c 8M > "$work/block"
for number in $(seq 1 $((size / 8))); do
    { echo "part $number"; cat "$work/block"; } > "$work/tree/$number.log"
done
(umask 077; "$donjon" list --output json | python3 -c 'import json,sys; [print(s["name"]) for s in json.load(sys.stdin)["secrets"]]' |
    while read -r name; do "$donjon" get "$name"; done | awk 'length > 15 && !/^-/' > "$work/values")
took() {
    python3 - "$@" <<'EOF'
import statistics, subprocess, sys, time
times = []
for _ in range(4):
    begun = time.perf_counter()
    done = subprocess.run(sys.argv[3:], stdout=subprocess.DEVNULL)
    times.append(time.perf_counter() - begun)
    assert done.returncode == int(sys.argv[2]), done.returncode
print(f"{sys.argv[1]:<24} {statistics.median(times[1:]):8.2f} s")
EOF
}
echo "$(nproc) cores, $(date +%F); $(wc -l < "$work/values") values, $(du -sm "$work/tree" | cut -f1) MB"
took "donjon scan" 0 "$donjon" scan "$work/tree"
took "rg -F -f" 1 rg -F -f "$work/values" "$work/tree"
