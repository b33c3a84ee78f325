"""Processes of a bench: their environment, a run that must end well, a free port, and an OpenBao in memory."""
import os
import socket
import subprocess
import sys
import time


def environment(**own):
    """This process's environment without what would reach another broker, Vault or Ansible, and with `own`."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "DONJON_", "ANSIBLE_"))} | own


def run(words, env=None, stdin=b"", check=True):
    """What a process printed; one that fails ends the bench."""
    done = subprocess.run(words, env=env, input=stdin, capture_output=True, check=False)
    if check and done.returncode != 0:
        sys.exit(f"{words[:4]} ended with {done.returncode}: {(done.stdout + done.stderr).decode()[-2000:]}")
    return done.stdout


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def openbao(bao, **own):
    """A server in memory, without TLS or audit: its process, its address, and the environment in which `bao` reaches it."""
    listen = f"127.0.0.1:{port()}"
    env = environment(**own, BAO_ADDR=f"http://{listen}", BAO_TOKEN="root")
    words = [bao, "server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address={listen}", "-dev-no-store-token"]
    server = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if subprocess.run([bao, "status"], env=env, capture_output=True, check=False).returncode == 0:
            return server, env["BAO_ADDR"], env
        time.sleep(0.05)
    server.kill()
    sys.exit("bao server -dev did not start")
