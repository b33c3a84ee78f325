# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Every word is found wherever it stands, and nothing else is."""
from __future__ import annotations

import random
import unittest

from ansible_collections.donjon.broker.plugins.plugin_utils.searching import SHORTEST, Words


def places(words, text):
    """Looking at each character for each word."""
    return {(at, at + len(word)) for word in words for at in range(len(text)) if text.startswith(word, at)}


def some(rng, alphabet, least, most):
    """A text of some length."""
    return "".join(rng.choice(alphabet) for _index in range(rng.randint(least, most)))


class Found(unittest.TestCase):
    def test_the_same_places_as_looking_at_each_character(self):
        rng = random.Random(11)
        found = 0
        for case in range(3000):
            # Of two letters, words repeat, overlap and hold each other.
            alphabet = "ab" if case % 2 else "abcdefgh"
            words = {some(rng, alphabet, SHORTEST, 24) for _word in range(rng.randint(0, 6))}
            text = "".join(rng.choice([some(rng, alphabet, 0, 12)] + sorted(words)) for _piece in range(rng.randint(0, 8)))
            wanted = places(words, text)
            self.assertEqual(sorted(Words(words).found(text)), sorted(wanted), (words, text))
            found += len(wanted)
        self.assertGreater(found, 5000, "the control: there was something to find")

    def test_each_length_at_each_place(self):
        for length in range(SHORTEST, 40):
            word = "".join(chr(0x100 + index) for index in range(length))
            for before in range(20):
                text = "x" * before + word + "y" * 3
                self.assertEqual(list(Words([word]).found(text)), [(before, before + length)])
                self.assertEqual(list(Words([word]).found(text[:-4])), [])

    def test_what_is_alike_in_many_words_and_repeats_in_a_text_is_looked_at_once(self):
        text = "mysql+pymysql://" * 4000
        urls = ["mysql+pymysql://user%d:%032d@host/user%d" % (n, n * 7919, n) for n in range(200)]
        words = Words(urls)
        tried = sum(len(known.get(text[at:at + block], ())) for block, step, known in words._grids for at in range(0, len(text), step))
        self.assertEqual(tried, 0, "nothing that anybody knows leads to a word")
        self.assertEqual(list(words.found(text)), [])
        self.assertEqual(words.replaced("a" * 100000 + urls[7], "*"), "a" * 100000 + "*")
        self.assertEqual(Words(["a" * 500]).replaced("b" + "a" * 100000 + "b", "*"), "b*b")

    def test_words_that_overlap_are_replaced_together_and_neighbours_each(self):
        words = Words(["abcdef", "efghij", "klmn", "gggg"])
        self.assertEqual(words.replaced("x abcdefghij klmnklmn ggggg z", "*"), "x * ** * z")
        self.assertEqual(words.replaced("abcd", "*"), "abcd")
        self.assertEqual(words.replaced("", "*"), "")
