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


def module_members(module_name):
    """Returns the EventTypes of the module fanwire.catalog.NAME by their short names."""
    package = f"{_PACKAGE}.{module_name.rpartition('.')[2]}."
    return {name[len(package):]: each for name, each in _BY_NAME.items()
            if name.startswith(package)}


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
_EVENT = messages.pool.FindExtensionByName(f"{_PACKAGE}.event")
_BY_NAME = {each.message_class.DESCRIPTOR.full_name: each
            for _file in _files for each in _events_of(_file)}
