# SPDX-License-Identifier: Apache-2.0
"""The reader of a node or of the deployment host (`donjon serve`): all names in one request, with the standard library alone.

It is asked over TLS (``https://ctl1:8200``), where the server's certificate must be good and the client shows a certificate of
its own or logs in with an AppRole; or at its unix socket (``unix:///run/donjon-reader/reader.sock``), where the kernel says
who asks. In clear it is asked on loopback alone, and where root or this user listens: any user may listen at a high port.
"""

import functools
import http.client
import io
import ipaddress
import json
import os
import socket
import ssl
import sys
import time
import urllib.parse

from donjon.broker import BrokerError, _check_peer

LARGEST_ANSWER = 64 << 20


class Reader:
    """Where it is, and what it is asked with. Each file is read when it is asked."""

    def __init__(self, address, mount="donjon", deployment="", ca_file=None, cert_file=None, key_file=None,
                 role_id_file=None, secret_id_file=None):
        self.address, self.mount, self.deployment = address, mount.strip("/"), deployment
        self.ca_file, self.cert_file, self.key_file = ca_file, cert_file, key_file
        self.role_id_file, self.secret_id_file = role_id_file, secret_id_file
        if not deployment:
            raise ValueError("deployment is missing: it is the folder of the secrets' names")
        if bool(cert_file) != bool(key_file):
            raise ValueError("cert_file and key_file go together")
        if bool(role_id_file) != bool(secret_id_file):
            raise ValueError("role_id_file and secret_id_file go together")
        self.place = urllib.parse.urlsplit(address)
        loopback = self.place.hostname in ("127.0.0.1", "::1", "localhost")
        if self.place.scheme == "http" and not loopback:
            raise ValueError(f"{address} is not on this machine, and secrets would cross the network in clear: use https")
        if self.place.scheme not in ("http", "https", "unix"):
            raise ValueError(f"{address} is neither https://HOST:PORT nor unix:///PATH")
        try:
            # Without one, that of the scheme, as everywhere.
            self.port = self.place.port or {"https": 443, "http": 80}.get(self.place.scheme)
        except ValueError:
            raise ValueError(f"{address} has no port that is a number") from None

    def read(self, names, timeout):
        """The values of these names, in their order, as bytes: one request, within ``timeout`` seconds as a whole."""
        deadline = time.monotonic() + timeout
        try:
            connection = self._connection(timeout)
        except (OSError, ssl.SSLError) as error:
            raise BrokerError(f"a file for {self.address} cannot be used: {error}") from None
        try:
            headers = {"Content-Type": "application/json"}
            if self.role_id_file:
                headers["X-Vault-Token"] = self._login(connection, deadline)
            paths = [f"{self.deployment}/{name}" for name in names]
            body = {"mount": self.mount, "paths": paths}
            status, answer = _ask(connection, "/v1/sys/donjon/records", body, headers, deadline)
        except (socket.timeout, TimeoutError):
            raise BrokerError(f"the reader at {self.address} did not answer within {timeout} s") from None
        except ssl.SSLCertVerificationError as error:
            raise BrokerError(f"the certificate of {self.address} is not believed: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            told = getattr(error, "strerror", None) or type(error).__name__
            raise BrokerError(f"the reader at {self.address} cannot be asked: {told}") from None
        finally:
            connection.close()
        if status != 200:
            raise BrokerError(self._refused(status, answer, names))
        records = _map(answer, "data").get("records")
        if not isinstance(records, list) or len(records) != len(names):
            raise BrokerError(f"what listens at {self.address} is no reader of this version")
        return [_value(name, record) for name, record in zip(names, records)]

    def _connection(self, timeout):
        if self.place.scheme == "unix":
            return _Unix(self.place.path, timeout)
        if self.place.scheme == "http":
            return _Loopback(self.place.hostname, self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return http.client.HTTPSConnection(self.place.hostname, self.port, timeout=timeout, context=context)

    def _login(self, connection, deadline):
        try:
            with open(self.role_id_file, encoding="utf-8") as role, open(self.secret_id_file, encoding="utf-8") as secret:
                body = {"role_id": role.read().strip(), "secret_id": secret.read().strip()}
        except OSError as error:
            raise BrokerError(f"{error.filename}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BrokerError(f"{self.role_id_file} and {self.secret_id_file}: one of them is not text") from None
        status, answer = _ask(connection, "/v1/auth/approle/login", body, {}, deadline)
        token = _map(answer, "auth").get("client_token")
        # A line break would end the header that it goes into.
        if status != 200 or not isinstance(token, str) or not (token.isascii() and token.isprintable()):
            raise BrokerError(f"{self.address} does not let this AppRole in ({status}: {_errors(answer)})")
        return token

    def _refused(self, status, answer, names):
        # The reader repeats nothing that it was asked: it says which by their places.
        places = _map(answer, "data").get("places")
        places = places if isinstance(places, list) else []
        which = [names[place] for place in places if isinstance(place, int) and 0 <= place < len(names)]
        about = ", ".join(f"`{name}`" for name in which[:10]) or "the secrets"
        if status == 404:
            return f"{about}: not there"
        if status == 403:
            return f"{about}: this service may not read that at {self.address}"
        return f"the reader at {self.address} answered {status}: {_errors(answer)}"


class _Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("reader", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        _check_peer(self.sock, self._path)


class _Loopback(http.client.HTTPConnection):
    def connect(self):
        super().connect()
        _check_listener(self.sock.getpeername()[:2], self.sock.getsockname()[:2])


def _check_listener(there, here):
    """Nothing is said to, nor taken from, a process of another user: the kernel tells whose the listening socket is, and
    whose the other end of this connection once it was accepted."""
    there, here = (_plain(there[0]), there[1]), (_plain(here[0]), here[1])
    listens = False
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as table:
                rows = [line.split() for line in table][1:]
        except FileNotFoundError:
            continue
        for row in rows:
            local, remote, state, user, inode = _end(row[1]), _end(row[2]), row[3], int(row[7]), int(row[9])
            listening = state == "0A" and local[1] == there[1] and (local[0] == there[0] or local[0].is_unspecified)
            # One that nobody has accepted yet, or that has ended, is nobody's and reads as root's.
            ours = state == "01" and inode != 0 and (local, remote) == (there, here)
            listens = listens or listening
            if (listening or ours) and user not in (0, os.geteuid()):
                raise BrokerError(f"the process that listens at {there[0]}:{there[1]} is of user {user}, neither root nor this one")
    if not listens:
        raise BrokerError(f"who listens at {there[0]}:{there[1]} cannot be told: use the reader's unix socket, or https")


def _end(text):
    """An address and a port, as the kernel writes them: each four bytes of an address as a number."""
    address, port = text.split(":")
    words = [bytes.fromhex(address[start:start + 8]) for start in range(0, len(address), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return _plain(b"".join(words)), int(port, 16)


def _plain(address):
    found = ipaddress.ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found


class _InTime(io.RawIOBase):
    """What a socket sends until a deadline, however slowly it comes."""

    def __init__(self, sock, deadline):
        super().__init__()
        self._sock, self._deadline = sock, deadline

    def readable(self):
        return True

    def readinto(self, buffer):
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)

    def makefile(self, _mode):
        """As a response asks a socket for it."""
        return io.BufferedReader(self)


def _response(deadline, sock, *args, **more):
    return http.client.HTTPResponse(_InTime(sock, deadline), *args, **more)


def _ask(connection, path, body, headers, deadline):
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    connection.timeout = left
    if connection.sock is not None:
        connection.sock.settimeout(left)
    # An answer that drips is cut at the deadline, its head too.
    connection.response_class = functools.partial(_response, deadline)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    taken = bytearray()
    while True:
        piece = response.read1(1 << 16)
        if not piece:
            break
        taken += piece
        if len(taken) > LARGEST_ANSWER:
            raise BrokerError("the reader's answer has no end")
    # Read to its end piece by piece, it is not done with by itself, and the connection would take no other request.
    response.close()
    try:
        answer = json.loads(bytes(taken))
    except (ValueError, RecursionError):
        answer = {}
    return response.status, answer if isinstance(answer, dict) else {}


def _map(answer, field):
    """A field that is to be an object, whatever the other side has put there."""
    found = answer.get(field)
    return found if isinstance(found, dict) else {}


def _errors(answer):
    errors = answer.get("errors")
    return "; ".join(str(error).strip() for error in errors) if isinstance(errors, list) and errors else "no reason given"


def _value(name, record):
    """The bytes of a record: castellan's field `value`, in hexadecimal."""
    try:
        return bytes.fromhex(record["data"]["value"])
    except (TypeError, KeyError, ValueError):
        raise BrokerError(f"`{name}` is no record of a secret") from None
