#!/usr/bin/env python3
"""A lookup as programs in Python see it, which OpenStack's and Ansible's are: Donjon's own client at the daemon's socket beside hvac,
requests and http.client at a real OpenBao (on raft, over TLS, with an audit log). All connections are kept.

usage: python_clients.py DONJON VENV [LOOKUPS [PROCESSES]]     (2,000 of each, 16 processes)     `make bench-clients` calls it.

The bench `lookups` compares the servers, with equal clients that take no time to speak of. Here most of what the peers take is
their client.
"""
import http.client
import json
import multiprocessing
import os
import pathlib
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import processes
from processes import port, run

DONJON, VENV = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
LOOKUPS, PROCESSES = [int(given) for given in (sys.argv[3:] + [2000, 16][len(sys.argv[3:]):])]
ROUNDS, SECONDS = 5, 4
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "drivers" / "ansible"))
WORK = pathlib.Path(tempfile.mkdtemp(prefix="donjon-bench."))
VALUE = "a-value-of-a-usual-length-0123456789"
BAO = f"{VENV}/bin/bao"


def environment(**more):
    return processes.environment(DONJON_HOME=str(WORK / "home"), DONJON_VAULT_BIN=BAO, **more)


class OpenBao:
    """On raft, over TLS, with an audit log; a KV v2 mount `kv` with the record `x`."""

    def __init__(self):
        self.authority, key = WORK / "certificate.pem", WORK / "key.pem"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(self.authority)])
        self.port, data = port(), WORK / "raft"
        data.mkdir(mode=0o700)
        settings = {
            "storage": {"raft": {"path": str(data), "node_id": "one"}},
            "listener": [{"tcp": {"address": f"127.0.0.1:{self.port}", "tls_cert_file": str(self.authority), "tls_key_file": str(key)}}],
            "api_addr": f"https://127.0.0.1:{self.port}",
            "cluster_addr": f"https://127.0.0.1:{port()}",
            "log_level": "warn",
            # HCL reads an object with one key as a longer name, so there is a second key.
            "audit": [{"file": {"all": {"description": "all", "options": {"file_path": str(WORK / "audit.log"), "mode": "0600"}}}}],
        }
        (WORK / "openbao.json").write_text(json.dumps(settings), encoding="utf-8")
        self.env = environment(BAO_ADDR=f"https://127.0.0.1:{self.port}", BAO_CACERT=str(self.authority))
        self.process = subprocess.Popen([BAO, "server", f"-config={WORK}/openbao.json"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # 1 where it cannot be reached, 2 where it is sealed.
        self.until(lambda: subprocess.run([BAO, "status"], env=self.env, capture_output=True, check=False).returncode == 2)
        made = json.loads(run([BAO, "operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"], self.env))
        self.token = made["root_token"]
        self.env["BAO_TOKEN"] = self.token
        run([BAO, "operator", "unseal", made["unseal_keys_b64"][0]], self.env)
        self.until(lambda: subprocess.run([BAO, "secrets", "enable", "-path=kv", "-version=2", "kv"], env=self.env, capture_output=True, check=False).returncode == 0)
        self.until(lambda: subprocess.run([BAO, "kv", "put", "-mount=kv", "x", "value=-"], env=self.env, input=VALUE.encode(), capture_output=True, check=False).returncode == 0)

    def until(self, good):
        for _ in range(200):
            if good():
                return
            time.sleep(0.05)
        self.process.kill()
        sys.exit("the OpenBao beside which it is measured does not start")

    def by_http(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl.create_default_context(cafile=self.authority))

        def read():
            connection.request("GET", "/v1/kv/data/x", headers={"X-Vault-Token": self.token})
            return json.loads(connection.getresponse().read())["data"]["data"]["value"]

        return read

    def by_requests(self):
        import requests

        session = requests.Session()
        session.trust_env, session.verify, session.headers["X-Vault-Token"] = False, str(self.authority), self.token
        return lambda: session.get(f"https://127.0.0.1:{self.port}/v1/kv/data/x").json()["data"]["data"]["value"]

    def by_hvac(self):
        import hvac

        client = hvac.Client(url=f"https://127.0.0.1:{self.port}", token=self.token, verify=str(self.authority))
        return lambda: client.secrets.kv.v2.read_secret_version("x", mount_point="kv", raise_on_deleted_version=True)["data"]["data"]["value"]


def by_donjon():
    from ansible_collections.donjon.broker.plugins.plugin_utils import daemon

    broker = daemon.Broker(str(WORK / "home" / "run" / "donjon.sock"))
    return lambda: broker.read([("x", "whole")])[1][0].decode()


def microseconds(read):
    begun = time.perf_counter()
    value = read()
    took = (time.perf_counter() - begun) * 1e6
    assert value == VALUE
    return took


def each_second(client):
    """Of so many processes at once, each with a connection of its own."""
    gate, counts = multiprocessing.Barrier(PROCESSES + 1), multiprocessing.Queue()

    def work():
        read, count = client(), 0
        microseconds(read)
        gate.wait()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            microseconds(read)
            count += 1
        counts.put(count)

    workers = [multiprocessing.Process(target=work) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    gate.wait()
    total = sum(counts.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / SECONDS


(WORK / "home").mkdir(mode=0o700)
OPENBAO = None
try:
    OPENBAO = OpenBao()
    run([DONJON, "up"], environment())
    run([DONJON, "put", "x"], environment(), VALUE.encode())
    clients = {"Donjon's client": by_donjon, "hvac": OPENBAO.by_hvac, "requests": OPENBAO.by_requests, "http.client": OPENBAO.by_http}
    reads = {name: client() for name, client in clients.items()}
    took = {name: [] for name in clients}
    for _ in range(ROUNDS):
        for name, read in reads.items():
            microseconds(read)
            took[name] += [microseconds(read) for _ in range(LOOKUPS // ROUNDS)]
    rates = {name: each_second(client) for name, client in clients.items()}
    own, own_rate = statistics.median(took["Donjon's client"]), rates["Donjon's client"]
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}; medians of {LOOKUPS}, and {PROCESSES} processes for {SECONDS} s")
    for name in clients:
        median, tail = statistics.median(took[name]), statistics.quantiles(took[name], n=100)[-1]
        print(f"{name:<16} {median:>7.0f} us (p99 {tail:.0f}), {median / own:.1f} x; {rates[name]:>8.0f} a second, {own_rate / rates[name]:.1f} x")
finally:
    if OPENBAO is not None:
        OPENBAO.process.kill()
        OPENBAO.process.wait()
    subprocess.run([DONJON, "down", "--force", "--no-search"], env=environment(), capture_output=True, check=False)
    shutil.rmtree(WORK, ignore_errors=True)
