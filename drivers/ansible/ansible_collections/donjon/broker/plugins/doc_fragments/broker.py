# Copyright: the Donjon authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of everything that talks to the broker."""
from __future__ import annotations


class ModuleDocFragment:
    """Where the broker is, and how long it may take."""

    DOCUMENTATION = r"""
options:
  socket:
    description:
      - The unix socket of the broker on the control node.
      - Without it, C($DONJON_HOME/run/donjon.sock); without E(DONJON_HOME), C(/var/lib/donjon) for root and
        C($XDG_STATE_HOME/donjon) for others stand for it.
    type: path
    env:
      - name: DONJON_SOCKET
    ini:
      - section: donjon
        key: socket
  timeout:
    description: How many seconds the broker may take for one answer.
    type: float
    default: 30
    env:
      - name: DONJON_TIMEOUT
    ini:
      - section: donjon
        key: timeout
"""
