# Copyright: the Donjon authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of references, with the values in their places."""
from __future__ import annotations

DOCUMENTATION = r"""
name: file
author:
  - The Donjon authors (!UNKNOWN)
short_description: Content of files that hold references to secrets
description:
  - Reads files as P(ansible.builtin.file#lookup) does, and puts values where the content holds the lookup expressions that
    C(donjon wire tripleo) writes. All other text is left alone; nothing in the file is evaluated as a template.
  - A YAML or JSON file with references in it is parsed, filled and written anew, with the values quoted as they need to be, so
    that C(| from_yaml) yields exactly the value whatever it looks like (a number, for one).
  - C(donjon wire tripleo) lets tasks of a config-download tree use it where they used C(lookup('file', …)).
extends_documentation_fragment:
  - donjon.broker.broker
options:
  _terms:
    description: Paths of files.
    type: list
    elements: str
    required: true
  lstrip:
    description: Whether white space at the beginning is removed.
    type: bool
    default: false
  rstrip:
    description: Whether white space at the end is removed.
    type: bool
    default: true
  unmasked:
    description: What to do when no mask covers the output of this run and a file holds references.
    type: str
    choices: [refuse, allow]
    default: refuse
    env:
      - name: DONJON_UNMASKED
    ini:
      - section: donjon
        key: unmasked
seealso:
  - plugin: donjon.broker.secret
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: What TripleO's deploy steps do with the configuration of containers
  ansible.builtin.set_fact:
    containers: "{{ lookup('donjon.broker.file', 'Controller/docker_config.yaml', errors='ignore') | default({}, True) | from_yaml }}"
"""

RETURN = r"""
_raw:
  description: The contents, in the order of the paths.
  type: list
  elements: str
"""

import json

import yaml

from ansible.errors import AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase
from ansible_collections.donjon.broker.plugins.lookup.secret import require_mask
from ansible_collections.donjon.broker.plugins.plugin_utils import daemon, reference


class LookupModule(LookupBase):
    """C(lookup('donjon.broker.file', PATH, …))."""

    def run(self, terms, variables=None, **kwargs):
        """Read all of C(terms), then ask for all their values in one round trip."""
        self.set_options(var_options=variables, direct=kwargs)
        ours = ("socket", "timeout", "unmasked")
        plain = lookup_loader.get("ansible.builtin.file", loader=self._loader, templar=self._templar)
        contents = [to_text(text) for text in plain.run(terms, variables, **{k: v for k, v in kwargs.items() if k not in ours})]
        wanted = list(dict.fromkeys(pair for text in contents for pair in reference.wanted(text)))
        if not wanted:
            return contents
        require_mask(self.get_option("unmasked"))
        try:
            values = daemon.read_pinned(wanted, self.get_option("socket"), self.get_option("timeout"))
            known = dict(zip(wanted, values))
            return [self._filled(str(term), text, known) for term, text in zip(terms, contents)]
        except (daemon.BrokerError, reference.NoSuchKey) as error:
            raise AnsibleError(str(error)) from None

    @staticmethod
    def _filled(term, text, values):
        if not reference.wanted(text):
            return text
        try:
            if term.endswith(".json"):
                return json.dumps(reference.resolve_all(json.loads(text), values))
            if term.endswith((".yaml", ".yml")):
                return yaml.safe_dump(reference.resolve_all(yaml.safe_load(text), values), width=LONGEST_LINE)
        except (ValueError, yaml.YAMLError):
            pass  # A script under a name in .yaml: its text is all there is.
        return reference.resolve(text, values)


LONGEST_LINE = 1 << 20
