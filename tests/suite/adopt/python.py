"""What Python makes of odd values: files for `donjon adopt`, and the values as real readers see them.

    python.py yaml SEEDS FOLDER     kolla, osa and tripleo files by PyYAML in every style, with what PyYAML reads from them
    python.py vault SEEDS FOLDER    the same as ansible-vault files, whole and value by value
    python.py words FILE            what it makes of each word of a JSON list, or null where that is no JSON
    python.py read FILE             what PyYAML reads of a file, as JSON
"""

import json
import pathlib
import random
import sys

import yaml

PIECES = ["$", "#", "'", '"', "\n", "\\", " ", ":", ": ", " #", "{", "}", "[", "&", "*", "!", "|", ">", "%", "@", "`", ",", "-", "?",
          "\t", "é", "ß", "日本", "\U0001f511", "~", "null", "yes", "0", "01", "1e5", "=", "a", "Z", "9", "\u00a0", "\u2028", "\u2029", "\x85", "\x7f", "\r"]
STYLES = [None, "'", '"', "|", ">"]


def odd(chance):
    kind = chance.randrange(10)
    if kind == 0:
        return ""
    if kind == 1:
        return "".join(chance.choice(PIECES) for _ in range(2000))[:4096]
    if kind == 2:
        return "".join(chance.choice("abcdef0123456789") for _ in range(40))
    return "".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 24)))


class Styled(yaml.SafeDumper):
    """Writes each value in the style it was given."""


class Value(str):
    style = None


Styled.add_representer(Value, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=value.style))


def written(chance, values, width):
    styled = {}
    for name, value in values.items():
        styled[name] = Value(value)
        styled[name].style = chance.choice(STYLES)
    return styled, {"width": width, "allow_unicode": chance.random() < 0.5, "sort_keys": False}


def make(kind, seeds, folder):
    folder = pathlib.Path(folder)
    for number in range(int(seeds)):
        chance = random.Random(number)
        values = {f"name_{index}": odd(chance) for index in range(12)}
        style = chance.choice(["kolla", "osa", "tripleo"])
        if style != "tripleo":
            # Ansible evaluates these; they are no values.
            values = {name: value for name, value in values.items() if not any(mark in value for mark in ("{{", "{%", "{#"))}
        styled, options = written(chance, values, chance.choice([20, 80, 10000]))
        document = {"parameter_defaults": styled} if style == "tripleo" else styled
        text = yaml.dump(document, Dumper=Styled, **options)
        if ambiguous(text):
            (folder / f"{number}.refused").write_bytes(text.encode())
            continue
        read = yaml.safe_load(text)
        read = read["parameter_defaults"] if style == "tripleo" else read
        read = {name: value for name, value in read.items() if value is not None}
        if kind == "vault":
            text = seal(chance, text, read, style)
        (folder / f"{number}.{style}.yml").write_bytes(text.encode())
        (folder / f"{number}.{style}.json").write_text(json.dumps(read))


def ambiguous(text):
    """YAML 1.1 ends lines where YAML 1.2 does not: read as it is written within single quotes alone, and refused elsewhere. PyYAML
    writes a next-line character there, too, and then reads another."""
    quoted = [(token.start_mark.index, token.end_mark.index) for token in yaml.scan(text) if getattr(token, "style", None) == "'"]
    ends = [at for at, mark in enumerate(text) if mark in "\x85\u2028\u2029"]
    return any(text[at] == "\x85" or not any(start < at < end for start, end in quoted) for at in ends)


def seal(chance, text, read, style):
    from ansible.parsing.vault import VaultLib, VaultSecret

    vault = VaultLib([("default", VaultSecret(b"a password"))])
    if style != "kolla" or chance.random() < 0.5:
        label = chance.choice([None, "prod"])
        return vault.encrypt(text, vault_id=label).decode()
    lines = []
    for name, value in read.items():
        lines.append(f"{name}: !vault |")
        lines.extend(f"  {line}" for line in vault.encrypt(value).decode().splitlines())
    return "\n".join(lines) + "\n"


def word_of(word):
    """What PyYAML reads of a word without quotes; None where it reads nothing at all, as of `=`."""
    try:
        return yaml.safe_load(f"x: {word}\n")["x"]
    except yaml.YAMLError:
        return None


if __name__ == "__main__":
    if sys.argv[1] == "words":
        read = [word_of(word) for word in json.loads(pathlib.Path(sys.argv[2]).read_text())]
        json.dump([value if isinstance(value, (str, int, bool)) else None for value in read], sys.stdout)
    elif sys.argv[1] == "read":
        with open(sys.argv[2], encoding="utf-8", newline="") as stream:
            json.dump(yaml.safe_load(stream), sys.stdout)
    else:
        make(*sys.argv[1:])
