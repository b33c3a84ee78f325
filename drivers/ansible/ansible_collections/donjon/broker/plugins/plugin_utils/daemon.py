# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""The broker's unix socket: version 1 of its protocol, with the standard library alone.

A message is one header frame, a JSON object whose C(materials) says how many material frames follow. A frame is four
bytes of length, most significant first, and then the bytes. Values travel in material frames only.
"""
from __future__ import annotations

import json
import os
import select
import socket
import struct

LARGEST_FRAME = 1 << 20
MOST_MATERIALS = 4096
AT_ONCE = 1 << 14
PARTS = ("whole", "private_key", "public_key")

# The epoch that this process, and every worker forked from it, reads at. See `pin`.
_pinned = None
# The connection of the last lookup of this process, for the next one: a task may look up hundreds. It is taken out while it is
# used, and never by a worker that was forked with it. A list, since taking from it is one step for threads.
_idle = []


class BrokerError(Exception):
    """The broker did not do what it was asked. Holds no values. C(code) is one of Donjon's exit codes."""

    def __init__(self, message, code=1, causes=(), state=None, hint=None):
        super().__init__(message)
        self.message = message
        self.code = code
        self.causes = tuple(causes)
        self.state = state
        self.hint = hint

    def __str__(self):
        lines = [self.message]
        lines.extend("caused by: %s" % cause for cause in self.causes)
        if self.state:
            lines.append("state: %s" % self.state)
        if self.hint:
            lines.append("hint: %s" % self.hint)
        return "\n".join(lines)


def default_socket(environment=None):
    """Where the broker listens when nobody says otherwise."""
    environment = os.environ if environment is None else environment
    home = environment.get("DONJON_HOME")
    if not home and os.geteuid() == 0:
        home = "/var/lib/donjon"
    if not home:
        state = environment.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        home = os.path.join(state, "donjon")
    return os.path.join(home, "run", "donjon.sock")


def pinned(environment=None):
    """The epoch that answers must be of, or None before the first one."""
    environment = os.environ if environment is None else environment
    declared = environment.get("DONJON_EPOCH")
    if not declared:
        return _pinned
    if not declared.isdigit():
        raise BrokerError(
            "DONJON_EPOCH is not a number: %r" % declared, code=2, hint="`donjon run --deploy` sets it; do not set it yourself"
        )
    return int(declared)


def pin(epoch):
    """Hold this process to one epoch. The first call counts."""
    global _pinned  # pylint: disable=global-statement
    if _pinned is None:
        _pinned = epoch


class Broken(BrokerError):
    """A connection that was there is no more."""


class Broker:
    """One connection, for as many requests as wanted."""

    def __init__(self, path=None, timeout=30.0):
        self.path = os.fspath(path) if path else default_socket()
        self.timeout = timeout
        self._stream = None
        self._received = bytearray()

    def __enter__(self):
        self._connect()
        return self

    def __exit__(self, *_reason):
        self.close()

    def close(self):
        """End the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._received.clear()

    def quiet(self):
        """Whether the connection is there, and nothing has come over it that nobody asked for."""
        if self._stream is None or self._received:
            return False
        come = select.poll()
        come.register(self._stream, select.POLLIN)
        return not come.poll(0)

    def names(self):
        """The epoch, and the names of all secrets."""
        reply, _none = self._ask({"op": "names"})
        if "epoch" not in reply:
            raise BrokerError(
                "the broker that runs at %s is older than this collection" % self.path,
                code=6,
                hint="`donjon status` tells its process: end that by SIGTERM, then `donjon up`",
            )
        return reply["epoch"], reply["names"]

    def read(self, wanted, epoch=None):
        """Values of C(wanted), a list of (name, part), in one round trip. Gives the epoch, the values as bytes, and which version
        of its secret each is."""
        reply, materials = self._values("read", wanted, epoch)
        _as_many(reply["versions"], materials, len(wanted))
        return reply["epoch"], materials, reply["versions"]

    def replaced(self, wanted, epoch=None):
        """What was there before, as bytes, of those of C(wanted) that have such a version."""
        reply, materials = self._values("replaced", wanted, epoch)
        _as_many(reply["names"], materials, len(reply["names"]))
        return materials

    def _values(self, op, wanted, epoch):
        names = [{"name": name, "part": part} for name, part in wanted]
        try:
            reply, materials = self._ask({"op": op, "names": names, "epoch": epoch})
        except BrokerError as error:
            if epoch is not None and error.code == 5:
                raise changed(epoch, error.causes[0] if error.causes else error.message) from None
            raise
        if epoch is not None and reply["epoch"] != epoch:
            raise changed(epoch, "now it is %s" % reply["epoch"])
        return reply, materials

    def _connect(self):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(self.timeout)
        try:
            stream.connect(self.path)
            self._check_peer(stream)
        except FileNotFoundError:
            stream.close()
            raise BrokerError(
                "there is no broker at %s" % self.path,
                code=6,
                hint="start it with `donjon up`; if it has another home, set DONJON_HOME or DONJON_SOCKET "
                "(sudo drops both unless told to keep them)",
            ) from None
        except ConnectionRefusedError:
            stream.close()
            raise BrokerError(
                "the broker at %s is not running" % self.path, code=6, hint="`donjon status` says how it is, `donjon up` starts it"
            ) from None
        except PermissionError:
            stream.close()
            raise BrokerError(
                "the broker at %s belongs to another user" % self.path,
                code=3,
                hint="run Ansible as the user that ran `donjon up`",
            ) from None
        except OSError as error:
            stream.close()
            raise BrokerError("cannot reach the broker at %s" % self.path, code=6, causes=[error.strerror or str(error)]) from None
        except BrokerError:
            stream.close()
            raise
        self._stream = stream

    def _check_peer(self, stream):
        """Take values from root and from ourselves only: whoever may write into the folder could listen there too."""
        if not hasattr(socket, "SO_PEERCRED"):
            return
        size = struct.calcsize("3i")
        _pid, user, _group = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if user not in (0, os.geteuid()):
            raise BrokerError("the process that listens at %s is of user %d, not of this one" % (self.path, user), code=3)

    def _ask(self, request):
        header = json.dumps(dict(request, v=1, materials=0)).encode()
        if len(header) > LARGEST_FRAME:
            raise BrokerError("the request is too large: ask for fewer names at once", code=2)
        if self._stream is None:
            self._connect()
        try:
            self._stream.sendall(struct.pack(">I", len(header)) + header)
            while True:
                answer, materials = self._message()
                if "event" not in answer:
                    break
        except socket.timeout:
            self.close()
            raise BrokerError(
                "the broker at %s did not answer within %g s" % (self.path, self.timeout),
                code=6,
                hint="`donjon status` says whether its store answers; DONJON_TIMEOUT allows more time",
            ) from None
        except BrokerError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise Broken("the connection to the broker broke", code=6, causes=[error.strerror or "it ended"]) from None
        if "error" in answer:
            error = answer["error"]
            raise BrokerError(
                error.get("message", "the broker refused"),
                code=error.get("code", 1),
                causes=error.get("causes") or (),
                state=error.get("state"),
                hint=error.get("hint"),
            )
        if "reply" not in answer:
            raise _foreign()
        return answer["reply"], materials

    def _message(self):
        try:
            header = json.loads(self._frame())
        except ValueError:
            raise _foreign() from None
        if not isinstance(header, dict) or header.get("v") != 1:
            raise _foreign()
        count = header.get("materials", 0)
        if not isinstance(count, int) or not 0 <= count <= MOST_MATERIALS:
            raise _foreign()
        return header, [self._frame() for _index in range(count)]

    def _frame(self):
        (length,) = struct.unpack(">I", self._exactly(4))
        if length > LARGEST_FRAME:
            raise _foreign()
        return self._exactly(length)

    def _exactly(self, length):
        while len(self._received) < length:
            piece = self._stream.recv(max(length - len(self._received), AT_ONCE))
            if not piece:
                raise ConnectionError
            self._received += piece
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken


def _as_many(told, materials, count):
    if not len(told) == len(materials) == count:
        raise BrokerError("the broker sent %d values for %d names" % (len(materials), count), code=70)


def changed(wanted, cause):
    """The error for an epoch that moved under a run."""
    return BrokerError(
        "the secrets changed while this run was under way, which began at epoch %s" % wanted,
        code=5,
        causes=[cause],
        state="tasks before this one used the older values; no value of the newer epoch was handed out",
        hint="start the run again; `donjon run --deploy -- …` makes rotations wait for a run",
    )


def read_pinned(wanted, path=None, timeout=30.0, epoch=None):
    """Values of C(wanted) as text, all of one epoch, which the first answer in this process settles."""
    epoch = pinned() if epoch is None else epoch
    answered, materials, _versions = _read(wanted, path, timeout, epoch)
    pin(answered)
    return [_text(name, material) for (name, _part), material in zip(wanted, materials)]


def _read(wanted, path, timeout, epoch):
    """One reading, over the connection of the last one where that still is."""
    broker = Broker(path, timeout)
    of_whom = (os.getpid(), os.path.abspath(broker.path), timeout)
    kept = None
    try:
        whose, kept = _idle.pop()
    except IndexError:
        whose = None
    if kept is not None and (whose != of_whom or not kept.quiet()):
        # Of the process that this one was forked from, or of a broker that was started anew since.
        kept.close()
        kept = None
    broker = kept or broker
    try:
        try:
            answer = broker.read(wanted, epoch)
        except Broken:
            if kept is None:
                raise
            # In this very moment. Reading is repeated over a connection of its own.
            answer = broker.read(wanted, epoch)
    except BaseException:
        broker.close()
        raise
    _idle.append((of_whom, broker))
    return answer


def _text(name, material):
    try:
        return material.decode("utf-8")
    except UnicodeDecodeError:
        raise BrokerError(
            "`%s` is not text, and Ansible handles text only" % name, code=2, hint="store it in base64 and decode where it is used"
        ) from None


def _foreign():
    return BrokerError("what listens on the broker's socket does not speak version 1 of its protocol", code=70)
