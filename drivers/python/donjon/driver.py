# SPDX-License-Identifier: Apache-2.0
"""The oslo.config driver: ``driver = donjon``.

All mapped options are read in one request when the configuration is opened. oslo.config swallows what a driver raises there
and goes on with the defaults; so a failure ends the process instead, which no handler of ``Exception`` catches.
"""

import logging

from oslo_config import cfg
from oslo_config import iniparser
from oslo_config import sources

from donjon import broker

LOG = logging.getLogger(__name__)


class Refused(SystemExit):
    """The service does not start: a secret that it is configured with cannot be read. The code is the message."""


class Driver(sources.ConfigurationSourceDriver):
    """Opens a source that reads the broker's socket."""

    _options = [
        cfg.StrOpt(
            "mapping_file",
            required=True,
            sample_default="/etc/keystone/donjon.conf",
            help="A file of [group] and option = secret, as castellan's.",
        ),
        cfg.StrOpt("socket", help="The broker's socket; where none is named, that of DONJON_SOCKET or DONJON_HOME."),
        cfg.FloatOpt("timeout", default=30, min=0.1, help="How long the broker may take, in seconds."),
        cfg.BoolOpt(
            "optional",
            default=False,
            help="Whether the service may start on its defaults when the broker does not answer.",
        ),
    ]

    def list_options_for_discovery(self):
        return self._options

    def open_source_from_opt_group(self, conf, group_name):
        try:
            conf.register_opts(self._options, group_name)
            given = conf[group_name]
            mapping, path, timeout, optional = given.mapping_file, given.socket, given.timeout, given.optional
            if not mapping:
                raise ValueError("mapping_file is missing")
            mapped = _mapping(mapping)
        except Exception as error:  # noqa: BLE001: oslo.config would go on without the source
            raise Refused(f"donjon: [{group_name}] cannot be used: {error}") from None
        try:
            return Source(_values(mapped, path or broker.default_socket(), timeout))
        except broker.BrokerError as error:
            if optional:
                LOG.warning("[%s] is optional, and its secrets cannot be read: %s", group_name, error)
                return Source({})
            raise Refused(
                f"donjon: the secrets of [{group_name}] cannot be read, so the service does not start: {error}"
            ) from None


class Source(sources.ConfigurationSource):
    """Values that were read when it was opened, by group and option."""

    def __init__(self, values):
        self._values = values

    def get(self, group_name, option_name, opt):
        found = self._values.get((group_name or "DEFAULT", option_name))
        if found is None:
            return (sources._NoValue, None)
        name, text = found
        # oslo.config would take the letters of a text for the values of an option that takes several.
        value = [text] if opt.multi else text
        return (value, cfg.LocationInfo(cfg.Locations.user, name))


def _mapping(path):
    """Each mapped option and the name of its secret."""
    sections = {}
    try:
        cfg.ConfigParser(path, sections).parse()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except iniparser.ParseError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    mapped = {}
    for group, options in sections.items():
        for option, names in options.items():
            if len(names) != 1:
                raise ValueError(f"{path}: [{group}] {option} is mapped twice")
            if not names[0]:
                raise ValueError(f"{path}: [{group}] {option} is mapped to no name")
            mapped[(group, option)] = names[0]
    return mapped


def _values(mapped, path, timeout):
    if not mapped:
        return {}
    names = list(mapped.values())
    values = {}
    for (option, name), material in zip(mapped.items(), broker.read(path, names, timeout)):
        try:
            text = material.decode("utf-8")
        except UnicodeDecodeError:
            raise broker.BrokerError(f"`{name}` is not UTF-8 text, and options are") from None
        # So that a `$` in a secret is no reference to another option.
        values[option] = (name, text.replace("$", "\\$"))
    return values
