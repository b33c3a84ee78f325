# SPDX-License-Identifier: Apache-2.0
"""The broker's unix socket: version 1 of its protocol, with the standard library alone.

A message is one header frame, a JSON object whose ``materials`` says how many material frames follow. A frame is four
bytes of length, most significant first, and then the bytes. Values travel in material frames only.
"""

import json
import os
import socket
import struct
import time

LARGEST_FRAME = 1 << 20
MOST_MATERIALS = 4096
LOOKUP_SOCKET = "/run/donjon/lookup.sock"


class BrokerError(Exception):
    """The broker did not answer with the values. Holds none of them."""


def default_socket(environment=None):
    """Where the broker listens when nobody says otherwise."""
    environment = os.environ if environment is None else environment
    if environment.get("DONJON_SOCKET"):
        return environment["DONJON_SOCKET"]
    home = environment.get("DONJON_HOME")
    if home:
        return os.path.join(home, "run", "donjon.sock")
    if os.geteuid() == 0:
        home = "/var/lib/donjon"
    else:
        state = environment.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        home = os.path.join(state, "donjon")
    own = os.path.join(home, "run", "donjon.sock")
    # A service has no broker of its own: it reads where the users of roles do.
    return LOOKUP_SOCKET if os.path.exists(LOOKUP_SOCKET) and not os.path.exists(own) else own


def read(path, names, timeout):
    """The values of these names, in their order, as bytes: one request, within ``timeout`` seconds as a whole."""
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(timeout)
        try:
            stream.connect(path)
            _check_peer(stream, path)
            request = {
                "v": 1,
                "op": "read",
                "names": [{"name": name, "part": "whole"} for name in names],
                "version": None,
                "epoch": None,
                "materials": 0,
            }
            header = json.dumps(request).encode()
            if len(header) > LARGEST_FRAME or len(names) > MOST_MATERIALS:
                raise BrokerError("more options are mapped than one request can hold")
            stream.sendall(struct.pack(">I", len(header)) + header)
            while True:
                answer, materials = _message(stream, deadline)
                if "event" not in answer:
                    break
        except FileNotFoundError:
            raise BrokerError(f"there is no broker at {path}: `donjon up` starts it") from None
        except ConnectionRefusedError:
            raise BrokerError(f"nobody listens at {path}: `donjon up` starts the broker") from None
        except PermissionError:
            raise BrokerError(f"this user may not open {path}") from None
        except socket.timeout:
            raise BrokerError(f"the broker at {path} did not answer within {timeout} s") from None
        except OSError as error:
            raise BrokerError(f"the connection to the broker at {path} broke: {error.strerror or error}") from None
    if "error" in answer:
        raise BrokerError(_told(answer["error"]))
    if "reply" not in answer or len(materials) != len(names):
        raise _foreign(path)
    return materials


def _check_peer(stream, path):
    """Takes values from root and from this user only: whoever may write into the folder could listen there too."""
    size = struct.calcsize("3i")
    _pid, user, _group = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if user not in (0, os.geteuid()):
        raise BrokerError(f"the process that listens at {path} is of user {user}, neither root nor this one")


def _message(stream, deadline):
    try:
        header = json.loads(_frame(stream, deadline))
    except ValueError:
        raise _foreign() from None
    if not isinstance(header, dict) or header.get("v") != 1:
        raise _foreign()
    count = header.get("materials", 0)
    if not isinstance(count, int) or not 0 <= count <= MOST_MATERIALS:
        raise _foreign()
    return header, [_frame(stream, deadline) for _index in range(count)]


def _frame(stream, deadline):
    (length,) = struct.unpack(">I", _exactly(stream, 4, deadline))
    if length > LARGEST_FRAME:
        raise _foreign()
    return _exactly(stream, length, deadline)


def _exactly(stream, length, deadline):
    taken = bytearray()
    while len(taken) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout
        stream.settimeout(left)
        piece = stream.recv(length - len(taken))
        if not piece:
            raise OSError("it ended before the answer did")
        taken += piece
    return bytes(taken)


def _told(error):
    if not isinstance(error, dict):
        return "the broker refused"
    words = [str(error.get("message", "the broker refused"))]
    words += [str(cause) for cause in error.get("causes") or ()]
    if error.get("hint"):
        words.append(str(error["hint"]))
    return "; ".join(words)


def _foreign(path="its socket"):
    return BrokerError(f"what listens at {path} does not speak version 1 of the broker's protocol")
