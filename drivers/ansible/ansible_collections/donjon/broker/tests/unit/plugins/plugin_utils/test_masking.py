# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Values are found in every form, and nothing else is."""
from __future__ import annotations

import base64
import dataclasses
import json
import random
import shlex
import string
import unittest
import urllib.parse

import yaml

from ansible_collections.donjon.broker.plugins.plugin_utils.masking import Mask, alone

AWKWARD = "q'u\"o\\te: #{}&/ %é$z"
KEY = "-----BEGIN PRIVATE KEY-----\n" + "\n".join("%064d" % (line * 7919) for line in range(1, 12)) + "\nQUJDREVGRw==\n-----END PRIVATE KEY-----\n"


class Forms(unittest.TestCase):
    def test_each_way_of_writing_a_value_is_covered(self):
        rng = random.Random(7)
        printable = "".join(chr(c) for c in range(33, 127)) + "é\n\t "
        values = ["Abcdefgh01234567", AWKWARD, "line one\nline two is here\n"]
        values += ["X" + "".join(rng.choice(printable) for _index in range(24)) + "Y" for _case in range(200)]
        for value in values:
            mask = Mask([value])
            written = {
                "raw": "a %s b" % value,
                "json": json.dumps({"k": value}),
                "json kept as it is": json.dumps({"k": value}, ensure_ascii=False),
                "json in json": json.dumps(json.dumps([value])),
                "yaml": yaml.safe_dump({"k": value}, default_style="'", width=10000) if "\n" not in value else "",
                "url": "mysql://u:%s@h/" % urllib.parse.quote(value, safe=""),
                "url, slashes kept": urllib.parse.quote(value),
                "form": urllib.parse.urlencode({"k": value}),
                "repr": repr([value]),
                "shell": shlex.join(["x", value]),
                "hex": value.encode().hex(),
                "base64": base64.b64encode(value.encode()).decode(),
                "base64 of more": base64.b64encode(b"user:" + value.encode() + b"@h").decode(),
                "base64 of more, 2": base64.b64encode(b"user12:" + value.encode() + b"@").decode(),
                "base64url": base64.urlsafe_b64encode(b"ab" + value.encode()).decode(),
            }
            for form, text in written.items():
                if text:
                    self.assertTrue(mask.shows(text), (form, value))
                    self.assertIn("********", mask.text(text), (form, value))
                    self.assertNotIn(value, mask.text(text), (form, value))

    def test_a_key_is_covered_line_by_line(self):
        mask = Mask([KEY])
        shown = mask.text("\n".join("+    " + line for line in KEY.splitlines()))
        for line in KEY.splitlines():
            if not line.startswith("-----"):
                self.assertNotIn(line, shown)
        self.assertIn("-----BEGIN PRIVATE KEY-----", shown)
        long = KEY.replace("\nQUJD", "".join("\n%064d" % (line * 104729) for line in range(1, 9)) + "\nQUJD")
        mask = Mask([long])
        written = (long, json.dumps(long), urllib.parse.quote(long), base64.b64encode(b"x" + long.encode()).decode())
        for text in written + (long.encode().hex(),):
            left = mask.text(text).replace("********", "")
            # The lines that begin and end a key, in whatever form, and line breaks.
            self.assertLess(len(left), 2 * (len("-----BEGIN PRIVATE KEY-----") * 2 + 24) + 3 * len(long.splitlines()), left)
        self.assertLess(len(mask.text(written[3])), 100)

    def test_the_keys_of_a_repository_are_values_of_their_own(self):
        self.assertEqual(alone('{"0":"a","1":"b"}'), ['{"0":"a","1":"b"}', "a", "b"])
        for value in ("", "x", "{", "[1]", '{"0":1}'):
            self.assertEqual(alone(value), [value])

    def test_the_longest_value_wins(self):
        self.assertEqual(Mask(["abcd", "abcdefgh"]).text("abcdefgh abcd abcdef"), "******** ******** ********ef")

    def test_short_values_and_none_at_all_cover_nothing(self):
        for mask in (Mask([]), Mask(["abc", ""])):
            self.assertEqual(mask.text("abc"), "abc")
            self.assertFalse(mask.shows("abc"))

    def test_what_holds_no_value_comes_back_as_it_is(self):
        mask = Mask(["Abcdefgh01234567"])
        for text in ("", "Abcdefgh0123456", "ok: [localhost]", "é" * 100):
            self.assertEqual(mask.text(text), text)


@dataclasses.dataclass(frozen=True)
class Event:
    msg: str
    chain: object = None


class Structures(unittest.TestCase):
    def test_values_are_covered_wherever_they_stand(self):
        value = "Abcdefgh01234567"
        mask = Mask([value])
        thing = {
            value: 1,
            "list": [value, ("t", value), {"deep": "x%sy" % value}],
            "bytes": b"\xff" + value.encode(),
            "error": Event("top", Event(value)),
            "none": None,
            "number": 3,
        }
        covered = mask.anything(thing)
        self.assertNotIn(value, repr(covered))
        self.assertEqual(covered["number"], 3)
        self.assertEqual(covered["bytes"], b"\xff********")
        self.assertIn(value, repr(thing))


class Many(unittest.TestCase):
    def test_a_thousand_values_and_a_megabyte(self):
        rng = random.Random(1)
        alphabet = string.ascii_letters + string.digits
        values = ["".join(rng.choice(alphabet) for _index in range(40)) for _value in range(1000)]
        mask = Mask(values)
        text = "".join(rng.choice(alphabet + " \n") for _index in range(1 << 20)) + values[77]
        self.assertTrue(mask.text(text).endswith("********"))
