"""The original: answers, a line for a line, what oslo.config makes of a case. Started by the test of the same name.

A case names the options, the arguments, and the environment; its files are on disk. The answer says whether it opened,
each option's value and place, and what the original logged while it went on without a source.
"""

import faulthandler
import json
import logging
import os
import signal
import sys
import traceback

from oslo_config import cfg, types

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
# What it ends of itself by is told; what oslo.config prints of wrong arguments is not.
faulthandler.enable(sys.__stderr__)
sys.excepthook = lambda *error: traceback.print_exception(*error, file=sys.__stderr__)
sys.stderr = open(os.devnull, "w")


# A circle logs a line on each turn, for as long as it is let.
MOST_LINES = 10_000


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        if len(self.lines) < MOST_LINES:
            self.lines.append([record.name, record.levelname, record.getMessage()])


heard = Heard()
for name in ("oslo_config", "castellan"):
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(heard)
    logger.propagate = False


def option_type(kind):
    name = kind["kind"]
    if name == "text":
        return types.String(
            choices=kind["choices"] or None,
            ignore_case=kind["ignore_case"],
            quotes=kind["quotes"],
            max_length=kind["longest"],
        )
    if name == "switch":
        return types.Boolean()
    if name == "integer":
        return types.Integer(min=kind["min"], max=kind["max"])
    if name == "float":
        return types.Float(min=kind["min"], max=kind["max"])
    if name == "list":
        return types.List(item_type=option_type(kind["item"]), bounds=kind["bounds"])
    if name == "map":
        return types.Dict(value_type=option_type(kind["value"]), bounds=kind["bounds"])
    if name == "address":
        return types.IPAddress(version=kind["version"])
    if name == "hostname":
        return types.Hostname()
    if name == "host":
        return types.HostAddress()
    if name == "domain":
        return types.HostDomain()
    if name == "uri":
        return types.URI(schemes=kind["schemes"] or None, max_length=kind["longest"])
    raise AssertionError(name)


def declared(option):
    kind = option["type"]
    former = [cfg.DeprecatedOpt(name, group=group) for group, name in option["former"]]
    default = option["default"]
    if option["multi"]:
        return cfg.MultiOpt(option["name"], item_type=option_type(kind), default=default, deprecated_opts=former)
    default = default[-1] if default is not None else None
    if kind["kind"] == "switch":
        return cfg.BoolOpt(option["name"], default=default, deprecated_opts=former)
    return cfg.Opt(option["name"], type=option_type(kind), default=default, deprecated_opts=former)


def shown(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return {"switch": value}
    if isinstance(value, int):
        return {"integer": str(value)}
    if isinstance(value, float):
        return {"float": "nan" if value != value else value.hex()}
    if isinstance(value, str):
        return {"text": value.encode("utf-8", "surrogatepass").hex()}
    if isinstance(value, (list, tuple)):
        return {"list": [shown(item) for item in value]}
    if isinstance(value, dict):
        return {"map": [[shown(key), shown(item)] for key, item in value.items()]}
    raise AssertionError(type(value))


def answer(case):
    heard.lines = []
    conf = cfg.ConfigOpts()
    for option in case["options"]:
        register = conf.register_cli_opt if option["argument"] else conf.register_opt
        group = option["group"]
        register(declared(option), group=None if group == "DEFAULT" else group)
    try:
        conf(args=case["arguments"], default_config_files=[], default_config_dirs=[])
    except (Exception, SystemExit) as error:
        return {"opened": type(error).__name__, "values": [], "heard": heard.lines}
    opened = heard.lines
    values = []
    for option in case["options"]:
        heard.lines = []
        name, group = option["name"].replace("-", "_"), option["group"]
        try:
            value = conf[name] if group == "DEFAULT" else conf[group][name]
            place = conf.get_location(name, None if group == "DEFAULT" else group)
            place = place.location.name if place else None
            values.append({"value": shown(value), "place": place, "heard": heard.lines})
        except Exception as error:
            values.append({"error": type(error).__name__, "heard": heard.lines})
    return {"opened": None, "values": values, "heard": opened}


for line in sys.stdin.buffer:
    case = json.loads(line)
    # Nothing that hangs is waited for.
    signal.alarm(30)
    environment = {bytes.fromhex(name): bytes.fromhex(value) for name, value in case["environment"]}
    os.environb.update(environment)
    try:
        told = answer(case)
    except BaseException:
        # A mistake of this script or of the case: no answer, and no reason to end.
        told = {"died": traceback.format_exc()}
    finally:
        # Nor is it ended for what the one who asks takes before the next case.
        signal.alarm(0)
        for name in environment:
            del os.environb[name]
    answers.write(json.dumps(told) + "\n")
