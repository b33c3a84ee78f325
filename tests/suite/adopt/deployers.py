"""What deployers really write, for `donjon adopt`, and what a person types at its prompt.

    deployers.py user-secrets FILE NAME ...  openstack-ansible's user_secrets.yml of these names, filled with what it fills them with
    deployers.py overcloud FILE              TripleO's passwords environment, by the generator of tripleo-common
    deployers.py plan FILE FOLDER [PARAMS]   a plan export of it, as `openstack overcloud plan export` packs it
    deployers.py typed PASSWORD WORD ...     runs a command on a terminal, types the password once it no longer echoes, and
                                             tells what stood there; with `--echoing` before the command it does not wait
    deployers.py odd FILE                    odd values in every style of PyYAML's, and those that look like templates
"""

import json
import os
import pathlib
import pty
import random
import select
import signal
import string
import subprocess
import sys
import termios
import time
import uuid

import yaml

# What tripleo-common 12.4.0, which still had plans, generated besides; it had AdminToken for what is KeystonePassword now.
OLDER = ("AdminToken", "CephAdminKey", "CephMdsKey", "CephMonKey", "CongressPassword", "Ec2ApiPassword", "KeystoneFernetKey0",
         "KeystoneFernetKey1", "MistralPassword", "NovajoinPassword", "PankoPassword", "SaharaPassword", "ZaqarPassword")


def generated(older=()):
    from tripleo_common import constants
    from tripleo_common.utils import passwords

    names = [name for name in constants.PASSWORD_PARAMETER_NAMES if not (older and name == "KeystonePassword")]
    constants.PASSWORD_PARAMETER_NAMES = (*names, *older)
    made = passwords.generate_passwords()
    assert len(made) == len(names) + len(older), made.keys()
    return made


def user_secrets(file, *names):
    """Tokens and keys as UUIDs or hexadecimal, the rest as 16 to 64 letters and digits, one name to a line below headings."""
    rng = random.Random(4711)
    letters = string.ascii_letters + string.digits
    made = {}
    for name in names:
        if "uuid" in name or "token" in name:
            made[name] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        elif name.endswith("_key"):
            made[name] = "%064x" % rng.getrandbits(256)
        else:
            made[name] = "".join(rng.choice(letters) for _index in range(rng.randint(16, 64)))
    lines = ["---", "# Passwords of this deployment", ""]
    for number, (name, value) in enumerate(made.items()):
        lines += ["", "## Options of %s" % name.partition("_")[0]] if number % 5 == 0 else []
        # Quoted only where YAML would read something else than a text.
        lines.append(yaml.safe_dump({name: value}, width=1000).rstrip("\n"))
    pathlib.Path(file).write_text("\n".join(lines) + "\n")
    json.dump(made, sys.stdout)


def overcloud(file):
    made = generated()
    pathlib.Path(file).write_text(yaml.safe_dump({"parameter_defaults": made}, default_flow_style=False))
    json.dump(made, sys.stdout)


def plan(file, folder, *parameters):
    """The plan's files as they lay in its container, put and packed as tripleo-common 12.4.0 does: `put_env`, `create_tarball`."""
    made, folder = generated(OLDER), pathlib.Path(folder)
    environment = {"version": 1.0, "name": "overcloud", "template": "overcloud.yaml", "passwords": made,
                   "environments": [{"path": "overcloud-resource-registry-puppet.yaml"}, {"path": "user-environment.yaml"}]}
    if parameters:
        environment["parameter_defaults"] = json.loads(parameters[0])
    # What an operator gave with `-p`, for another plan: it lies below, and comes first in some archives.
    decoy = {"name": "other", "passwords": {"AdminPassword": "of-another-plan-4711"}}
    for name, content in (("a-user-s/plan-environment.yaml", decoy), ("plan-environment.yaml", environment),
                          ("overcloud.yaml", {"heat_template_version": "rocky"}), ("roles_data.yaml", [{"name": "Controller"}])):
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(yaml.safe_dump(content, default_flow_style=False))
    words = ["tar", "-C", str(folder), "-czf", file, "--sort=name"]
    for pattern in (".git", ".tox", "*.pyc", "*.pyo"):
        words += ["--exclude", pattern]
    subprocess.run([*words, "."], check=True)
    json.dump(made, sys.stdout)


def typed(password, *words):
    echoing = words[0] == "--echoing"
    words = words[1:] if echoing else words
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(words[0], words)
    said, wrote, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if not wrote and b"password: " in said and (echoing or not termios.tcgetattr(terminal)[3] & termios.ECHO):
            os.write(terminal, password.encode() + b"\n")
            wrote = True
        if not select.select([terminal], [], [], 0.02)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:
            break  # Linux says so once nobody holds the other side any more.
        if not read:
            break
        said += read
    else:
        os.kill(child, signal.SIGKILL)  # It asks nothing, or waits for more.
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    json.dump({"said": said.decode(), "code": code, "typed": wrote}, sys.stdout)


class Styled(yaml.SafeDumper):
    """Writes each value in its own style, and what is not to be evaluated with Ansible's tag."""


class Odd(str):
    style = None
    tag = "tag:yaml.org,2002:str"


Styled.add_representer(Odd, lambda dumper, value: dumper.represent_scalar(value.tag, str(value), style=value.style))


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))

MARKS = ("{{", "{%", "{#")
FIXED = ["", "\n", "a\n", "\n\n a", " a ", "a\tb", "it's", 'say "it"', "back\\slash", "$HOME", "a #b", "#a", "a: b", "- a", "?", "\r\n", "\x7f",
         "a\u2028b", "\u2029", "a' \u2028", "x\u00a0y", "a\u0085b", "\ufeffa", "日本 ß", "\U0001f511" * 40, "null", "~", "yes", "0123", "1e5",
         "12:30", "=", "<<", "2026-11-23", "x" * 4096, "line\n" * 800, "}} %} #}", "%s", "'''", '"""', "...", "---", "&a", "*a", "!a", "@a", "`a"]
TEMPLATES = ["{{ lookup('pipe', 'echo no') }}", "a{{b", "{% raw %}", "{#", "{{ '{{' }}", "x{%y\n{{ z }}\u2028"]


def odd(file):
    sys.path.insert(0, os.path.dirname(__file__))
    from python import odd as drawn

    chance, values, expected = random.Random(4711), {}, {}
    for index, value in enumerate(FIXED + TEMPLATES + [drawn(chance) for _ in range(40)]):
        styled = Odd(value)
        styled.style = chance.choice([None, "'", '"', "|", ">"])
        if "\u0085" in value:
            styled.style = '"'  # As it is, PyYAML writes it and reads a line feed or a blank.
        elif any(mark in value for mark in "\u2028\u2029"):
            styled.style = chance.choice([None, "'", '"'])
        if any(mark in value for mark in MARKS):
            styled.tag = "!unsafe"
        values[f"odd_{index}"], expected[f"odd_{index}"] = styled, value
    values["evaluated"] = Odd("{{ 'by ' ~ 'Ansible' }}")
    text = yaml.dump(values, Dumper=Styled, allow_unicode=True, width=60, sort_keys=False)
    read = yaml.load(text, Loader=Loader)
    del read["evaluated"]
    assert read == expected, "PyYAML does not read what it wrote"
    assert "\u2028" in text and "\u2029" in text
    pathlib.Path(file).write_bytes(text.encode())
    json.dump(expected, sys.stdout)


if __name__ == "__main__":
    {"user-secrets": user_secrets, "overcloud": overcloud, "plan": plan, "typed": typed, "odd": odd}[sys.argv[1]](*sys.argv[2:])
