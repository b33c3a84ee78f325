# Copyright: the Donjon authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of secrets, by name."""
from __future__ import annotations

DOCUMENTATION = r"""
name: secret
author:
  - The Donjon authors (!UNKNOWN)
short_description: Values of secrets that a Donjon broker keeps
description:
  - Asks the broker on the control node for values, over its unix socket, when a template is evaluated.
    Files then hold references and no values.
  - All names of one call are answered in one round trip and are of one epoch. The first answer pins the epoch for the
    whole run of C(ansible-playbook) (with the callback P(donjon.broker.mask#callback), for all its workers);
    a rotation in between makes the next lookup fail instead of mixing old and new values. C(donjon run --deploy)
    makes rotations wait and sets E(DONJON_EPOCH).
  - A lookup cannot hide its value from the output. It therefore refuses to answer unless the callback
    P(donjon.broker.mask#callback) covers the output of this run, see O(unmasked).
extends_documentation_fragment:
  - donjon.broker.broker
options:
  _terms:
    description: Names of secrets.
    type: list
    elements: str
    required: true
  part:
    description: For a key pair, which of its two values.
    type: str
    choices: [whole, private_key, public_key]
    default: whole
  key:
    description: Of a repository of keys (Keystone's Fernet keys), the number of one.
    type: str
  encoding:
    description:
      - How the value is written into the text around it. V(url) percent-encodes everything but letters, digits and C(_.-~), for
        the user part of a URL. V(json) escapes it for the inside of a JSON string.
    type: str
    choices: [none, url, json]
    default: none
  epoch:
    description:
      - The epoch that the answer must be of. Unset, it is the one that this run began with.
    type: int
  unmasked:
    description: What to do when no mask covers the output of this run.
    type: str
    choices: [refuse, allow]
    default: refuse
    env:
      - name: DONJON_UNMASKED
    ini:
      - section: donjon
        key: unmasked
notes:
  - Before ansible-core 2.19 a template whose result looks like a list or a dictionary in Python becomes one, as with any lookup.
    Such values (a whole repository of keys) need C(jinja2_native) there.
seealso:
  - plugin: donjon.broker.mask
    plugin_type: callback
"""

EXAMPLES = r"""
- name: A passwords.yml for kolla-ansible, as `donjon wire kolla` writes it
  ansible.builtin.copy:
    dest: /etc/kolla/passwords.yml
    mode: "0600"
    content: |
      database_password: {{ "{{ lookup('donjon.broker.secret', 'database_password') }}" }}

- name: One value in the middle of a URL
  ansible.builtin.set_fact:
    url: "mysql+pymysql://keystone:{{ lookup('donjon.broker.secret', 'keystone_database_password', encoding='url') }}@db/keystone"

- name: The two values of a key pair
  ansible.builtin.copy:
    dest: "{{ item.dest }}"
    mode: "{{ item.mode }}"
    content: "{{ lookup('donjon.broker.secret', 'nova_ssh_key', part=item.part) }}"
  loop:
    - {dest: /dev/shm/id_rsa, mode: "0600", part: private_key}
    - {dest: /dev/shm/id_rsa.pub, mode: "0644", part: public_key}
  no_log: true
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.donjon.broker.plugins.plugin_utils import daemon, masking
from ansible_collections.donjon.broker.plugins.plugin_utils.reference import NoSuchKey, encode, pick


OPTIONS = ("part", "key", "encoding", "epoch", "unmasked", "socket", "timeout")
# What they are where a call names none of them: that is the same for a whole run, since no variable of a host sets one. Ansible
# takes longer to work them out than the broker to answer.
_usual = {}


class LookupModule(LookupBase):
    """C(lookup('donjon.broker.secret', NAME, …))."""

    def run(self, terms, variables=None, **kwargs):
        """One round trip for all of C(terms)."""
        options = self._chosen(variables, kwargs)
        require_mask(options["unmasked"])
        for term in terms:
            if not isinstance(term, str) or not term:
                raise AnsibleError("donjon.broker.secret takes names of secrets, not %s" % type(term).__name__)
        if not terms:
            return []
        wanted = [(str(term), options["part"]) for term in terms]
        try:
            values = daemon.read_pinned(wanted, options["socket"], options["timeout"], options["epoch"])
            picked = [pick(term, value, options["key"]) for term, value in zip(terms, values)]
        except (daemon.BrokerError, NoSuchKey) as error:
            raise AnsibleError(str(error)) from None
        return [encode(value, options["encoding"]) for value in picked]

    def _chosen(self, variables, arguments):
        if _usual and not arguments:
            return _usual
        self.set_options(var_options=variables, direct=arguments)
        chosen = {name: self.get_option(name) for name in OPTIONS}
        if not arguments:
            _usual.update(chosen)
        return chosen


def require_mask(unmasked):
    """Refuse to hand out values that the output of this run would show."""
    if masking.installed() is None and unmasked != "allow":
        raise AnsibleError(
            "no value is handed out, because nothing would keep it out of the output of this run\n"
            "hint: enable the callback `donjon.broker.mask` (ANSIBLE_CALLBACKS_ENABLED=donjon.broker.mask, or "
            "`callbacks_enabled` in ansible.cfg; for ad-hoc commands also ANSIBLE_LOAD_CALLBACK_PLUGINS=1), or set "
            "DONJON_UNMASKED=allow"
        )
