# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""What a run shows, logs and caches, with the mask off (the control: the search does find it) and on."""
from __future__ import annotations

import base64
import glob
import os
import unittest

from ansible_collections.donjon.broker.tests.unit.run import Site
from ansible_collections.donjon.broker.tests.unit.stand_in import StandIn

PASSWORD = "Canary7Password7Canary"
AWKWARD = "Canary'q\"u\\o#te: {x}&/é"
KEY = "-----BEGIN PRIVATE KEY-----\n%s\n%s\n-----END PRIVATE KEY-----\n" % ("Canary7" * 9, "7yranaC" * 9)
OLDER = "Older7Canary7Password"

LOUD = r"""
- hosts: localhost
  gather_facts: false
  vars:
    password: "{{ lookup('donjon.broker.secret', 'password') }}"
    awkward: "{{ lookup('donjon.broker.secret', 'awkward') }}"
    key: "{{ lookup('donjon.broker.secret', 'key') }}"
  tasks:
    - name: "A name with {{ password }}"
      ansible.builtin.debug: {var: "[password, awkward, key]"}
    - name: A message
      ansible.builtin.debug: {msg: "url mysql://u:{{ password | urlencode }}@h {{ awkward }} {{ awkward | b64encode }} {{ {'k': awkward} | to_json }}"}
    - name: A file with a diff
      ansible.builtin.copy: {content: "old {{ ['Older7', 'Canary', '7Password'] | join }}\n", dest: "{{ playbook_dir }}/conf", mode: "0600"}
    - name: The same file, changed
      ansible.builtin.copy: {content: "new {{ password }}\n{{ key }}", dest: "{{ playbook_dir }}/conf", mode: "0600"}
    - name: Its content, in base64
      ansible.builtin.slurp: {src: "{{ playbook_dir }}/conf"}
      register: slurped
    - name: A command
      ansible.builtin.command: {argv: [printf, "%s", "{{ awkward }}{{ password }}"]}
      register: ran
    - name: What is registered is the value itself
      ansible.builtin.assert: {that: ["ran.stdout == awkward ~ password", "password in (slurped.content | b64decode)"]}
    - name: A loop
      ansible.builtin.debug: {msg: "{{ item }}"}
      loop: ["{{ password }}", "{{ key }}"]
    - name: A fact that is cached
      ansible.builtin.set_fact: {kept: "{{ password }}", harmless: "{{ 1 + 1 }}", cacheable: true}
    - name: It is still there
      ansible.builtin.assert: {that: ["kept == password", "ansible_facts['kept'] == password"]}
    - name: A command that fails and says it
      ansible.builtin.command: {argv: [sh, -c, "echo {{ password }} >&2; exit 3"]}
      failed_when: false
    - name: A warning, which some versions of Ansible break into lines
      ansible.builtin.debug: {msg: "{{ lookup('ansible.builtin.file', '/nowhere/' ~ 'long/' * 13 ~ password, errors='warn') }}"}
    - name: A failure of a template
      ansible.builtin.debug: {msg: "{{ password | donjon_no_such_filter }}"}
      ignore_errors: true
    - name: A failure of a conversion
      ansible.builtin.debug: {msg: "{{ (password ~ '!') | from_json }}"}
      ignore_errors: true
    - name: An error of a module
      ansible.builtin.stat: {path: "/{{ password }}", no_such_argument: "{{ awkward }}"}
      ignore_errors: true
    - name: A failure
      ansible.builtin.fail: {msg: "no log-in with {{ password }} and {{ awkward }}"}
      ignore_errors: true
"""

# Finds each of them, and a part of each, in text and in files.
TRACES = ["Canary7Password", "7Password7Canary", "7yranaC7yranaC", "Canary'q", "Older7Canary"]
TRACES += [base64.b64encode(b"x" * n + b"7Password7")[8:16].decode() for n in range(3, 6)]


def traces(text):
    return [trace for trace in TRACES if trace in text]


class Output(unittest.TestCase):
    values = {"password": PASSWORD, "awkward": AWKWARD, "key": KEY}

    def play(self, site, broker, **more):
        return site.play(
            LOUD,
            "-vvv",
            "--diff",
            broker=broker,
            ANSIBLE_LOG_PATH=site.path("log"),
            ANSIBLE_CACHE_PLUGIN="jsonfile",
            ANSIBLE_CACHE_PLUGIN_CONNECTION=site.path("cache"),
            ANSIBLE_DISPLAY_TRACEBACK="always",
            **more,
        )

    def files(self, site):
        found = {}
        for path in [site.path("log")] + glob.glob(site.path("cache/*")):
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found[os.path.basename(path)] = file.read()
        return found

    def test_with_the_mask_nothing_shows_and_without_it_all_of_it_does(self):
        with Site() as site, StandIn(self.values, older={"password": OLDER}) as broker:
            code, said = self.play(site, broker, ANSIBLE_CALLBACKS_ENABLED=None, DONJON_UNMASKED="allow")
            self.assertEqual(code, 0, said)
            self.assertGreaterEqual(len(traces(said)), 6, traces(said))
            written = self.files(site)
            self.assertTrue(all(traces(text) for text in written.values()), {name: traces(text) for name, text in written.items()})

        with Site() as site, StandIn(self.values, older={"password": OLDER}) as broker:
            code, said = self.play(site, broker)
            self.assertEqual(code, 0, said)
            self.assertEqual(traces(said), [], said)
            self.assertIn("********", said)
            self.assertIn("not written to the fact cache, because they hold values of secrets: kept", " ".join(said.split()))
            written = self.files(site)
            self.assertEqual(len(written), 2, written)
            for name, text in written.items():
                self.assertEqual(traces(text), [], name)
            self.assertTrue(any("harmless" in text for text in written.values()))

    def test_other_callbacks_that_write_files_get_no_values(self):
        with Site() as site, StandIn(self.values, older={"password": OLDER}) as broker:
            both = dict(ANSIBLE_CALLBACKS_ENABLED="ansible.builtin.junit,donjon.broker.mask", JUNIT_OUTPUT_DIR=site.path("junit"))
            code, said = self.play(site, broker, **both)
            self.assertEqual(code, 0, said)
            (report,) = glob.glob(site.path("junit/*.xml"))
            with open(report, encoding="utf-8") as file:
                text = file.read()
            self.assertIn("********", text)
            self.assertEqual(traces(text), [], [line for line in text.splitlines() if traces(line)])

    def test_an_ad_hoc_command(self):
        with Site() as site, StandIn(self.values) as broker:
            message = "msg={{ lookup('donjon.broker.secret', 'password') }}"
            arguments = ["adhoc", "localhost", "-m", "debug", "-a", message]
            code, said = site.run(arguments, broker=broker, ANSIBLE_LOAD_CALLBACK_PLUGINS="1")
            self.assertEqual(code, 0, said)
            self.assertIn("********", said)
            self.assertEqual(traces(said), [])


HELLO = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: the play ran}
"""


SHOWN = """
- hosts: localhost
  gather_facts: false
  vars: {password: "{{ lookup('donjon.broker.secret', 'password') }}"}
  tasks:
    - ansible.builtin.meta: noop
    - name: Start of the loop
      ansible.builtin.debug: {msg: "{{ item }}"}
      loop: ["{{ password }}", "another"]
    - ansible.builtin.debug: {msg: the end of the play}
"""

# Breaks the covering of what comes from the one thread or the other.
SPOILT = """
import os
import threading

from ansible.plugins.callback import CallbackBase
from ansible_collections.donjon.broker.plugins.plugin_utils import masking


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "spoilt"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_play_start(self, play):
        whole = masking.Mask.anything
        in_main = {"event": True, "result": False}.get(os.environ["SPOILT"])

        def anything(self, thing, others=None):
            if (threading.current_thread() is threading.main_thread()) == in_main:
                raise MemoryError(repr(thing))
            return whole(self, thing, others)

        masking.Mask.anything = anything
"""


class Closed(unittest.TestCase):
    def test_without_the_values_no_play_starts(self):
        with Site() as site:
            code, said = site.play(HELLO)
            self.assertNotEqual(code, 0)
            self.assertNotIn("the play ran", said)
            self.assertIn("there is no broker at", said)
            self.assertIn("DONJON_MASK_REQUIRED=false", said)
            code, said = site.play(HELLO, DONJON_MASK_REQUIRED="false")
            self.assertEqual(code, 0, said)
            self.assertIn("the play ran", said)
            self.assertIn("nothing is covered", said)

    def test_what_nobody_thought_of_starts_no_play_either(self):
        class Older(StandIn):
            """One whose answer has no epoch, as before there was one in it."""

            def answer(self, request):
                return [frame.replace(b'"epoch"', b'"other"') for frame in super().answer(request)]

        class Odd(StandIn):
            """One that says nothing that can be understood."""

            def answer(self, request):
                return [b'{"v": 1, "reply": {"epoch": 7, "names": 5}, "materials": 0}']

        for kind, wanted in ((Older, "is older than this collection"), (Odd, "the mask cannot be put on: TypeError")):
            with Site() as site, kind({"password": PASSWORD}) as broker:
                code, said = site.play(HELLO, broker=broker)
                self.assertNotEqual(code, 0, said)
                self.assertNotIn("the play ran", said)
                self.assertIn(wanted, said)

    def test_what_cannot_be_covered_is_given_to_no_callback_and_ends_the_run(self):
        with Site() as site, StandIn({"password": PASSWORD}) as broker:
            site.write("spoilt.py", SPOILT)
            both = {"ANSIBLE_CALLBACK_PLUGINS": site.folder, "ANSIBLE_CALLBACKS_ENABLED": "donjon.broker.mask,spoilt"}
            # Events come from the strategy, and results from a thread of their own.
            for where, ran in (("event", False), ("result", True)):
                code, said = site.play(SHOWN, broker=broker, SPOILT=where, **both)
                self.assertNotEqual(code, 0, said)
                self.assertIn("the run ends, because the mask cannot be put on: MemoryError", said)
                self.assertNotIn("the end of the play", said)
                self.assertEqual("of the loop" in said, ran, said)
                self.assertEqual(traces(said), [], said)
            code, said = site.play(SHOWN, broker=broker, SPOILT="nothing", **both)
            self.assertEqual(code, 0, said)
            self.assertIn("the end of the play", said)

    def test_each_setting_that_writes_values_somewhere(self):
        cases = {
            "pipelining is off": {"ANSIBLE_PIPELINING": None},
            "keep_remote_files is on": {"ANSIBLE_KEEP_REMOTE_FILES": "true"},
            "local_tmp": {"ANSIBLE_LOCAL_TEMP": "/var/tmp/donjon-unit"},
            "remote_tmp (~/.ansible/tmp) is not known to be in memory": {"ANSIBLE_REMOTE_TEMP": None},
            "remote_tmp (/run/x) is not known": {"ANSIBLE_REMOTE_TEMP": "/run/x"},
            "remote_tmp ($XDG_RUNTIME_DIR/x) is not known": {"ANSIBLE_REMOTE_TEMP": "$XDG_RUNTIME_DIR/x"},
            "remote_tmp (${XDG_RUNTIME_DIR:-/run}/x) is not known": {"ANSIBLE_REMOTE_TEMP": "${XDG_RUNTIME_DIR:-/run}/x"},
            "remote_tmp (/dev/shm/x) is where every user": {"ANSIBLE_REMOTE_TEMP": "/dev/shm/x"},
            "remote_tmp (/run/lock/x) is where every user": {"ANSIBLE_REMOTE_TEMP": "/run/lock/x"},
            "system_tmpdirs (/var/tmp, /tmp) is not known": {"ANSIBLE_SYSTEM_TMPDIRS": None},
            "world_readable_temp is on": {"ANSIBLE_SHELL_ALLOW_WORLD_READABLE_TEMP": "true"},
            "no_target_syslog is off": {"ANSIBLE_NO_TARGET_SYSLOG": None},
        }
        with Site() as site, StandIn({}) as broker:
            for fault, setting in cases.items():
                code, said = site.play(HELLO, broker=broker, **setting)
                self.assertNotEqual(code, 0, fault)
                self.assertNotIn("the play ran", said)
                self.assertIn("  - " + fault, said)
                self.assertEqual(said.count("  - "), 1, said)
                code, said = site.play(HELLO, broker=broker, DONJON_MASK_SETTINGS="warn", **setting)
                self.assertEqual(code, 0, said)
                self.assertIn("the play ran", said)
                self.assertIn(fault, " ".join(said.split()))
            for variable, fault in (
                ("ansible_pipelining=false", "ansible_pipelining is off for localhost"),
                ("ansible_remote_tmp=~/x", "ansible_remote_tmp or ansible_system_tmpdirs of localhost is not known"),
                ("ansible_shell_allow_world_readable_temp=true", "world_readable_temp is on for localhost"),
            ):
                code, said = site.play(HELLO, "-i", site.write("hosts", "localhost %s\n" % variable), broker=broker)
                self.assertNotEqual(code, 0, said)
                self.assertIn(fault, said)

    def test_a_folder_that_somebody_else_can_change_is_no_place_for_rendered_files(self):
        with Site() as site, StandIn({}) as broker:
            shared = os.path.join(site.memory, "shared")
            os.mkdir(shared)
            os.chmod(shared, 0o777)
            setting = {"ANSIBLE_LOCAL_TEMP": os.path.join(shared, "local")}
            code, said = site.play(HELLO, broker=broker, **setting)
            self.assertNotEqual(code, 0)
            self.assertIn("where others than its owner can replace files", " ".join(said.split()))
            # With the sticky bit, as /dev/shm has it, they cannot.
            os.chmod(shared, 0o1777)
            code, said = site.play(HELLO, broker=broker, **setting)
            self.assertEqual(code, 0, said)

    def test_a_value_that_is_too_short_to_cover_is_named(self):
        with Site() as site, StandIn({"pin": "123", "long": "Canary7Password"}) as broker:
            code, said = site.play(HELLO, broker=broker)
            self.assertEqual(code, 0, said)
            self.assertIn("not covered: pin", " ".join(said.split()))
