# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""What stands for an object: what can be read from it, and that the object stays as it is."""
from __future__ import annotations

import collections
import copy
import json
import pickle
import types
import unittest

from ansible_collections.donjon.broker.plugins.plugin_utils import covering, masking

VALUE = "Canary7Password7Canary"


class Play:
    """Like those of Ansible: it leads to itself, and to much else."""

    name = "play of " + VALUE

    def __init__(self):
        self.vars = {"password": VALUE, VALUE: ["x", (VALUE, b"of " + VALUE.encode())]}
        self.tasks = [Task(self)]
        self.proxied = types.MappingProxyType({"password": VALUE})
        self.queue = collections.deque([VALUE])
        self.pair = collections.namedtuple("Pair", "one two")(VALUE, 2)
        self.number = 7

    def __repr__(self):
        return "Play(%s)" % self.name

    def get_name(self):
        """A method."""
        return self.name

    def told(self, thing):
        """What it is called with."""
        return [thing is self, thing]

    def each(self):
        """A generator."""
        yield VALUE
        yield self

    @property
    def failing(self):
        """A template that fails."""
        raise ValueError("cannot evaluate " + VALUE)


class Task:
    """A part of a play."""

    def __init__(self, play):
        self.args = {"argv": [VALUE]}
        self._play = play


class Covering(unittest.TestCase):
    def setUp(self):
        self.faults = []
        self.play = Play()
        self.covered = covering.Covering(masking.Mask([VALUE]), self.faults.append)
        self.stands = self.covered(self.play)

    def tearDown(self):
        self.assertEqual(self.faults, [])

    def test_all_that_is_read_is_covered_and_the_object_is_not(self):
        stands = self.stands
        seen = [
            stands.name, stands.vars, stands.tasks[0].args, stands.tasks[0]._play.vars, stands.get_name(), repr(stands), str(stands),
            "%s" % stands, f"{stands}", vars(stands)["vars"], stands.__dict__["tasks"][0].args, dict(stands.proxied),
            stands.proxied["password"], list(stands.queue), stands.queue[0], stands.pair, list(stands.each())[0],
            list(stands.each())[1].name, stands.told(VALUE)[1], getattr(stands, "vars"), copy.copy(stands).name, copy.deepcopy(stands).vars,
            json.dumps(stands, default=str),
        ]
        for number, one in enumerate(seen):
            self.assertNotIn("7Password7", repr(one), number)
            self.assertIn("********", repr(one), number)
        self.assertEqual(self.play.vars["password"], VALUE)
        self.assertEqual(self.play.tasks[0].args, {"argv": [VALUE]})

    def test_it_is_what_it_stands_for_but_for_the_values(self):
        self.assertIsInstance(self.stands, Play)
        self.assertEqual(self.stands.number, 7)
        self.assertEqual(self.stands, self.play)
        self.assertEqual({self.play: 1}[self.stands], 1)
        self.assertIs(covering.plain(self.stands), self.play)
        self.assertIs(covering.plain(self.stands.tasks[0]._play), self.play)
        self.assertEqual(self.stands.told(self.stands)[0], True)
        self.assertFalse(hasattr(self.stands, "nothing_like_it"))
        self.assertNotIn("_donjon_thing", dir(self.stands))
        self.assertFalse(hasattr(self.stands, "_donjon_thing"))
        self.assertRaises(TypeError, pickle.dumps, self.stands)

    def test_what_a_callback_sets_never_gets_into_a_task(self):
        self.stands.name = "other"
        self.stands.vars["password"] = "other"
        del self.stands.name
        self.stands.more = 1
        self.assertEqual((self.stands.more, vars(self.stands)["more"]), (1, 1))
        self.assertEqual((self.play.name, self.play.vars["password"]), ("play of " + VALUE, VALUE))
        self.assertFalse(hasattr(self.play, "more"))

    def test_an_error_tells_no_value_and_leads_to_none(self):
        with self.assertRaises(RuntimeError) as raised:
            print(self.stands.failing)
        self.assertEqual(str(raised.exception), "cannot evaluate ********")
        self.assertIsNone(raised.exception.__context__)
        self.assertIsNone(raised.exception.__cause__)

    def test_what_cannot_be_covered_is_not_given_out(self):
        class Lazy(dict):
            """Fails while it is looked at."""

            def items(self):
                raise ValueError(VALUE)

        self.play.lazy = Lazy(x=VALUE)
        with self.assertRaises(RuntimeError) as raised:
            print(self.stands.lazy)
        self.assertNotIn(VALUE, str(raised.exception))
        self.assertEqual([type(fault) for fault in self.faults], [ValueError])
        self.faults.clear()
