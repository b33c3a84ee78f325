#!/usr/bin/env python3
"""Copies packages of the environment that runs this, with what they need, into another one, and makes their programs there.

usage: transplant.py SITE-PACKAGES [BIN PYTHON] -- PACKAGE ...
Without BIN no programs are made. PYTHON is what runs them, as the other environment sees it.
"""

import importlib.metadata
import pathlib
import shutil
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SCRIPT = "#!{python}\nimport sys\nfrom {module} import {head}\nsys.exit({attribute}())\n"


def closure(names):
    """Every distribution that these need, themselves too, each with the extras that were asked for."""
    left, seen = [Requirement(name) for name in names], {}
    while left:
        wanted = left.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen[key] = importlib.metadata.distribution(wanted.name)
        for text in seen[key].requires or []:
            needed = Requirement(text)
            extras = list(wanted.extras) or [""]
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                left.append(needed)
    return {name: found for (name, _), found in seen.items()}.values()


def main(words):
    """Copies."""
    end = words.index("--")
    places, names = words[:end], words[end + 1:]
    site = pathlib.Path(places[0])
    for found in closure(names):
        for file in found.files or []:
            # What lies elsewhere is a program or a manual.
            if file.parts[0] == ".." or "__pycache__" in file.parts:
                continue
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.locate_file(file), target)
        if len(places) < 2:
            continue
        for entry in found.entry_points.select(group="console_scripts"):
            script = pathlib.Path(places[1]) / entry.name
            head = entry.attr.split(".")[0]
            script.write_text(SCRIPT.format(python=places[2], module=entry.module, head=head, attribute=entry.attr))
            script.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1:])
