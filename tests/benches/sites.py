#!/usr/bin/env python3
"""Bundles for many sites beside ansible-vault doing the same job in the same run: time of the processor, memory, processes.

usage: sites.py SITES VENV     (`make bench-sites` calls it; SITES is the bench of that name, built)
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SITES, VENV = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
WORK = tempfile.mkdtemp(prefix="donjon-bench.")
ENV = os.environ | {"ANSIBLE_LOCAL_TEMP": f"{WORK}/ansible", "ANSIBLE_HOME": f"{WORK}/ansible", "HOME": WORK}


def run(words, stdin=b""):
    done = subprocess.run(words, input=stdin, env=ENV, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{words[:3]} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done.stdout


def seal(sites, secrets, times):
    """The median of some runs, each a process of its own, since memory is the most that it ever had."""
    runs = []
    for _ in range(times):
        folder = tempfile.mkdtemp(dir=WORK)
        runs.append(json.loads(run([SITES, "seal", str(sites), str(secrets), folder])))
        if (sites, secrets) != (100, 200):
            shutil.rmtree(folder)
    middle = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
    return middle, folder


def table():
    print("sites × secrets     seal, CPU    export, CPU   per secret   peak memory      bundles")
    # An export reads the record of every recipient, so a thousand sites take minutes.
    for sites in (10, 30, 100):
        for secrets in (50, 200, 1000):
            one, _ = seal(sites, secrets, 3 if sites * secrets < 100_000 else 1)
            each = one["export_cpu"] / sites / secrets * 1e6
            print(f"{sites:>5} × {secrets:<5}     {one['seal_cpu'] * 1e3:>9.1f} ms {one['export_cpu'] * 1e3:>11.1f} ms "
                  f"{each:>9.2f} us {one['peak_kb'] / 1024:>10.1f} MB {one['bytes'] / 1e6:>9.1f} MB", flush=True)


def goal(name, value, most):
    print(f"{name:<58} {value * 1e3:>8.2f} ms   goal {most * 1e3:g} ms: {'met' if value <= most else 'MISSED'}", flush=True)


def beside():
    hundred, folder = seal(100, 200, 5)
    goal("200 secrets to 100 nodes, CPU", hundred["seal_cpu"], 0.050)
    goal("  with the ledger, who could open what, and files", hundred["export_cpu"], 0.050)
    opened = []
    for _ in range(100):
        begun = time.perf_counter()
        run([SITES, "open", f"{folder}/edge0.donjon", f"{folder}/identity", "site1/secret_0100"])
        opened.append(time.perf_counter() - begun)
    goal("open, verify, look one up, as a process (n=100)", statistics.median(opened), 0.004)
    nothing = []
    for _ in range(100):
        begun = time.perf_counter()
        run([SITES])
        nothing.append(time.perf_counter() - begun)
    print(f"{'  of which a process that does nothing':<58} {statistics.median(nothing) * 1e3:>8.2f} ms", flush=True)

    # The same 200 values for some nodes, each with a password of its own, in one process: what is lightest for it.
    plain, nodes = f"{WORK}/plain.yml", 10
    with open(plain, "w", encoding="ascii") as file:
        file.writelines(f"secret_{number:04}: {number:08}-a-value-of-forty-characters-all-in\n" for number in range(200))
    script = f"""
import sys, time
from ansible.constants import DEFAULT_VAULT_ID_MATCH as ANY
from ansible.parsing.vault import VaultLib, VaultSecret
plain = open({plain!r}, 'rb').read()
begun = time.process_time()
for node in range({nodes}):
    VaultLib([(ANY, VaultSecret(b'password-of-%d' % node))]).encrypt(plain)
print(time.process_time() - begun)
"""
    peer = float(run([f"{VENV}/bin/python3", "-c", script])) / nodes * 100
    print(f"{'ansible-vault for 100 nodes, CPU (its library, n=10, × 10)':<58} {peer * 1e3:>8.1f} ms   "
          f"{peer / hundred['seal_cpu']:.0f} x", flush=True)
    with open(f"{WORK}/password", "w", encoding="ascii") as file:
        file.write("password-of-0")
    vault, words = f"{WORK}/vault.yml", [f"{VENV}/bin/ansible-vault"]
    run([*words, "encrypt", "--vault-password-file", f"{WORK}/password", "--output", vault, plain])
    viewed = []
    for _ in range(5):
        begun = time.perf_counter()
        run([*words, "view", "--vault-password-file", f"{WORK}/password", vault])
        viewed.append(time.perf_counter() - begun)
    print(f"{'ansible-vault view, as a process (n=5)':<58} {statistics.median(viewed) * 1e3:>8.1f} ms   "
          f"{statistics.median(viewed) / statistics.median(opened):.0f} x", flush=True)


try:
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}; medians")
    table()
    beside()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
