# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Finding every place where one of many words stands in a text, quickly to prepare and quickly to search.

A text is looked at in blocks, a step apart, and not at each of its characters, as Wu and Manber do (A Fast Algorithm for
Multi-Pattern Searching, 1994): wherever a word of at least BLOCK + STEP - 1 characters stands, one of the blocks that begin at
STEP characters in its middle is looked at. The middle, since the beginnings and ends of URLs and keys are alike, and known to
everybody. A pattern of all words for C(re), which is the other way, takes seconds to compile for a thousand values in all their
forms.
"""
from __future__ import annotations

# Pairs of BLOCK and STEP: a word is of the first that it is long enough for. What is too short for both is looked for by itself.
GRIDS = ((8, 4), (5, 4))
SHORTEST = 4


class Words:
    """Words of at least SHORTEST characters, ready to be looked for."""

    def __init__(self, words):
        self._grids = [(block, step, {}) for block, step in GRIDS]
        self._short = []
        for word in words:
            for block, step, known in self._grids:
                spare = len(word) - (block + step - 1)
                if spare >= 0:
                    for before in range(spare // 2, spare // 2 + step):
                        known.setdefault(word[before:before + block], []).append((before, word))
                    break
            else:
                self._short.append(word)
        self._grids = [grid for grid in self._grids if grid[2]]

    def found(self, text):
        """Where a word begins and ends, once for each place where one does, in no order."""
        # What Ansible marks its texts with would be carried into each block.
        text = str.__str__(text)
        for block, step, known in self._grids:
            for at in range(0, len(text) - block + 1, step):
                if text[at:at + block] in known:
                    for before, word in known[text[at:at + block]]:
                        if before <= at and text.startswith(word, at - before):
                            yield at - before, at - before + len(word)
        for word in self._short:
            at = text.find(word)
            while at >= 0:
                yield at, at + len(word)
                at = text.find(word, at + 1)

    def replaced(self, text, cover):
        """C(text) with C(cover) in the place of each word, and in that of all words together that overlap; the text itself where
        it has none."""
        places = []
        for begins, ends in self.found(text):
            if places and begins < places[-1][1] and ends > places[-1][0]:
                # One text may be all of one word and its own overlaps.
                begins, ends = min(begins, places[-1][0]), max(ends, places.pop()[1])
            places.append((begins, ends))
        if not places:
            return text
        pieces, end = [], 0
        for begins, ends in sorted(places):
            if begins >= end or not pieces:
                pieces += [text[end:begins], cover]
            end = max(end, ends)
        return "".join(pieces) + text[end:]
