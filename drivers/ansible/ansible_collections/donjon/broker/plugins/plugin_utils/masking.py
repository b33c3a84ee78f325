# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Finding values in text, in every form in which Ansible shows them, and covering them.

Searching goes by value, never by the name of a field or by what a line looks like: both have failed others.
"""
from __future__ import annotations

import base64
import dataclasses
import json
import re
import shlex
import urllib.parse

from ansible_collections.donjon.broker.plugins.plugin_utils import searching

# Shorter values would cover half of the output; the callback names them instead.
SHORTEST = searching.SHORTEST
# Keys are shown line by line (diffs, lists of lines, block scalars), so that each line is looked for by itself.
SHORTEST_LINE = 8
# What is longer and has lines is looked for by its lines alone: that finds all of it.
LONGEST_WHOLE = 512

# Whether a mask covers the output of this process and of the workers forked from it. The lookups ask.
_installed = None


def installed():
    """The mask that covers this process, if one does."""
    return _installed


def install(mask):
    """Declare that C(mask) covers the output of this process."""
    global _installed  # pylint: disable=global-statement
    _installed = mask


class Mask:
    """What must not be shown, prepared once."""

    def __init__(self, values, cover="********"):
        """C(values) are texts; those shorter than SHORTEST are left out."""
        found = set()
        for value in values:
            if len(value) >= SHORTEST:
                found |= forms(value)
        self.cover = cover
        self._words = searching.Words(found)
        # What base64 shares between two lines of a key stays between two covers.
        self._gap = re.compile(r"(?:%(cover)s[A-Za-z0-9+/=_-]{1,8})+%(cover)s" % {"cover": re.escape(cover)})

    def text(self, text):
        """C(text) with every value covered."""
        covered = self._words.replaced(text, self.cover)
        return text if covered is text else self._gap.sub(lambda _found: self.cover, covered)

    def shows(self, text):
        """Whether C(text) has a value in it."""
        return any(True for _place in self._words.found(text))

    def anything(self, thing, others=None):
        """A copy of C(thing) with every value covered, in keys too. What holds none is given back as it is, and so is what is no
        text and no container, unless C(others) covers it."""
        if thing is None or type(thing) in (bool, int, float):
            return thing
        if isinstance(thing, str):
            covered = self.text(thing)
            return thing if covered == thing else covered
        if isinstance(thing, (bytes, bytearray)):
            text = thing.decode("utf-8", "surrogateescape")
            covered = self.text(text)
            return thing if covered == text else covered.encode("utf-8", "surrogateescape")
        if isinstance(thing, dict):
            return {self.anything(key, others): self.anything(value, others) for key, value in thing.items()}
        if isinstance(thing, list):
            return [self.anything(item, others) for item in thing]
        for kind in (tuple, set, frozenset):
            if isinstance(thing, kind):
                return kind(self.anything(item, others) for item in thing)
        if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
            covered = {name: self.anything(value, others) for name, value in fields.items()}
            if any(covered[name] is not fields[name] for name in fields):
                return dataclasses.replace(thing, **covered)
            return thing
        return thing if others is None else others(thing)


def alone(value):
    """A value, and where it is a repository of keys, each of them: files hold them one by one."""
    try:
        keys = json.loads(value) if value.startswith("{") else {}
    except ValueError:
        keys = {}
    return [value] + [key for key in keys.values() if isinstance(key, str)]


def forms(value):
    """Every text that gives C(value) away."""
    lines = [line.strip() for line in value.splitlines()]
    pieces = {line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----")}
    if len(value) <= LONGEST_WHOLE or not pieces:
        pieces |= {value, value.strip()}
    found = set()
    for piece in pieces:
        written = {piece}
        if not _PLAIN.fullmatch(piece):
            # Twice: a JSON text in a JSON text, a quoted word in a quoted command.
            for _round in range(2):
                written |= {escape(form) for form in written for escape in _ESCAPES}
        raw = piece.encode("utf-8", "surrogateescape")
        found |= written | {raw.hex(), raw.hex().upper()} | _within_base64(raw)
    return {form for form in found if len(form) >= SHORTEST}


def _in_yaml(character):
    """One character in a double-quoted YAML scalar."""
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", "\x85": "\\N", "\xa0": "\\_"}
    if character in named:
        return named[character]
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return ("\\x%02X" if code < 0x100 else "\\u%04X" if code < 0x10000 else "\\U%08X") % code


_ESCAPES = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: "".join(_in_yaml(character) for character in text),
    lambda text: text.replace("'", "''"),
    lambda text: shlex.quote(text).strip("'"),
    lambda text: text.replace("\n", "\\n"),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: urllib.parse.quote(text, safe="", errors="surrogateescape"),
    lambda text: urllib.parse.quote(text, safe="/", errors="surrogateescape"),
    lambda text: urllib.parse.quote_plus(text, errors="surrogateescape"),
)


def _within_base64(raw):
    """C(raw) in base64 and base64url, alone and as a part of something longer: at each of three offsets, without the characters
    that its neighbours share."""
    found = {_base64(raw)}
    for offset in range(3):
        padded = b"\0" * offset + raw
        text = _base64(padded)
        start = (0, 2, 3)[offset]
        end = len(text) - (0 if len(padded) % 3 == 0 else 1)
        if end - start >= SHORTEST_LINE:
            found.add(text[start:end])
    return found | {text.translate(_URL_ALPHABET) for text in found}


def _base64(raw):
    return base64.b64encode(raw).decode().rstrip("=")


_URL_ALPHABET = str.maketrans("+/", "-_")
# What no escape changes.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
