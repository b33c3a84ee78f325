# Copyright: the Donjon authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the values of secrets out of what a run prints, logs and caches."""
from __future__ import annotations

DOCUMENTATION = r"""
name: mask
type: aggregate
author:
  - The Donjon authors (!UNKNOWN)
short_description: Keeps values of secrets out of the output of Ansible
description:
  - Before the first play it asks the broker for all values that it may read, and then covers them in everything that this run
    displays or logs (results, C(--diff), any C(-v), warnings, errors, tracebacks), in what other callbacks are given, and leaves facts
    that hold one out of the fact cache. Values that tasks work with are not touched.
  - Other callbacks get something that stands for each result, task, play, host, included file and the statistics; whatever they read
    from it is covered, and what they set on it does not reach the run.
  - Values are found as they are and in JSON, YAML, URL, shell, hexadecimal and base64 form, lines of keys one by one.
  - It looks at the settings that decide whether values land on a disk, or in the log of a host, behind Ansible's back,
    and says of each what would be written where. See O(settings).
  - It fails closed. Without the values, or with such settings, no play starts unless an option says so.
requirements:
  - enabled in C(callbacks_enabled) (E(ANSIBLE_CALLBACKS_ENABLED))
extends_documentation_fragment:
  - donjon.broker.broker
options:
  required:
    description: Whether a run is refused when the broker does not give the values. If not, it runs with nothing covered.
    type: bool
    default: true
    env:
      - name: DONJON_MASK_REQUIRED
    ini:
      - section: donjon
        key: mask_required
  settings:
    description:
      - What to do when a setting would put values on a disk or into a log.
    type: str
    choices: [refuse, warn]
    default: refuse
    env:
      - name: DONJON_MASK_SETTINGS
    ini:
      - section: donjon
        key: mask_settings
  cover:
    description: What is shown in place of a value.
    type: str
    default: '********'
    env:
      - name: DONJON_MASK_COVER
    ini:
      - section: donjon
        key: mask_cover
notes:
  - Set pipelining (E(ANSIBLE_PIPELINING)), E(ANSIBLE_LOCAL_TEMP), E(ANSIBLE_REMOTE_TEMP) and E(ANSIBLE_SYSTEM_TMPDIRS) to C(/dev/shm),
    E(ANSIBLE_NO_TARGET_SYSLOG), and leave E(ANSIBLE_KEEP_REMOTE_FILES) alone. C(donjon run --deploy) sets them all.
  - A task with C(async) is never pipelined; its arguments and result lie on the disk of its host until they are cleaned up.
  - A callback that evaluates templates or lookups by itself gets what they give, as every plugin does that is no callback.
  - Base64 that was wrapped into lines in the middle of a value is not recognised.
seealso:
  - plugin: donjon.broker.secret
    plugin_type: lookup
"""

import _thread
import functools
import os
import sys
import threading

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.executor import task_queue_manager, task_result
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader, filter_loader, lookup_loader, shell_loader, test_loader
from ansible.utils.display import Display
from ansible_collections.donjon.broker.plugins.plugin_utils import covering, daemon, masking, settings

# Names in one request: well under the protocol's limits of 4096 values and 1 MiB of header.
AT_ONCE = 2000
# How long a run that is ended may take to end by itself, in seconds.
PATIENCE = 20
# For each of these the store is asked three times before there is an answer.
REPLACED_AT_ONCE = 200


def closed(step):
    """Ansible turns what goes wrong in a callback into a warning, and the play runs. Here it does not."""

    @functools.wraps(step)
    def stepped(*args):
        try:
            return step(*args)
        except Exception as error:  # pylint: disable=broad-except
            return fault(error)

    return stepped


def fault(error):
    """End the run: nothing is shown, or given to a callback, uncovered."""
    # Its text may hold anything.
    refuse(
        "the run ends, because the mask cannot be put on: %s" % type(error).__name__,
        "this is a fault of Donjon's; please report it with the versions of donjon and of Ansible",
    )


class CallbackModule(CallbackBase):
    """Installed for the rest of the process when the first playbook or play starts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "donjon.broker.mask"
    CALLBACK_NEEDS_ENABLED = True

    @closed
    def v2_playbook_on_start(self, playbook):
        """Cover the output before anything is evaluated."""
        self._begin()

    @closed
    def v2_playbook_on_play_start(self, play):
        """Cover the output (of an ad-hoc command, which has no playbook), and look at what this play would write where."""
        play = covering.plain(play)
        self._begin()
        if masking.installed() is None:
            return
        variables = play.get_variable_manager()
        cover_cache(getattr(variables, "_fact_cache", None), masking.installed(), self._display)
        faults = self._faults(variables)
        if not faults:
            return
        if self.get_option("settings") == "warn":
            for fault in faults:
                self._display.warning("donjon.broker.mask: %s" % fault)
            return
        refuse(
            "this play would leave values outside of what a mask can cover:\n%s" % "\n".join("  - %s" % fault for fault in faults),
            "`donjon run --deploy -- …` sets all of these; DONJON_MASK_SETTINGS=warn runs the play all the same",
        )

    def _begin(self):
        if masking.installed() is not None:
            return
        try:
            values, short = everything(self.get_option("socket"), self.get_option("timeout"))
        except daemon.BrokerError as error:
            if not self.get_option("required"):
                self._display.warning("donjon.broker.mask: nothing is covered in the output of this run: %s" % error)
                return
            refuse(
                "no play starts, because the values that it must not show could not be had\n%s" % error,
                "DONJON_MASK_REQUIRED=false runs it with nothing covered",
            )
        mask = masking.Mask(values, self.get_option("cover"))
        cover_display(mask)
        cover_callbacks(mask)
        masking.install(mask)
        if short:
            self._display.warning(
                "donjon.broker.mask: shorter than %d characters, and therefore not covered: %s"
                % (masking.SHORTEST, ", ".join(sorted(short)))
            )
        load_for_workers()

    def _faults(self, variables):
        transport = C.DEFAULT_TRANSPORT if C.DEFAULT_TRANSPORT != "smart" else "ssh"
        return settings.faults(
            pipelining=option("connection", transport, "pipelining"),
            inventory=getattr(variables, "_inventory", None),
            keep_remote_files=C.DEFAULT_KEEP_REMOTE_FILES,
            local_tmp=C.DEFAULT_LOCAL_TMP,
            remote_tmp=option("shell", "sh", "remote_tmp"),
            system_tmpdirs=option("shell", "sh", "system_tmpdirs"),
            world_readable_temp=option("shell", "sh", "world_readable_temp"),
            no_target_syslog=C.DEFAULT_NO_TARGET_SYSLOG,
        )


def load_for_workers():
    """Load in this process what each task's worker, which is forked from it, would load for itself: the lookups, which it would
    import, whose documentation it would read, where their options stand, and work these out; and Ansible's own filters and tests,
    of which it loads all for the first one that a template names. That takes longer than most of what else it does."""
    for name in ("donjon.broker.secret", "donjon.broker.file"):
        lookup_loader.get(name).run([])
    for loader, name in ((filter_loader, "ansible.builtin.b64encode"), (test_loader, "ansible.builtin.match")):
        try:
            loader.get(name)
        except Exception:  # pylint: disable=broad-except
            # Somebody's own cannot be loaded. It is tried again where it is needed, and told there.
            pass


def everything(path, timeout):
    """All values that are not public, and the names of those too short to cover."""
    with daemon.Broker(path, timeout) as broker:
        listed, names = broker.names()
        # What is published after the names were listed is of a later epoch, and then nothing is read at this one.
        epoch = listed if daemon.pinned() is None else daemon.pinned()
        # The whole of a pair is its private half; the public one is no secret.
        wanted = [(name, "whole") for name in names]
        values, short = [], []
        for start in range(0, len(wanted), AT_ONCE):
            chunk = wanted[start:start + AT_ONCE]
            _epoch, materials, versions = broker.read(chunk, epoch)
            # What a rotation has replaced shows up in the old half of a diff.
            changed = [one for one, version in zip(chunk, versions) if version > 1]
            for first in range(0, len(changed), REPLACED_AT_ONCE):
                materials += broker.replaced(changed[first:first + REPLACED_AT_ONCE], epoch)
            for value in map(as_text, materials):
                values.extend(masking.alone(value))
            short.extend(name for (name, _part), material in zip(chunk, materials) if 0 < len(as_text(material)) < masking.SHORTEST)
        daemon.pin(epoch)
    return values, short


def as_text(material):
    """Bytes as Ansible shows them."""
    return material.decode("utf-8", "surrogateescape")


def cover_display(mask):
    """Everything that is shown or logged goes through one of these methods, what workers show too."""
    # The last three break lines, in the middle of a value too.
    for name in ("display", "_log", "banner", "warning", "error", "deprecated"):
        original = getattr(Display, name, None)
        if original is not None:
            setattr(Display, name, _covered(original, mask))


def _covered(original, mask):
    @functools.wraps(original)
    def covered(self, *args, **kwargs):
        if args:
            args = (mask.anything(args[0]),) + args[1:]
        elif "msg" in kwargs:
            kwargs["msg"] = mask.anything(kwargs["msg"])
        return original(self, *args, **kwargs)

    return covered


def cover_callbacks(mask):
    """All that other callbacks get from here on is covered: some of them write files. What tasks work with is not touched."""
    # A template that fails when it is read tells who reads it.
    covered = covering.Covering(mask, lambda error: None if isinstance(error, AnsibleError) else fault(error))
    cover_results(mask, covered)
    cover_events(covered)


def cover_results(mask, covered):
    """Callbacks get copies of results: cover these, not what tasks register."""
    raw = getattr(task_result, "_RawTaskResult", None)
    if raw is not None:
        original = raw.as_callback_task_result

        @functools.wraps(original)
        @closed
        def as_callback_task_result(self):
            result = original(self)
            fields = mask.anything(dict(result.task_fields))
            return type(result)(covered(result.host), covered(result.task), mask.anything(result._return_data), fields)

        raw.as_callback_task_result = as_callback_task_result
        return
    # ansible-core before 2.19.
    older = task_result.TaskResult
    clean = older.clean_copy

    @functools.wraps(clean)
    @closed
    def clean_copy(self):
        result = clean(self)
        result._result = mask.anything(result._result)
        result._task_fields = mask.anything(dict(result._task_fields))
        result._host, result._task = covered(result._host), covered(result._task)
        return result

    older.clean_copy = clean_copy


def cover_events(covered):
    """Plays, tasks, hosts, included files and statistics are handed to callbacks as they are."""
    kind = task_queue_manager.TaskQueueManager
    original = kind.send_callback
    results = getattr(task_result, "_RawTaskResult", None) or task_result.TaskResult

    def each(thing):
        # Every callback gets a copy of a result of its own.
        return thing if isinstance(thing, results) else covered(thing)

    @functools.wraps(original)
    def send_callback(self, method_name, *args, **kwargs):
        cover_contexts(self, covered)
        return original(self, method_name, *map(each, args), **{name: each(value) for name, value in kwargs.items()})

    kind.send_callback = send_callback


def cover_contexts(manager, covered):
    """What C(manager) tells its callbacks of the connections of a play, passwords too, goes by another way."""
    for plugin in [getattr(manager, "_stdout_callback", None), *manager._callback_plugins]:
        told = getattr(plugin, "set_play_context", None)
        if told is not None and not getattr(told, "covers", False):

            def set_play_context(context, told=told):
                told(covered(context))

            set_play_context.covers = True
            plugin.set_play_context = set_play_context


def cover_cache(cache, mask, display):
    """Leave facts with values in them out of a cache that outlives the process. The process itself keeps them."""
    plugin = getattr(cache, "__wrapped__", None) or getattr(cache, "_plugin", None) or cache
    kind = type(plugin)
    if plugin is None or not getattr(plugin, "_persistent", True) or getattr(kind, "_covered_by_donjon", False):
        return
    original = kind.set

    @functools.wraps(original)
    def store(self, key, value):
        kept, left_out = settings.without_values(value, mask)
        if left_out:
            display.warning(
                "donjon.broker.mask: not written to the fact cache, because they hold values of secrets: %s" % ", ".join(sorted(left_out))
            )
        original(self, key, kept)
        if left_out and hasattr(self, "_cache"):
            self._cache[key] = value

    kind.set = store
    kind._covered_by_donjon = True


def option(kind, plugin, name):
    """The configured value of a plugin's option, or None when it has no such option."""
    loader = {"connection": connection_loader, "shell": shell_loader}[kind]
    loader.get(plugin, class_only=True)  # makes its options known
    try:
        return C.config.get_config_value(name, plugin_type=kind, plugin_name=plugin)
    except Exception:  # pylint: disable=broad-except
        return None


def refuse(message, hint):
    """End the run. Ansible turns any other exception of a callback into a warning."""
    sys.stdout.flush()
    sys.stderr.write("ERROR! donjon.broker.mask: %s\nhint: %s\n" % (message, hint))
    sys.stderr.flush()
    if threading.current_thread() is not threading.main_thread():
        # Results come in on another thread, whose end the run would wait for without an end of its own.
        _thread.interrupt_main()
        # A worker that is killed in the middle may take a lock with it, for which the main thread would wait without end.
        last = threading.Timer(PATIENCE, os._exit, (1,))
        last.daemon = True
        last.start()
    raise SystemExit(1)
