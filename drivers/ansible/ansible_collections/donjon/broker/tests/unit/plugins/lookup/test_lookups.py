# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Both lookups in the real ansible-playbook: values arrive exactly, and refusals say what to do."""
from __future__ import annotations

import json
import random
import unittest

from ansible.release import __version__ as ansible_version
from ansible_collections.donjon.broker.tests.unit.run import Site
from ansible_collections.donjon.broker.tests.unit.stand_in import StandIn

AWKWARD = {
    "number": "0123456789",
    "exponent": "1e5",
    "boolean": "yes",
    "nothing": "null",
    "list": "[1, 2]",
    "dictionary": "{'a': 1}",
    "template": "{{ 7 * 6 }}{% if x %}{# c #}",
    "comma": "a,b",
    "quotes": "'\"\\",
    "blanks": "  two  ",
    "colon": "a: b #c",
    "url": "p@ss/w:rd?&=%25",
    "umlaut": "pässwört€",
}

MODERN = tuple(int(part) for part in ansible_version.split(".")[:2]) >= (2, 19)

WRITE = """
- hosts: localhost
  gather_facts: false
  vars: {known: {}}
  tasks:
    - ansible.builtin.copy:
        dest: "{{ playbook_dir }}/out"
        mode: "0600"
        content: "{{ {%s} | to_json }}"
"""


class Exactly(unittest.TestCase):
    def test_every_value_comes_back_as_it_is(self):
        rng = random.Random(3)
        printable = [chr(c) for c in range(32, 127)] + list("\n\té€")
        values = dict(AWKWARD)
        if not MODERN:  # see the notes of the lookup
            for name in ("list", "dictionary"):
                del values[name]
        values.update({"random%d" % n: "".join(rng.choice(printable) for _index in range(30)) for n in range(100)})
        passwords = "".join("p_%s: \"{{ lookup('donjon.broker.secret', '%s') }}\"\n" % (name, name) for name in values)
        with Site() as site, StandIn(values) as broker:
            extra = site.write("passwords.yml", passwords)
            code, said = site.play(
                WRITE % ", ".join("'%s': p_%s" % (name, name) for name in values), "-e", "@" + extra, broker=broker
            )
            self.assertEqual(code, 0, said)
            with open(site.path("out"), encoding="utf-8") as out:
                self.assertEqual(json.load(out), values)

    def test_parts_encodings_and_many_names(self):
        with Site() as site, StandIn(
            {"k": "priv\nate", "u": "a b/ä", "r": '{"0":"staged","1":"primary"}'}, public={"k": "pub"}
        ) as broker:
            code, said = site.play(
                WRITE
                % """
                'pair': lookup('donjon.broker.secret', 'k', part='public_key'),
                'url': 'mysql://u:' ~ lookup('donjon.broker.secret', 'u', encoding='url') ~ '@h',
                'json': lookup('donjon.broker.secret', 'k', encoding='json'),
                'key': lookup('donjon.broker.secret', 'r', key='1'),
                'both': query('donjon.broker.secret', 'k', 'u')
                """.replace("\n", " "),
                broker=broker,
            )
            self.assertEqual(code, 0, said)
            with open(site.path("out"), encoding="utf-8") as out:
                got = json.load(out)
            self.assertEqual(
                got,
                {
                    "pair": "pub",
                    "url": "mysql://u:a%20b%2F%C3%A4@h",
                    "json": "priv\\nate",
                    "key": "primary",
                    "both": ["priv\nate", "a b/ä"],
                },
            )
            asked = [[name["name"] for name in request["names"]] for request in broker.requests if request["op"] == "read"]
            self.assertEqual(asked.count(["k", "u"]), 1)

    def test_files_of_references_keep_all_else(self):
        with Site() as site, StandIn(dict(AWKWARD, k="line 1\nline 2\n")) as broker:
            expression = "{{ lookup('donjon.broker.secret', '%s'%s) }}"
            document = {name: expression % (name, "") for name in list(AWKWARD) + ["k"]}
            document["go"] = "{{.Names}} {# bash ${#array[@]}"
            document["inside"] = "mysql://u:%s@h" % (expression % ("url", ", encoding='url'"))
            document["number kept"] = 5
            site.write("c.yaml", json.dumps(document))
            site.write("s.pp", "password => '%s' # {{ not.evaluated }}" % (expression % ("number", "")))
            code, said = site.play(
                WRITE
                % """
                'yaml': lookup('donjon.broker.file', 'c.yaml', errors='ignore') | default({}, True) | from_yaml,
                'text': lookup('donjon.broker.file', 's.pp'),
                'none': lookup('donjon.broker.file', 'none.yaml', errors='ignore') | default({}, True)
                """.replace("\n", " "),
                broker=broker,
            )
            self.assertEqual(code, 0, said)
            with open(site.path("out"), encoding="utf-8") as out:
                got = json.load(out)
            self.assertEqual(got["text"], "password => '0123456789' # {{ not.evaluated }}")
            self.assertEqual(got["none"], {})
            wanted = dict(AWKWARD, k="line 1\nline 2\n", go=document["go"])
            wanted.update({"inside": "mysql://u:p%40ss%2Fw%3Ard%3F%26%3D%2525@h", "number kept": 5})
            self.assertEqual(got["yaml"], wanted)


SHOW = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ lookup('donjon.broker.secret', 'gone') }}"
"""


class Refusals(unittest.TestCase):
    def test_a_key_that_is_not_in_the_repository(self):
        for value in ('{"0":"canary"}', "canary", "[]", '"canary"'):
            with Site() as site, StandIn({"gone": value}) as broker:
                code, said = site.play(SHOW.replace("'gone'", "'gone', key='7'"), broker=broker)
                self.assertNotEqual(code, 0)
                self.assertIn("`gone` has no key 7", said)
                self.assertNotIn("canary", said)

    def test_a_key_of_before_a_rotation_says_which_there_are_and_what_to_do(self):
        with Site() as site, StandIn({"gone": '{"10":"canary","2":"canary","0":"canary"}'}) as broker:
            said = site.play(SHOW.replace("'gone'", "'gone', key='1'"), broker=broker)[1]
            self.assertIn("`gone` has no key 1", said)
            self.assertIn("it has 0, 2, 10 by now", said)
            self.assertIn("donjon wire tripleo --environment FILE", said)
            self.assertNotIn("canary", said)

    def test_no_mask(self):
        with Site() as site, StandIn({"gone": "canary-canary"}) as broker:
            code, said = site.play(SHOW, broker=broker, ANSIBLE_CALLBACKS_ENABLED=None)
            self.assertNotEqual(code, 0)
            self.assertIn("enable the callback `donjon.broker.mask`", said)
            self.assertNotIn("canary", said)
            code, said = site.play(SHOW, broker=broker, ANSIBLE_CALLBACKS_ENABLED=None, DONJON_UNMASKED="allow")
            self.assertEqual(code, 0, said)
            self.assertIn("canary-canary", said)

    def test_no_such_secret(self):
        with Site() as site, StandIn({"x": "canary-canary"}) as broker:
            code, said = site.play(SHOW, broker=broker)
            self.assertNotEqual(code, 0)
            self.assertIn("there is no secret `gone`", said)
            self.assertIn("the nearest name is `x`", said)

    def test_a_rotation_in_the_middle_of_a_run(self):
        class Rotating(StandIn):
            def answer(self, request):
                frames = super().answer(request)
                if request["op"] == "read" and request["epoch"] and len(self.requests) > 3:
                    self.epoch += 1
                return frames

        play = SHOW.replace("'gone'", "'x'") + SHOW.split("tasks:\n")[1].replace("'gone'", "'x'") * 3
        with Site() as site, Rotating({"x": "canary-canary"}) as broker:
            code, said = site.play(play, broker=broker)
            self.assertNotEqual(code, 0)
            self.assertIn("the secrets changed while this run was under way, which began at epoch 7", said)
            self.assertNotIn("canary", said)
