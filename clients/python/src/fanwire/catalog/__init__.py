"""The events of the catalog (proto/fanwire/catalog/v1) as messages, one module for each service.

    from fanwire.catalog.mahavishnu import WorkflowStarted

    publisher.publish(WorkflowStarted(workflow_id="wf_1", prompt="Write release notes"))

Control computes name, channels and JSON of such an event.  load() does the same for the messages of
a descriptor set of one's own, which control knows as one of its `catalog_files`.
"""
import pathlib

from google.protobuf import json_format

from fanwire import messages

_PACKAGE = "fanwire.catalog.v1"


class EventType:
    """A kind of event.  Calling it makes its message.

    service, event   the service's and the event's names; service may be "" in one's own catalog
    channels         templates of the channels, the event's own first: "workflow:{workflow_id}"
    status           "built", "planned" or "test"
    message_class    the protobuf class
    """

    def __init__(self, descriptor):
        self.message_class = messages.message_class(descriptor.full_name)
        options = _options(descriptor)
        self.service = options.service
        self.event = options.name
        self.channels = tuple(options.channels)
        self.status = _EventOptions.Status.Name(options.status).lower()
        fields = {field: _FieldOptions.FromString(
            field.GetOptions().SerializeToString()).Extensions[_KEY] for field in descriptor.fields}
        spread = [field.name for field, key in fields.items() if key.spread]
        self._spread = spread[0] if spread else None
        named = [(field, key) for field, key in fields.items() if not key.spread]
        self._keys = ({field.name for field, _ in named} | {field.json_name for field, _ in named})
        self._required = {field.name for field, key in named if not (
            field.has_presence or _is_repeated(field) or key.routing_only)}
        self.__doc__ = (f"{self.event} on {', '.join(self.channels) or 'any channel'}: "
                        f"{', '.join(field.name for field in descriptor.fields)}")

    def __call__(self, **fields):
        """Returns a message with these fields.

        Fields of the types Struct, Value and ListValue take dicts, lists and plain values.
        """
        try:
            return json_format.ParseDict(fields, self.message_class())
        except json_format.ParseError as error:
            raise TypeError(f"{self.message_class.DESCRIPTOR.name}: {error}") from error

    def parse(self, data):
        """Returns the message of an event's data, a dict.

        Further keys go into the message's field for them, if it has one, and are else left out.
        Raises ValueError if the data does not fit.
        """
        fields = {key: value for key, value in data.items()
                  if key in self._keys and value is not None}
        if self._spread is not None:
            fields[self._spread] = {key: value for key, value in data.items()
                                    if key not in self._keys}
        try:
            return json_format.ParseDict(fields, self.message_class(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise ValueError(f"{self.message_class.DESCRIPTOR.name}: {error}") from error

    def _misfit(self, data):
        """Returns how badly the data's keys fit: (keys that are missing, keys too many)."""
        return (len(self._required - data.keys()),
                len(data.keys() - self._keys) if self._spread is None else 0)

    def __repr__(self):
        return f"<{self.message_class.DESCRIPTOR.full_name}: {self.event}>"


def load(path):
    """Loads a descriptor set (`protoc --include_imports --descriptor_set_out`).

    Returns its events: a dict of EventTypes by the messages' full names.
    """
    return {each.message_class.DESCRIPTOR.full_name: each
            for file in messages.load(path) for each in _events_of(file)}


def events():
    """Returns the EventTypes of all messages of the catalog that describe an event."""
    return list(_BY_NAME.values())


def service_of(message):
    """Returns the service of a message; "" if the message does not name one."""
    found = _BY_NAME.get(message.DESCRIPTOR.full_name)
    return found.service if found is not None else ""


def parse(event, data, service=""):
    """Returns the message of an event that a subscriber has received.

    Of several messages with the event's name, the one that fits the keys of `data` best.  Raises
    ValueError if the catalog does not know the event, or the data does not fit.
    """
    found = [each for each in _BY_NAME.values()
             if each.event == event and service in ("", each.service)]
    if not found:
        raise ValueError(f"{event}: the catalog has no such event"
                         f"{f' of {service}' if service else ''}")
    return min(found, key=lambda each: each._misfit(data)).parse(data)


def module_members(module_name):
    """Returns the EventTypes of the module fanwire.catalog.NAME by their short names."""
    package = f"{_PACKAGE}.{module_name.rpartition('.')[2]}."
    return {name[len(package):]: each for name, each in _BY_NAME.items()
            if name.startswith(package)}


def _is_repeated(field):
    if hasattr(field, "is_repeated"):
        return field.is_repeated
    return field.label == field.LABEL_REPEATED  # older versions of protobuf


def _options(descriptor):
    # The descriptor's own options are of protobuf's default pool, which does not know ours.
    return _MessageOptions.FromString(
        descriptor.GetOptions().SerializeToString()).Extensions[_EVENT]


def _events_of(file_name):
    file = messages.pool.FindFileByName(file_name)
    return [EventType(descriptor) for descriptor in file.message_types_by_name.values()
            if _MessageOptions.FromString(
                descriptor.GetOptions().SerializeToString()).HasExtension(_EVENT)]


_files = messages.load(pathlib.Path(messages.__file__).with_name("catalog.binpb"))
_MessageOptions = messages.message_class("google.protobuf.MessageOptions")
_EventOptions = messages.message_class(f"{_PACKAGE}.EventOptions")
_FieldOptions = messages.message_class("google.protobuf.FieldOptions")
_KEY = messages.pool.FindExtensionByName(f"{_PACKAGE}.key")
_EVENT = messages.pool.FindExtensionByName(f"{_PACKAGE}.event")
if not any(_events_of(file) for file in _files):
    # Protobuf's implementation in pure Python does not find a pool's extensions by itself.
    _MessageOptions.RegisterExtension(_EVENT)
_BY_NAME = {each.message_class.DESCRIPTOR.full_name: each
            for _file in _files for each in _events_of(_file)}
