# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""The protocol, and what is said when it does not work."""
from __future__ import annotations

import os
import select
import socket
import tempfile
import threading
import unittest
from unittest import mock

from ansible_collections.donjon.broker.plugins.plugin_utils import daemon
from ansible_collections.donjon.broker.tests.unit.stand_in import StandIn


class Reading(unittest.TestCase):
    def setUp(self):
        patches = [mock.patch.object(daemon, "_pinned", None), mock.patch.object(daemon, "_idle", []), mock.patch.dict(os.environ)]
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(lambda: [kept.close() for _whose, kept in daemon._idle])
        os.environ.pop("DONJON_EPOCH", None)

    def test_all_names_in_one_round_trip_in_their_order(self):
        with StandIn({"a": "one", "b": "two", "k": "private"}, public={"k": "public"}) as broker:
            wanted = [("b", "whole"), ("k", "public_key"), ("a", "whole"), ("k", "private_key")]
            self.assertEqual(daemon.read_pinned(wanted, broker.path), ["two", "public", "one", "private"])
            self.assertEqual(len(broker.requests), 1)

    def test_a_process_keeps_its_connection_and_a_fork_has_its_own(self):
        with StandIn({"a": "one"}) as broker:
            for _each in range(3):
                self.assertEqual(daemon.read_pinned([("a", "whole")], broker.path), ["one"])
            self.assertEqual((len(broker.requests), broker.connections), (3, 1))
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if daemon.read_pinned([("a", "whole")], broker.path) == ["one"] else 1
                finally:
                    os._exit(code)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(broker.connections, 2)
            self.assertEqual(daemon.read_pinned([("a", "whole")], broker.path), ["one"])
            self.assertEqual(broker.connections, 2, "the fork took nothing away")
            daemon.read_pinned([("a", "whole")], broker.path, timeout=5.0)
            self.assertEqual(broker.connections, 3, "another time-out is another connection")

    def test_a_broker_that_was_started_anew_is_asked_anew(self):
        with StandIn({"a": "one"}) as broker:
            daemon.read_pinned([("a", "whole")], broker.path)
            broker.hang_up()
            self.assertEqual(daemon.read_pinned([("a", "whole")], broker.path), ["one"])
            self.assertEqual(broker.connections, 2)
            with self.assertRaises(daemon.BrokerError):
                daemon.read_pinned([("gone", "whole")], broker.path)
            self.assertEqual(daemon.read_pinned([("a", "whole")], broker.path), ["one"])
            path = broker.path
        broker.hang_up()
        with self.assertRaises(daemon.BrokerError) as raised:
            daemon.read_pinned([("a", "whole")], path)
        self.assertIn("there is no broker", str(raised.exception))

    def test_what_nobody_asked_for_is_no_answer(self):
        class Talkative(StandIn):
            def answer(self, request):
                return super().answer(request) * 2

        with Talkative({"a": "one", "b": "two"}) as broker:
            self.assertEqual(daemon.read_pinned([("a", "whole")], broker.path), ["one"])
            for _each in range(500):
                if not daemon._idle[0][1].quiet():
                    break
                select.select([], [], [], 0.01)
            self.assertEqual(daemon.read_pinned([("b", "whole")], broker.path), ["two"])
            self.assertEqual(broker.connections, 2)

    def test_the_first_answer_pins_the_epoch(self):
        with StandIn({"a": "one"}) as broker:
            daemon.read_pinned([("a", "whole")], broker.path)
            daemon.read_pinned([("a", "whole")], broker.path)
            self.assertEqual([request["epoch"] for request in broker.requests], [None, 7])
            broker.epoch = 8
            with self.assertRaises(daemon.BrokerError) as raised:
                daemon.read_pinned([("a", "whole")], broker.path)
            self.assertEqual(raised.exception.code, 5)
            self.assertIn("the secrets changed while this run was under way", str(raised.exception))
            self.assertIn("start the run again", str(raised.exception))

    def test_a_declared_epoch_counts_from_the_start(self):
        os.environ["DONJON_EPOCH"] = "6"
        with StandIn({"a": "one"}) as broker:
            with self.assertRaises(daemon.BrokerError):
                daemon.read_pinned([("a", "whole")], broker.path)
        os.environ["DONJON_EPOCH"] = "six"
        with self.assertRaises(daemon.BrokerError) as raised:
            daemon.read_pinned([("a", "whole")], "/nowhere")
        self.assertEqual(raised.exception.code, 2)

    def test_an_answer_of_another_epoch_than_asked_for_is_not_believed(self):
        class Careless(StandIn):
            def answer(self, request):
                return super().answer(dict(request, epoch=None))

        with Careless({"a": "one"}, epoch=9) as broker:
            with self.assertRaises(daemon.BrokerError) as raised:
                daemon.read_pinned([("a", "whole")], broker.path, epoch=8)
            self.assertIn("now it is 9", str(raised.exception))

    def test_the_error_of_the_broker_is_told_whole(self):
        with StandIn({}) as broker:
            with self.assertRaises(daemon.BrokerError) as raised:
                daemon.read_pinned([("gone", "whole")], broker.path)
        self.assertEqual(
            str(raised.exception),
            "there is no secret `gone`\ncaused by: a cause\nstate: nothing was answered\nhint: the nearest name is `x`",
        )

    def test_a_value_that_is_not_text_is_refused_without_being_shown(self):
        with StandIn({"a": b"\xff\xfecanary"}) as broker:
            with self.assertRaises(daemon.BrokerError) as raised:
                daemon.read_pinned([("a", "whole")], broker.path)
        self.assertIn("`a` is not text", str(raised.exception))
        self.assertNotIn("canary", str(raised.exception))


class Reaching(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "s")

    def failure(self, **more):
        with self.assertRaises(daemon.BrokerError) as raised, daemon.Broker(self.path, **more) as broker:
            broker.names()
        return raised.exception

    def listen(self, answer=None):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen(1)
        if answer is not None:

            def serve():
                stream, _peer = listener.accept()
                with stream:
                    stream.recv(1 << 16)
                    stream.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
        return listener

    def test_nobody_there(self):
        failure = self.failure()
        self.assertEqual(failure.code, 6)
        self.assertIn("start it with `donjon up`", str(failure))

    def test_somebody_was_there(self):
        self.listen().close()
        failure = self.failure()
        self.assertIn("is not running", str(failure))

    def test_somebody_who_does_not_answer(self):
        self.listen()
        failure = self.failure(timeout=0.2)
        self.assertIn("did not answer within 0.2 s", str(failure))

    def test_somebody_who_leaves_in_the_middle(self):
        for answer in (b"", b"\0\0", b"\0\0\0\x09{", b"\0\0\0\x25" + b'{"v":1,"reply":{"a":1},"materials":1}\0\0\0\x09ab'):
            self.listen(answer)
            self.assertIn("the connection to the broker broke", str(self.failure()))
            os.unlink(self.path)

    def test_somebody_who_speaks_otherwise(self):
        def framed(text):
            return bytes([0, 0, 0, len(text)]) + text

        for answer in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            framed(b"no json"),
            framed(b'{"v":2,"reply":{}}'),
            framed(b'{"v":1,"materials":5000,"reply":{}}'),
            framed(b'{"v":1,"materials":"1","reply":{}}'),
            framed(b'{"v":1}'),
            framed(b"[]"),
        ):
            self.listen(answer)
            self.assertIn("does not speak version 1", str(self.failure()), answer)
            os.unlink(self.path)

    @unittest.skipIf(os.geteuid() != 0, "only root can let another user listen")
    def test_a_socket_of_another_user_is_not_believed(self):
        self.listen()
        with mock.patch("os.geteuid", return_value=12345), mock.patch("struct.unpack", return_value=(1, 4321, 1)):
            self.assertEqual(self.failure().code, 3)

    def test_where_it_is_looked_for(self):
        with mock.patch("os.geteuid", return_value=1000):
            self.assertEqual(daemon.default_socket({"DONJON_HOME": "/h"}), "/h/run/donjon.sock")
            self.assertEqual(daemon.default_socket({"XDG_STATE_HOME": "/x"}), "/x/donjon/run/donjon.sock")
            self.assertTrue(daemon.default_socket({}).endswith("/.local/state/donjon/run/donjon.sock"))
        with mock.patch("os.geteuid", return_value=0):
            self.assertEqual(daemon.default_socket({}), "/var/lib/donjon/run/donjon.sock")
