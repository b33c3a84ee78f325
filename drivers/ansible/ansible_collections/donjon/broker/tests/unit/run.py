# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the real ansible-playbook in a folder of its own."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

COLLECTIONS = os.path.realpath(os.path.join(os.path.dirname(__file__), *[".."] * 5))


class Site:
    """A folder with a playbook, where nothing of the machine's own configuration counts."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="donjon-site-")
        self.memory = tempfile.mkdtemp(prefix="donjon-site-", dir="/dev/shm")

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        shutil.rmtree(self.folder)
        shutil.rmtree(self.memory)

    def path(self, name):
        """A file of this folder."""
        return os.path.join(self.folder, name)

    def write(self, name, text):
        """A file of this folder, written."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def environment(self, broker, **more):
        """The settings that the mask asks for."""
        environment = {
            "PATH": os.path.dirname(sys.executable) + ":/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.folder,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": self.write("ansible.cfg", ""),
            "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
            "ANSIBLE_CALLBACKS_ENABLED": "donjon.broker.mask",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_LOCAL_TEMP": os.path.join(self.memory, "local"),
            "ANSIBLE_REMOTE_TEMP": "/dev/shm",
            "ANSIBLE_SYSTEM_TMPDIRS": "/dev/shm",
            "ANSIBLE_NO_TARGET_SYSLOG": "true",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "DONJON_SOCKET": broker.path if broker else self.path("nobody"),
        }
        environment.update(more)
        return {name: value for name, value in environment.items() if value is not None}

    def play(self, playbook, *arguments, broker=None, **more):
        """Runs a playbook: the exit code, and everything that was printed."""
        site = self.write("site.yml", playbook)
        return self.run(["playbook", "-i", "localhost,", "-c", "local", *arguments, site], broker=broker, **more)

    def run(self, arguments, broker=None, **more):
        """Runs one of Ansible's commands: the exit code, and everything that was printed."""
        done = subprocess.run(
            [sys.executable, "-m", "ansible", *arguments],
            env=self.environment(broker, **more),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=180,
        )
        return done.returncode, done.stdout.decode("utf-8", "surrogateescape")
