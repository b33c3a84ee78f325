# SPDX-License-Identifier: Apache-2.0
"""The oslo.config drivers: ``driver = donjon``, and ``driver = donjon_names`` for castellan beside files that cannot leave options out.

All options are read in one request when the configuration is opened. oslo.config swallows what a driver raises there
and goes on with the defaults; so a failure ends the process instead, which no handler of ``Exception`` catches.
"""

import logging
import re

from oslo_config import cfg
from oslo_config import iniparser
from oslo_config import sources

from donjon import broker
from donjon import reader

LOG = logging.getLogger(__name__)


class Refused(SystemExit):
    """The service does not start: a secret that it is configured with cannot be read. The code is the message."""


_SECRETS = cfg.ListOpt(
    "secrets",
    default=[],
    help="Secrets that options of files refer to: `connection = mysql://nova:${GROUP.nova_database_password}@h/nova`, where "
    "GROUP is this group. For files that a deployer writes, and that cannot leave an option out.",
)


class Driver(sources.ConfigurationSourceDriver):
    """Opens a source that reads the broker's socket, or the reader at an address."""

    _options = [
        cfg.StrOpt(
            "mapping_file",
            sample_default="/etc/keystone/donjon.conf",
            help="A file of [group] and option = secret, as castellan's.",
        ),
        _SECRETS,
        cfg.StrOpt("socket", help="The broker's socket; where none is named, that of DONJON_SOCKET or DONJON_HOME."),
        cfg.StrOpt(
            "address",
            sample_default="https://ctl1:8200",
            help="The reader to ask instead: https://HOST:PORT, or unix:///PATH of its socket.",
        ),
        cfg.StrOpt("mount", default="donjon", help="The mount that the reader serves."),
        cfg.StrOpt("deployment", help="The deployment: the folder of the secrets' names at the reader."),
        cfg.StrOpt("ca_file", help="The authority that the reader's certificate must be of; the system's where not given."),
        cfg.StrOpt("cert_file", help="This client's certificate, where the reader knows it by its key."),
        cfg.StrOpt("key_file", help="Its private key."),
        cfg.StrOpt("role_id_file", help="A file with the role-id of an AppRole."),
        cfg.StrOpt("secret_id_file", help="A file with its secret-id."),
        cfg.FloatOpt("timeout", default=30, min=0.1, max=3600, help="How long the broker may take, in seconds."),
        cfg.BoolOpt(
            "optional",
            default=False,
            help="Whether the service may start on its defaults when the broker does not answer. What refers to one of `secrets` has none.",
        ),
    ]

    def list_options_for_discovery(self):
        return self._options

    def open_source_from_opt_group(self, conf, group_name):
        try:
            conf.register_opts(self._options, group_name)
            given = conf[group_name]
            timeout, optional = 30 if given.timeout is None else given.timeout, given.optional
            if not given.mapping_file and not given.secrets:
                raise ValueError("mapping_file is missing")
            mapped = _mapping(given.mapping_file) if given.mapping_file else {}
            declared = _declared(conf, group_name, given.secrets, self._options)
            mapped.update(declared)
            read = _asking(given)
        except Exception as error:  # noqa: BLE001: oslo.config would go on without the source
            raise Refused(f"donjon: [{group_name}] cannot be used: {error}") from None
        try:
            return Source(_values(mapped, read, timeout))
        except broker.BrokerError as error:
            if optional:
                LOG.warning("[%s] is optional, and its secrets cannot be read: %s", group_name, error)
                # A value that refers to one has no default: it would be a URL with an empty password.
                why = f"the secrets of [{group_name}] cannot be read ({error}), and a value refers to"
                return Unanswered(declared, lambda name: f"{why} `{name}`")
            raise _unread(group_name, error) from None
        except Exception as error:  # noqa: BLE001: oslo.config would go on without the source
            # What nobody thought of is no answer either, and no reason to start on defaults where that is allowed.
            raise _unread(group_name, f"{type(error).__name__}: {error}") from None


class Names(sources.ConfigurationSourceDriver):
    """Opens a source that has no values: it only lets files refer to options that a source before it, castellan's say, gives."""

    _options = [_SECRETS]

    def list_options_for_discovery(self):
        return self._options

    def open_source_from_opt_group(self, conf, group_name):
        try:
            conf.register_opts(self._options, group_name)
            declared = _declared(conf, group_name, conf[group_name].secrets, self._options)
        except Exception as error:  # noqa: BLE001: oslo.config would go on without the source
            raise Refused(f"donjon: [{group_name}] cannot be used: {error}") from None
        if not declared:
            raise Refused(f"donjon: [{group_name}] cannot be used: secrets is missing")
        return Unanswered(declared, lambda name: f"no source before [{group_name}] in config_source has `{name}`")


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


class Unanswered(sources.ConfigurationSource):
    """What is asked for its options when nothing has them, and a reference would become empty text: castellan says nothing of a
    store that does not answer, and what is optional may be away."""

    def __init__(self, declared, why):
        self._declared, self._why = declared, why

    def get(self, group_name, option_name, opt):
        name = self._declared.get((group_name, option_name))
        if name is None:
            return (sources._NoValue, None)
        raise Refused(f"donjon: {self._why(name)}, so the service does not start")


def _unread(group, error):
    return Refused(f"donjon: the secrets of [{group}] cannot be read, so the service does not start: {error}")


def _declared(conf, group, names, own):
    """Makes each of these secrets an option of the group, by its name in letters, digits and ``_``; ``own`` are the driver's there."""
    taken = {"driver", "defined_in", *(option.dest for option in own)}
    declared = {}
    for name in names:
        option = re.sub(r"[^a-z0-9_]", "_", name.lower())
        if option in taken:
            raise ValueError(f"`{name}` is what the group has an option for: no value can refer to a secret of that name")
        if (group, option) in declared:
            raise ValueError(f"`{name}` and `{declared[(group, option)]}` cannot be told apart")
        conf.register_opt(cfg.StrOpt(option, secret=True), group)
        declared[(group, option)] = name
    return declared


def _asking(given):
    """What reads names: the broker's socket, or the reader at an address."""
    if given.address:
        return reader.Reader(
            given.address,
            mount=given.mount or "donjon",
            deployment=given.deployment,
            ca_file=given.ca_file,
            cert_file=given.cert_file,
            key_file=given.key_file,
            role_id_file=given.role_id_file,
            secret_id_file=given.secret_id_file,
        ).read
    path = given.socket or broker.default_socket()
    return lambda names, timeout: broker.read(path, names, timeout)


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


def _values(mapped, read, timeout):
    if not mapped:
        return {}
    values = {}
    for (option, name), material in zip(mapped.items(), read(list(mapped.values()), timeout)):
        try:
            text = material.decode("utf-8")
        except UnicodeDecodeError:
            raise broker.BrokerError(f"`{name}` is not UTF-8 text, and options are") from None
        # So that a `$` in a secret is no reference to another option.
        values[option] = (name, text.replace("$", "\\$"))
    return values
