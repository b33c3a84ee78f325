# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""References in text that Ansible itself would not evaluate, and how values are written in their place.

C(donjon wire tripleo) turns the placeholders of a tree into one fixed expression per reference. In files that tasks read with
C(lookup('file', …)) Ansible leaves that text alone: here it is replaced, and nothing else in the file is looked at.
"""
from __future__ import annotations

import json
import re
import urllib.parse

# What `donjon wire tripleo` writes, to the letter.
EXPRESSION = re.compile(
    r"\{\{ lookup\('donjon\.broker\.secret', '(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)'"
    r"(?:, part='(?P<part>private_key|public_key)')?"
    r"(?:, key='(?P<key>[0-9]+)')?"
    r"(?:, encoding='(?P<encoding>url|json)')?\) \}\}"
)


def encode(value, encoding):
    """C(value) as it is written into the text around it."""
    if encoding == "url":
        return urllib.parse.quote(value, safe="")
    if encoding == "json":
        return json.dumps(value)[1:-1]
    return value


class NoSuchKey(Exception):
    """A value is no repository of keys, or has none of that number. Holds no values."""

    def __init__(self, name, key, numbers):
        self.name, self.key, self.numbers = name, key, numbers
        super().__init__(str(self))

    def __str__(self):
        said = "`%s` has no key %s" % (self.name, self.key)
        if not self.numbers:
            return "%s\ncaused by: it is no repository of keys" % said
        return (
            "%s\ncaused by: it has %s by now: it has rotated since the reference was written\n"
            "hint: write the references again: `donjon wire tripleo --environment FILE`, `openstack overcloud deploy --stack-only` "
            "with it, and `donjon wire tripleo FOLDER` on what config-download writes then" % (said, ", ".join(self.numbers))
        )


def pick(name, value, key):
    """One key of a repository, which is a JSON object of number to key; the value itself without a C(key)."""
    if key is None:
        return value
    try:
        keys = json.loads(value)
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not all(number.isdecimal() for number in keys):
        raise NoSuchKey(name, key, [])
    if key not in keys:
        raise NoSuchKey(name, key, sorted(keys, key=int))
    return keys[key]


def wanted(text):
    """The (name, part) pairs that C(text) refers to, each once, in order."""
    found = {}
    for match in EXPRESSION.finditer(text):
        found[(match["name"], match["part"] or "whole")] = None
    return list(found)


def resolve(text, values):
    """C(text) with each reference replaced by its value from C(values), a mapping of (name, part)."""

    def value(match):
        whole = values[(match["name"], match["part"] or "whole")]
        return encode(pick(match["name"], whole, match["key"]), match["encoding"])

    return EXPRESSION.sub(value, text)


def resolve_all(thing, values):
    """The same for every text in a parsed document, keys included."""
    if isinstance(thing, str):
        return resolve(thing, values)
    if isinstance(thing, dict):
        return {resolve_all(key, values): resolve_all(value, values) for key, value in thing.items()}
    if isinstance(thing, list):
        return [resolve_all(item, values) for item in thing]
    return thing
