#!/usr/bin/env python3
"""Figures of the main job, beside its peers in the same run: medians and ratios. Everything runs on loopback in one folder.

Where a figure has a goal it stands beside it, with `missed` where it was. A goal that was missed is no failure: it is for whoever
reads the figures to say whether this machine was quiet enough to speak of it.

usage: figures.py DONJON VENV [LOOKUPS]     (`make bench` calls it; LOOKUPS is the bench of that name, built)
"""
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import processes
from processes import openbao, port, run

DONJON, VENV = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
LOOKUPS = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
WORK = tempfile.mkdtemp(prefix="donjon-bench.")
os.chmod(WORK, 0o711)
CHILDREN = []
# What root has at first.
OLD = "the-old-root-password"


def environment(home, **more):
    own = {"DONJON_HOME": home, "DONJON_VAULT_BIN": f"{VENV}/bin/bao", "PATH": f"{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return processes.environment(**own | more)


def timed(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def show(name, own, peer_name=None, peer=None, unit="ms", scale=1000, goal=None, share=None):
    """A figure: `goal` is the most that it may be, in its unit, or `share` the most that it may be of its peer's."""
    figure = statistics.median(own) * scale
    line = f"{name:<44} {figure:>9.1f} {unit} (n={len(own)})"
    if peer:
        ratio = statistics.median(peer) / statistics.median(own)
        line += f"   {peer_name} {statistics.median(peer) * scale:.1f} {unit} (n={len(peer)})   {ratio:.1f} x"
    if share:
        goal = statistics.median(peer) * scale * share
    if goal is not None:
        line += f"   goal {goal:.1f} {unit}" + (", missed" if figure > goal else "")
    print(line, flush=True)


def home():
    folder = tempfile.mkdtemp(dir=WORK, prefix="h")
    return folder


def status(env):
    return json.loads(run([DONJON, "status", "--output", "json"], env))


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def own_pages(pid):
    """What it has made itself: the rest of what is resident are pages of the program's files, which the kernel reads anew."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:")) / 1024


def bring_up():
    own, written = [], []
    for _ in range(10):
        env = environment(home())
        begun = time.perf_counter()
        run([DONJON, "up"], env)
        own.append(time.perf_counter() - begun)
        run([DONJON, "put", "x"], env, b"a-value-of-some-length")
        written.append(time.perf_counter() - begun)
        run([DONJON, "down", "--force", "--no-search"], env)
    show("up: nothing to ready, raft", own)
    show("up: nothing to the first write, raft", written, goal=1500)


class DevVault:
    """A `bao server -dev` for the peers that talk to a Vault of their own."""

    def __init__(self):
        self.process, self.address, self.env = openbao(f"{VENV}/bin/bao", VAULT_TOKEN="root")
        CHILDREN.append(self.process)


def generation(peer):
    own, later, kolla = [], [], []
    for _ in range(7):
        # An operator types the second command some seconds after the first; a script does not wait.
        for pause, times in ((0, own), (5, later)):
            env = environment(home())
            run([DONJON, "up"], env)
            time.sleep(pause)
            times.append(timed(lambda: run([DONJON, "generate", "--catalogue", "kolla-ansible"], env)))
            run([DONJON, "down", "--force", "--no-search"], env)
        passwords = os.path.join(home(), "passwords.yml")
        shutil.copy(f"{VENV}/share/kolla-ansible/etc_examples/kolla/passwords.yml", passwords)
        os.chmod(passwords, 0o600)

        def peers():
            run([f"{VENV}/bin/kolla-genpwd", "-p", passwords], peer.env)
            run([f"{VENV}/bin/kolla-writepwd", "-p", passwords, "-v", peer.address, "-t", "root", "-kv", "secret"], peer.env)

        kolla.append(timed(peers))
    show("generate all kolla secrets, at once after up", own, "kolla-genpwd + kolla-writepwd", kolla, share=1 / 3)
    show("generate all kolla secrets, 5 s after up", later, "the same", kolla)


def stored():
    """200 secrets made and stored, and nothing that takes long to make among them."""
    took = []
    for _ in range(7):
        env = environment(home())
        with open(os.path.join(env["DONJON_HOME"], "own.yaml"), "w", encoding="utf-8") as file:
            entries = "".join(f"  secret{n}: {{class: data-key, credentials: [{{target: keyring, strategy: operator, phase: alone}}], consumers: []}}\n" for n in range(200))
            file.write(f"deployer: own\nrecipe: alphanumeric 40\nservices: {{}}\nsinks: {{}}\nclasses: {{}}\nsecrets:\n{entries}older: {{}}\n")
        run([DONJON, "up"], env)
        took.append(timed(lambda: run([DONJON, "generate", "--catalogue", file.name], env)))
        run([DONJON, "down", "--force", "--no-search"], env)
    show("make and store 200 secrets, on raft", took)


def reads(peer):
    env = environment(home())
    run([DONJON, "up"], env)
    run([DONJON, "generate", "--catalogue", "kolla-ansible"], env)
    run([f"{VENV}/bin/bao", "kv", "put", "-mount=secret", "x", "password=-"], peer.env, b"a-value-of-some-length")
    one = [DONJON, "get", "keystone_database_password"]
    other = [f"{VENV}/bin/bao", "kv", "get", "-mount=secret", "-field=password", "x"]
    own, bao = [], []
    for _ in range(50):
        own.append(timed(lambda: run(one, env)))
        bao.append(timed(lambda: run(other, peer.env)))
    show("get, as a process", own, "bao kv get", bao, goal=4)
    show("daemon's memory after that", [resident(status(env)["pid"])], unit="MB", scale=1, goal=16)
    show("  of that not pages of the program's files", [own_pages(status(env)["pid"])], unit="MB", scale=1)
    run([DONJON, "down", "--force", "--no-search"], env)


def read_all(env, names):
    """All names in one request, over a new connection, as a play or a service does."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(os.path.join(env["DONJON_HOME"], "run", "donjon.sock"))
        header = json.dumps({"v": 1, "op": "read", "names": [{"name": name} for name in names], "materials": 0}).encode()
        stream.sendall(len(header).to_bytes(4, "big") + header)
        reader = stream.makefile("rb")
        answer = json.loads(reader.read(int.from_bytes(reader.read(4), "big")))
        if "reply" not in answer:
            sys.exit(f"a lookup was refused: {answer}")
        for _ in range(answer["materials"]):
            reader.read(int.from_bytes(reader.read(4), "big"))


def lookups(peer):
    env = environment(home())
    run([DONJON, "up"], env)
    names = [f"secret{n}" for n in range(1000)]

    def put(some):
        for name in some:
            run([DONJON, "put", name], env, b"a-value-of-some-length-as-they-are")

    put(names)
    read_all(env, names)
    if LOOKUPS:
        print(run([LOOKUPS, os.path.join(env["DONJON_HOME"], "run", "donjon.sock"), names[0]], dict(os.environ)).decode(), end="", flush=True)
    show("daemon's memory with 1,000 secrets after that", [resident(status(env)["pid"])], unit="MB", scale=1, goal=16)
    show("  of that not pages of the program's files", [own_pages(status(env)["pid"])], unit="MB", scale=1)
    first, cold = [], []
    for _ in range(7):
        # The Vault goes on; the daemon is new.
        os.kill(status(env)["pid"], 9)
        begun = time.perf_counter()
        run([DONJON, "up"], env)
        read_all(env, names[:1])
        first.append(time.perf_counter() - begun)
        cold.append(timed(lambda: read_all(env, names[:200])))
    show("a new daemon, from its start to a first secret", first)
    show("its first 200 secrets, from the Vault", cold)
    warm = [timed(lambda: read_all(env, names[:200])) for _ in range(50)]
    show("200 secrets again, from memory", warm)
    run([DONJON, "down", "--force", "--no-search"], env)


class Databases:
    """One MariaDB, or three nodes of a Galera cluster, with two accounts of root."""

    def __init__(self, count):
        self.folder = tempfile.mkdtemp(dir=WORK)
        os.chmod(self.folder, 0o711)
        self.user = "mysql" if os.getuid() == 0 else ""
        self.ports, self.group = [port() for _ in range(count)], [port() for _ in range(count)]
        if self.user:
            shutil.chown(self.folder, self.user)
        account = [f"--user={self.user}"] if self.user else []
        run(["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/data", "--auth-root-authentication-method=normal", *account], dict(os.environ))
        first = self.start(0, "data", "gcomm://")
        digest = "*" + hashlib.sha1(hashlib.sha1(OLD.encode()).digest()).hexdigest().upper()
        self.sql(0, f"""
            delete from mysql.global_priv where user='' or (user='root' and host<>'localhost'); flush privileges;
            create user root@'%' identified by password '{digest}'; grant all on *.* to root@'%' with grant option;
            create user watcher@localhost identified via unix_socket; create user bench@localhost; grant all on *.* to bench@localhost;
            alter user root@localhost identified by password '{digest}';""", "root")
        if count == 1:
            return
        # The others begin as copies of the first, so that none needs a full transfer.
        first.terminate()
        first.wait()
        everyone = "gcomm://" + ",".join(f"127.0.0.1:{one}" for one in self.group)
        for number in range(count):
            data = "data" if number == 0 else f"data{number}"
            if number > 0:
                run(["cp", "-a", f"{self.folder}/seed", f"{self.folder}/{data}"], dict(os.environ))
            else:
                run(["cp", "-a", f"{self.folder}/data", f"{self.folder}/seed"], dict(os.environ))
            self.start(number, data, "gcomm://" if number == 0 else everyone)

    def start(self, number, data, cluster):
        words = ["mariadbd", "--no-defaults", f"--datadir={self.folder}/{data}", f"--tmpdir={self.folder}", f"--socket={self.folder}/s{number}",
                 f"--port={self.ports[number]}", "--bind-address=127.0.0.1"] + ([f"--user={self.user}"] if self.user else [])
        if len(self.ports) > 1:
            at = self.group[number]
            words += ["--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so",
                      "--wsrep-cluster-name=bench", f"--wsrep-node-name=n{number}", f"--wsrep-node-address=127.0.0.1:{at}",
                      f"--wsrep-sst-receive-address=127.0.0.1:{port()}", f"--wsrep-cluster-address={cluster}",
                      f"--wsrep-provider-options=base_port={at};gmcast.listen_addr=tcp://127.0.0.1:{at};ist.recv_addr=127.0.0.1:{port()};gcache.size=8M"]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        CHILDREN.append(child)
        for _ in range(600):
            for user in ("root", "bench"):
                said = self.sql(number, "show status like 'wsrep_local_state_comment'", user, check=False)
                if said.returncode == 0 and (len(self.ports) == 1 or said.stdout.split()[-1:] == [b"Synced"]):
                    return child
            time.sleep(0.05)
        sys.exit("a database does not start")

    def sql(self, number, statement, user="bench", check=True):
        words = ["mariadb", "--no-defaults", "-S", f"{self.folder}/s{number}", "-N", f"-u{user}"]
        return subprocess.run(words, input=statement.encode(), capture_output=True, check=check)

    def counts(self):
        """Connections so far, and how many of them were denied; the one that asks is among them."""
        counted = [0, 0]
        for number in range(len(self.ports)):
            rows = self.sql(number, "show global status where variable_name in ('Connections','Access_denied_errors')").stdout.split()
            counted = [counted[0] + int(rows[3]), counted[1] + int(rows[1])]
        return counted


def rotation(count, name, goal):
    databases, folder = Databases(count), home()
    nodes = ", ".join(f"{{name: db{n}, address: 127.0.0.1, port: {at}, socket: {databases.folder}/s{n}}}" for n, at in enumerate(databases.ports))
    with open(f"{folder}/donjon.yaml", "w", encoding="utf-8") as file:
        file.write(f"deployment: bench\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{nodes}]}}\nviews:\n"
                   + "".join(f"  url{n}: 'mysql://root:{{database_password:url}}@h/{n}'\n" for n in range(3)))
    env = environment(folder)
    run([DONJON, "up"], env)
    run([DONJON, "put", "database_password"], env, OLD.encode())
    # What it makes ahead once it is up takes the processor.
    time.sleep(5)

    def counters():
        with open(f"{folder}/vault/audit.log", encoding="utf-8") as log:
            writes = sum('"type":"response"' in line and '"path":"donjon/data/' in line and ('"operation":"update"' in line or '"operation":"create"' in line) for line in log)
        return [*databases.counts(), writes]

    took, connections, denied, writes = [], [], [], []
    for _ in range(15):
        before = counters()
        answer = json.loads(run([DONJON, "rotate", "apply", "database_password", "--output", "json"], env))
        after = counters()
        took.append(answer["rotations"][0]["microseconds"] / 1e6)
        connections.append(after[0] - before[0] - count)
        denied.append(after[1] - before[1])
        writes.append(after[2] - before[2])
    show(name, took, goal=goal)
    for name, counts in (("  KV writes", writes), ("  connections to MariaDB", connections), ("  denied (the broker's own proofs)", denied)):
        show(name, counts, unit="", scale=1)
    run([DONJON, "down", "--force", "--no-search"], env)


try:
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}; medians")
    bring_up()
    dev = DevVault()
    generation(dev)
    stored()
    reads(dev)
    lookups(dev)
    rotation(1, "rotation of MySQL root, 2 accounts, 3 views", 50)
    rotation(3, "the same on Galera, three nodes", 80)
finally:
    for child in CHILDREN:
        child.kill()
        child.wait()
    shutil.rmtree(WORK, ignore_errors=True)
