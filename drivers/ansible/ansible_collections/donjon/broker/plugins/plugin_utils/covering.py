# Copyright: the Donjon authors
# SPDX-License-Identifier: Apache-2.0
"""Objects of Ansible as other callbacks get them: the same to look at, with every value covered that is read from them.

A task leads to its play, that to all other tasks, to the variables and to the hosts. A copy of all that for each event would cost
more than the run, and a copy of less would lead to what is not covered. So nothing is copied before it is read: what stands for an
object asks it for each attribute, item and answer of a method, and covers that.
"""
from __future__ import annotations

import collections.abc
import datetime
import enum
import inspect
import numbers
import operator
import types
import uuid


class Covering:
    """Covers whatever is given to it, with one mask."""

    def __init__(self, mask, fault):
        """C(fault) is told what goes wrong here; nothing uncovered is given out instead. Where it returns, who asked gets an error."""
        self._mask = mask
        self._fault = fault

    def __call__(self, thing):
        """C(thing) itself where that is no secret, a covered copy of texts and containers, and else what stands for it."""
        try:
            return self._mask.anything(thing, self._other)
        except Exception as error:  # pylint: disable=broad-except
            self._fault(error)
            told = self._told(error)
        raise told

    def asked(self, step, *words):
        """What C(step) answers, covered; what it raises, too."""
        try:
            answer = step(*words)
        except Exception as error:  # pylint: disable=broad-except
            if not self._mask.shows(str(error)):
                raise
            told = self._told(error)
        else:
            return self(answer)
        # Out of the handler: it has no context that leads to the other one.
        raise told

    def _told(self, error):
        kind = type(error) if type(error) in (AttributeError, KeyError, IndexError) else RuntimeError
        return kind(self._mask.text(str(error)))

    def _other(self, thing):
        if isinstance(thing, (Covered, *_HARMLESS)):
            return thing
        if inspect.isroutine(thing):
            return self._routine(thing)
        if isinstance(thing, collections.abc.Iterator):
            return map(self, thing)
        return Covered(thing, self)

    def _routine(self, routine):
        """Called with what it knows, answers what is covered. No C(functools.wraps): that would lead to what it is bound to."""

        def covered(*args, **kwargs):
            return self.asked(lambda: routine(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()}))

        covered.__name__ = getattr(routine, "__name__", "covered")
        return covered


class Covered:
    """Stands for an object, of whose class it is to C(isinstance). What is set here stays here: tasks work on with what they had."""

    __slots__ = ("_donjon_thing", "_donjon_covering", "_donjon_own", "__weakref__")

    def __init__(self, thing, covering):
        _set(self, "_donjon_thing", thing)
        _set(self, "_donjon_covering", covering)
        _set(self, "_donjon_own", {})

    def __getattribute__(self, name):
        own = _get(self, "_donjon_own")
        if name in own:
            return own[name]
        if name == "__class__":
            return type(plain(self))
        if name in _OF_COPIES:
            return _get(self, name)
        covered = _get(self, "_donjon_covering").asked(getattr, plain(self), name)
        return dict(covered, **own) if name == "__dict__" else covered

    def __setattr__(self, name, value):
        _get(self, "_donjon_own")[name] = value

    def __delattr__(self, name):
        try:
            del _get(self, "_donjon_own")[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self):
        return dir(plain(self))

    def __repr__(self):
        return _get(self, "_donjon_covering").asked(repr, plain(self))

    def __str__(self):
        return _get(self, "_donjon_covering").asked(str, plain(self))

    def __format__(self, how):
        return format(str(self), how)

    def __eq__(self, other):
        return plain(self) == plain(other)

    def __ne__(self, other):
        return plain(self) != plain(other)

    def __lt__(self, other):
        return plain(self) < plain(other)

    def __hash__(self):
        return hash(plain(self))

    def __bool__(self):
        return bool(plain(self))

    def __len__(self):
        return len(plain(self))

    def __iter__(self):
        return map(_get(self, "_donjon_covering"), iter(plain(self)))

    def __contains__(self, item):
        return plain(item) in plain(self)

    def __getitem__(self, key):
        return _get(self, "_donjon_covering").asked(operator.getitem, plain(self), plain(key))

    def __copy__(self):
        return self

    def __deepcopy__(self, _known):
        return self

    def __reduce_ex__(self, _protocol=None):
        raise TypeError("what stands for an object of Ansible's cannot be pickled")

    __reduce__ = __reduce_ex__


def plain(thing):
    """What C(thing) stands for, if it does; else itself."""
    return _get(thing, "_donjon_thing") if isinstance(thing, Covered) else thing


_get = object.__getattribute__
_set = object.__setattr__
# Those of the object itself would copy and pickle it piece by piece, on and on.
_OF_COPIES = ("__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__")
_HARMLESS = (type, types.ModuleType, enum.Enum, numbers.Number, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)
