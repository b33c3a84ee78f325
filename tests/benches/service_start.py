#!/usr/bin/env python3
"""A service's start that reads many options: Donjon's driver and castellan's, each as a process of the real oslo.config.

usage: service_start.py DONJON VENV [OPTIONS [ROUNDS]]     (20 options, 15 rounds)

castellan asks a real OpenBao (in memory, without TLS or audit) with an AppRole, and `donjon serve --store daemon` with another.
What is subtracted is the same process with the values in its file. `make bench-start` calls it.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import processes
from processes import run

DONJON, VENV = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OPTIONS, ROUNDS = [int(given) for given in (sys.argv[3:] + [20, 15][len(sys.argv[3:]):])]
BAO = f"{VENV}/bin/bao"
PACKAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "drivers" / "python"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="donjon-bench."))
NAMES = [f"bench_{number}" for number in range(OPTIONS)]
VALUE = "a-value-of-a-usual-length-0123456789"

SERVICE = f"""
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt(name, default='none') for name in {NAMES!r}], 'secrets')
conf(sys.argv[1:], default_config_files=[], default_config_dirs=[])
assert all(conf.secrets[name] == {VALUE!r} for name in {NAMES!r})
"""


def environment():
    return processes.environment(DONJON_HOME=str(WORK / "home"), DONJON_VAULT_BIN=BAO, PYTHONPATH=str(WORK / "package"))


def write(name, text):
    path = WORK / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


def castellan(name, url, mount, folder, role_id, secret_id):
    own = write(
        f"{name}.castellan",
        f"[key_manager]\nbackend = vault\n[vault]\nvault_url = {url}\nkv_mountpoint = {mount}\n"
        f"approle_role_id = {role_id}\napprole_secret_id = {secret_id}\n",
    )
    mapping = write(f"{name}.mapping", "[secrets]\n" + "".join(f"{secret} = {folder}{secret}\n" for secret in NAMES))
    return write(f"{name}.conf", f"[DEFAULT]\nconfig_source = s\n[s]\ndriver = castellan\nconfig_file = {own}\nmapping_file = {mapping}\n")


def peers(address, env):
    """The same records in OpenBao, and a role that reads them: its configuration for castellan."""
    record = {"type": "passphrase", "value": VALUE.encode().hex(), "algorithm": None, "bit_length": None, "name": "x", "created": 1}
    for name in NAMES:
        run([BAO, "kv", "put", "-mount=secret", name, "-"], env, json.dumps(record).encode())
    run([BAO, "policy", "write", "bench", "-"], env, b'path "secret/data/*" { capabilities = ["read"] }')
    run([BAO, "auth", "enable", "approle"], env)
    run([BAO, "write", "auth/approle/role/bench", "token_policies=bench"], env)
    role_id = run([BAO, "read", "-field=role_id", "auth/approle/role/bench/role-id"], env).decode()
    secret_id = run([BAO, "write", "-f", "-field=secret_id", "auth/approle/role/bench/secret-id"], env).decode()
    return castellan("openbao", address, "secret", "", role_id, secret_id)


def main():
    home = WORK / "home"
    home.mkdir(mode=0o700)
    reads = ", ".join(NAMES)
    write("home/donjon.yaml", f"deployment: d\nlookup_socket: {WORK}/lookup.sock\nroles: {{s: {{reads: [{reads}], users: [{os.geteuid()}]}}}}\n")
    pip = [f"{VENV}/bin/python", "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(WORK / "package")]
    run(pip + [shutil.copytree(PACKAGE, WORK / "source")], environment())
    server, address, bao = processes.openbao(BAO)
    reader = None
    try:
        run([DONJON, "up"], environment())
        for name in NAMES:
            run([DONJON, "put", name], environment(), VALUE.encode())
        words = [DONJON, "serve", "--store", "daemon", "--listen", "127.0.0.1:0", "--output", "json"]
        reader = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE)
        url = json.loads(reader.stdout.readline())["url"]
        credential = [(home / "node" / "approle" / "s" / name).read_text(encoding="utf-8") for name in ("role-id", "secret-id")]
        mapping = write("donjon.mapping", "[secrets]\n" + "".join(f"{name} = {name}\n" for name in NAMES))
        own = f"[DEFAULT]\nconfig_source = s\n[s]\ndriver = donjon\nmapping_file = {mapping}\nsocket = {home}/run/donjon.sock\n"
        sides = {
            "values in its file": write("file.conf", "[secrets]\n" + "".join(f"{name} = {VALUE}\n" for name in NAMES)),
            "donjon's driver": write("donjon.conf", own),
            "castellan, donjon serve": castellan("serve", url, "donjon", "d/", *credential),
            "castellan, OpenBao": peers(address, bao),
        }
        took = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, path in sides.items():
                begun = time.perf_counter()
                run([f"{VENV}/bin/python", "-c", SERVICE, f"--config-file={path}"], environment())
                took[side].append(time.perf_counter() - begun)
        print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}; a process that reads {OPTIONS} options, medians of {ROUNDS}")
        base = statistics.median(took["values in its file"])
        for side, times in took.items():
            print(f"{side:<28} {statistics.median(times) * 1000:8.1f} ms, added {(statistics.median(times) - base) * 1000:8.1f} ms")
    finally:
        if reader:
            reader.terminate()
            reader.wait()
        subprocess.run([DONJON, "down", "--force", "--no-search"], env=environment(), capture_output=True, check=False)
        server.kill()
        server.wait()
        shutil.rmtree(WORK, ignore_errors=True)


main()
