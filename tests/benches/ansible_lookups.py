#!/usr/bin/env python3
"""What lookups add to a play: donjon.broker.secret beside community.hashi_vault on a real OpenBao (in memory, without TLS or audit).

usage: ansible_lookups.py DONJON VENV [HOSTS [TASKS [SECRETS [ROUNDS]]]]     (100 hosts, 50 tasks, 5 secrets each, 3 rounds)

Each side runs the same play of assertions in the controller, so that no module's start is measured; the same play with constants
is what is subtracted. `donjon run --deploy` has Ansible load its filters once instead of in each task's worker, which makes a play
shorter: the same constants run so tell what the lookups themselves cost. `make bench-ansible` calls it.
"""
import json
import os
import pathlib
import secrets
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import time

import processes
from processes import run

DONJON, VENV = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
HOSTS, TASKS, SECRETS, ROUNDS = [int(given) for given in (sys.argv[3:] + [100, 50, 5, 3][len(sys.argv[3:]):])]
BAO = f"{VENV}/bin/bao"
COLLECTIONS = pathlib.Path(__file__).resolve().parent.parent.parent / "drivers" / "ansible"
NAMES = [f"bench_{number}" for number in range(SECRETS)]
DEPLOYED = "constants, run --deploy"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="donjon-bench.", dir="/dev/shm"))
# As long as generated passwords are, and none like another: the mask of a run looks for each of them.
VALUES = {name: "".join(secrets.choice(string.ascii_letters + string.digits) for _index in range(40)) for name in NAMES}


def environment(**more):
    own = {
        "DONJON_HOME": str(WORK / "home"),
        "DONJON_VAULT_BIN": BAO,
        "PATH": f"{VENV}/bin:{os.path.dirname(DONJON)}:/usr/sbin:/usr/bin:/sbin:/bin",
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_FORKS": "5",
        "ANSIBLE_HOME": str(WORK / "ansible"),
        "LC_ALL": "C.UTF-8",
    }
    return processes.environment(**own | more)


def play(name, expression):
    """A play whose tasks each evaluate these expressions once, on every host."""
    that = [expression(secret) + " | length > 0" for secret in NAMES]
    tasks = [{"name": f"{number}", "ansible.builtin.assert": {"that": that, "quiet": True}} for number in range(TASKS)]
    path = WORK / f"{name}.yml"
    # JSON is YAML.
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    return str(path)


def main():
    (WORK / "home").mkdir(mode=0o700)
    inventory = WORK / "inventory"
    inventory.write_text("".join(f"h{number} ansible_connection=local\n" for number in range(HOSTS)), encoding="utf-8")
    server, address, bao = processes.openbao(BAO)
    try:
        run([DONJON, "up"], environment())
        for name, value in VALUES.items():
            run([DONJON, "put", name], environment(), value.encode())
            run([BAO, "kv", "put", "-mount=secret", name, "password=-"], bao, value.encode())
        peers = environment(ANSIBLE_HASHI_VAULT_ADDR=address, ANSIBLE_HASHI_VAULT_AUTH_METHOD="token", ANSIBLE_HASHI_VAULT_TOKEN="root")
        ansible = ["ansible-playbook", "-i", str(inventory)]
        hashi = "lookup('community.hashi_vault.vault_kv2_get', '{}', engine_mount_point='secret').secret.password"
        constants = ansible + [play("constants", lambda secret: f"'{secret}'")]
        sides = {
            "constants": (constants, peers),
            DEPLOYED: ([DONJON, "run", "--deploy", "--"] + constants, environment()),
            # What any lookup costs, though it asks nobody.
            "ansible.builtin.env": (ansible + [play("env", lambda _: "lookup('ansible.builtin.env', 'HOME')")], peers),
            "donjon.broker.secret": (
                [DONJON, "run", "--deploy", "--"] + ansible + [play("donjon", lambda s: f"lookup('donjon.broker.secret', '{s}')")],
                environment(),
            ),
            "community.hashi_vault": (ansible + [play("hashi", hashi.format)], peers),
        }
        print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}; {HOSTS} hosts, {TASKS} tasks, {SECRETS} secrets: {HOSTS * TASKS * SECRETS} lookups")
        took = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, (words, env) in sides.items():
                begun = time.perf_counter()
                run(words, env)
                took[side].append(time.perf_counter() - begun)
        print(f"{'the play with constants':<28} {statistics.median(took['constants']):8.2f} s")
        added = {}
        for side in list(sides)[1:]:
            # Beside the constants of the same round: the machine is not as fast in every one.
            added[side] = statistics.median(one - base for one, base in zip(took[side], took["constants"]))
            each = added[side] / (HOSTS * TASKS * SECRETS) * 1000
            print(f"{side:<28} {statistics.median(took[side]):8.2f} s, added {added[side]:8.2f} s, {each:.3f} ms each")
        alone = statistics.median(one - base for one, base in zip(took["donjon.broker.secret"], took[DEPLOYED]))
        print(f"lookups alone, beside {DEPLOYED}: {alone:.2f} s; ratio {added['community.hashi_vault'] / alone:.1f} x")
        run([DONJON, "down", "--force", "--no-search"], environment())
    finally:
        subprocess.run([DONJON, "down", "--force", "--no-search"], env=environment(), capture_output=True, check=False)
        server.kill()
        server.wait()
        shutil.rmtree(WORK, ignore_errors=True)


main()
