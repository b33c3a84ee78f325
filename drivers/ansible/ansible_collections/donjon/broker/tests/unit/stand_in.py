# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""A broker for unit tests: its protocol over a real unix socket, its values in a dictionary."""
from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import tempfile
import threading


class StandIn:
    """Listens from C(with) on; C(requests) has what was asked."""

    def __init__(self, values, epoch=7, public=None, older=None):
        self.values = values
        self.public = public or {}
        self.older = older or {}
        self.epoch = epoch
        self.requests = []
        self.connections = 0
        self._streams = []
        self.folder = tempfile.mkdtemp(prefix="donjon-unit-")
        self.path = os.path.join(self.folder, "donjon.sock")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self):
        self._listener.bind(self.path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_reason):
        self._listener.close()
        shutil.rmtree(self.folder)

    def _accept(self):
        while True:
            try:
                stream, _peer = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._streams.append(stream)
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def hang_up(self):
        """End every connection, as a broker does that ends."""
        for stream in self._streams:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _serve(self, stream):
        with stream:
            while True:
                head = stream.recv(4, socket.MSG_WAITALL)
                if len(head) < 4:
                    return
                request = json.loads(stream.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))
                self.requests.append(request)
                for frame in self.answer(request):
                    stream.sendall(struct.pack(">I", len(frame)) + frame)

    def answer(self, request):
        """The frames of the answer to one request."""
        if request["op"] == "names":
            return [_header("reply", {"epoch": self.epoch, "names": list(self.values)})]
        if request["epoch"] not in (None, self.epoch):
            return [_error(5, "the epoch is %d, and this run is pinned to %d" % (self.epoch, request["epoch"]))]
        if request["op"] == "replaced":
            names = [wanted["name"] for wanted in request["names"] if wanted["name"] in self.older]
            return self._reply({"names": names}, [self.older[name] for name in names])
        values = []
        for wanted in request["names"]:
            source = self.public if wanted["part"] == "public_key" else self.values
            if wanted["name"] not in source:
                return [_error(4, "there is no secret `%s`" % wanted["name"], hint="the nearest name is `x`")]
            values.append(source[wanted["name"]])
        return self._reply({"versions": [2 if wanted["name"] in self.older else 1 for wanted in request["names"]]}, values)

    def _reply(self, told, values):
        materials = [value if isinstance(value, bytes) else value.encode() for value in values]
        # Progress may come before any reply.
        return [_header("event", {"done": 1}), _header("reply", dict(told, epoch=self.epoch), len(materials))] + materials


def _header(kind, content, materials=0):
    return json.dumps({"v": 1, kind: content, "materials": materials}).encode()


def _error(code, message, **more):
    return _header("error", dict(more, code=code, message=message, causes=["a cause"], state="nothing was answered"))
