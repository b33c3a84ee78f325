# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Finding every place where one of many words stands in a text, quickly to prepare and quickly to search.

A text is looked at in blocks, a step apart, and not at each of its characters, as Wu and Manber do (A Fast Algorithm for
Multi-Pattern Searching, 1994): wherever a word of at least BLOCK + STEP - 1 characters stands, one of the blocks that begin at
its first STEP characters is looked at. A pattern of all words for C(re), which is the other way, takes seconds to compile
for a thousand values in all their forms.
"""
from __future__ import annotations

# Pairs of BLOCK and STEP: a word is of the first that it is long enough for.
GRIDS = ((8, 4), (5, 4), (4, 1))
SHORTEST = 4


class Words:
    """Words of at least SHORTEST characters, ready to be looked for."""

    def __init__(self, words):
        self._grids = [(block, step, {}) for block, step in GRIDS]
        for word in words:
            block, step, known = next(grid for grid in self._grids if len(word) >= grid[0] + grid[1] - 1)
            for at in range(step):
                known[word[at:at + block]] = known.get(word[at:at + block], ()) + (word,)
        self._grids = [grid for grid in self._grids if grid[2]]

    def found(self, text):
        """Where a word begins and ends, for each place where one does, in no order and more than once where blocks of it repeat."""
        for block, step, known in self._grids:
            for at in range(0, len(text) - block + 1, step):
                if text[at:at + block] in known:
                    yield from _around(text, at, text[at:at + block], step, known)

    def replaced(self, text, cover):
        """C(text) with C(cover) in the place of each word, and in that of all words together that overlap; the text itself where
        it has none."""
        found = sorted(self.found(text))
        if not found:
            return text
        pieces, end = [], 0
        for begins, ends in found:
            if begins >= end or not pieces:
                pieces += [text[end:begins], cover]
            end = max(end, ends)
        return "".join(pieces) + text[end:]


def _around(text, at, block, step, known):
    for word in known[block]:
        for before in range(min(step, at + 1)):
            if word.startswith(block, before) and text.startswith(word, at - before):
                yield at - before, at - before + len(word)
