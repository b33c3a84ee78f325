# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""What Ansible would write behind the back of a mask, and where."""
from __future__ import annotations

import json
import os

IN_MEMORY = ("tmpfs", "ramfs")
# In memory on every Linux host, for whoever a task becomes. Each name that Ansible and its modules make right in it is new or an
# error, and random; a folder below it may be somebody else's. A path with a variable is none of these: to a host's shell
# `${A:-/run}` is another path than to its modules, sudo unsets most, and a module makes the folder that it then reads, on a disk.
REMOTE = "/dev/shm"
OPEN_TO_ALL = ("/dev/shm/", "/run/lock/", "/run/shm/", "/tmp/", "/var/tmp/")


def faults(pipelining, inventory, keep_remote_files, local_tmp, remote_tmp, system_tmpdirs, world_readable_temp, no_target_syslog):
    """One sentence for each setting that would put values on a disk or into a log: what, where, and what to set."""
    found = []
    not_pipelined = those_with(inventory, ("ansible_pipelining", "ansible_ssh_pipelining"), _off)
    if not pipelining:
        found.append(
            "pipelining is off: each task writes AnsiballZ_*.py with its arguments in clear to remote_tmp on its host; "
            "set ANSIBLE_PIPELINING=true (sudo must not require a tty)"
        )
    elif not_pipelined:
        found.append(
            "ansible_pipelining is off for %s: their tasks write AnsiballZ_*.py with arguments in clear; remove that variable"
            % _few(not_pipelined)
        )
    if keep_remote_files:
        found.append(
            "keep_remote_files is on: it turns pipelining off and leaves AnsiballZ_*.py with arguments in clear; "
            "unset ANSIBLE_KEEP_REMOTE_FILES"
        )
    where = filesystem(local_tmp)
    if where not in IN_MEMORY:
        found.append(
            "local_tmp (%s) is on %s: `template` writes each rendered file there before it is copied; "
            "set ANSIBLE_LOCAL_TEMP=%s" % (local_tmp, where or "an unknown file system", REMOTE)
        )
    stranger = stranger_of(local_tmp)
    if stranger is not None:
        found.append(
            "local_tmp (%s) is in %s, where %s can replace files: set ANSIBLE_LOCAL_TEMP to a folder that nobody else can write to"
            % (local_tmp, stranger[0], stranger[1])
        )
    place = str(remote_tmp or "")
    if place.startswith(OPEN_TO_ALL) and _elsewhere(place):
        found.append(
            "remote_tmp (%s) is where every user of a host can make that name first, for Ansible to put rendered files into: "
            "set ANSIBLE_REMOTE_TEMP=%s" % (place, REMOTE)
        )
    elif _elsewhere(place):
        found.append(
            "remote_tmp (%s) is not known to be in memory for every user of a host: rendered files wait there before they are moved "
            "to their place, and modules write there; set ANSIBLE_REMOTE_TEMP=%s" % (place, REMOTE)
        )
    if _elsewhere(system_tmpdirs):
        found.append(
            "system_tmpdirs (%s) is not known to be in memory: where a task becomes a user other than root, rendered files wait there; "
            "set ANSIBLE_SYSTEM_TMPDIRS=%s" % (_few(system_tmpdirs or ["unknown"]), REMOTE)
        )
    moved = those_with(inventory, ("ansible_remote_tmp", "ansible_system_tmpdirs"), _elsewhere)
    if moved:
        found.append(
            "ansible_remote_tmp or ansible_system_tmpdirs of %s is not known to be in memory; remove that variable" % _few(moved)
        )
    readable = those_with(inventory, ("ansible_shell_allow_world_readable_temp",), lambda value: not _off(value))
    if world_readable_temp or readable:
        found.append(
            "world_readable_temp is on%s: where a task becomes a user other than root, all users of its host can read rendered files; "
            "set ANSIBLE_SHELL_ALLOW_WORLD_READABLE_TEMP=false" % (" for %s" % _few(readable) if readable else "")
        )
    if not no_target_syslog:
        found.append(
            "no_target_syslog is off: modules write their arguments to the log of their host; set ANSIBLE_NO_TARGET_SYSLOG=true"
        )
    return found


def stranger_of(path):
    """The folder on the way to C(path) in which somebody else can replace what is ours, and who that is; None where nobody can."""
    path = os.path.realpath(os.path.expanduser(os.path.expandvars(path)))
    while path != "/":
        path = os.path.dirname(path)
        try:
            folder = os.stat(path)
        except OSError:
            continue
        if folder.st_uid not in (0, os.geteuid()):
            return path, "its owner (user %d)" % folder.st_uid
        # With the sticky bit, everybody replaces what is his own alone.
        if folder.st_mode & 0o022 and not folder.st_mode & 0o1000:
            return path, "others than its owner"
    return None


def filesystem(path, mounts="/proc/self/mountinfo"):
    """The type of the file system that C(path), or the nearest folder above it that exists, is on."""
    path = os.path.realpath(os.path.expanduser(os.path.expandvars(path)))
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    device = os.stat(path).st_dev
    wanted = "%d:%d" % (os.major(device), os.minor(device))
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                before, _dash, after = line.partition(" - ")
                if before.split(" ")[2] == wanted:
                    return after.split(" ")[0]
    except OSError:
        pass
    return None


def those_with(inventory, variables, wrong):
    """Groups and hosts whose own variables, if they are there, are wrong."""
    if inventory is None:
        return []
    named = list(getattr(inventory, "groups", {}).values()) + list(getattr(inventory, "hosts", {}).values())
    own = [(thing.name, getattr(thing, "vars", {}).get(name)) for thing in named for name in variables]
    return sorted({name for name, value in own if value is not None and wrong(value)})


def without_values(facts, mask):
    """Facts of one host as a cache gets them, without those that hold values, and the names of these."""
    # Since ansible-core 2.19 a cache gets one JSON text.
    payload = facts.get("__payload__") if isinstance(facts, dict) and len(facts) == 1 else None
    plain = json.loads(payload) if isinstance(payload, str) else facts
    if not isinstance(plain, dict):
        return facts, []
    left_out = [name for name, fact in plain.items() if mask.shows(json.dumps({name: fact}, default=str))]
    if not left_out:
        return facts, []
    kept = {name: fact for name, fact in plain.items() if name not in left_out}
    return ({"__payload__": json.dumps(kept)} if isinstance(payload, str) else kept), left_out


def _elsewhere(paths):
    """Whether any of these is not, as it stands, the one folder that is known."""
    if isinstance(paths, str):
        paths = paths.split(",")
    return not paths or any(str(path).strip().rstrip("/") != REMOTE for path in paths)


def _off(value):
    return str(value).strip().lower() in ("false", "no", "off", "0", "n", "f")


def _few(names):
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else "%s and %d more" % (shown, len(names) - 5)
