"""The messages of proto/fanwire/v1/publish.proto, made from the descriptor set in this package.

The classes are built when this module is imported, with the protobuf library that is installed:
code that protoc generates works only with some versions of it.
"""
import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

# The descriptors have a pool of their own, so that a program may have generated code for the same
# messages beside them.
pool = descriptor_pool.DescriptorPool()


def load(path):
    """Adds the files of a descriptor set (`protoc --descriptor_set_out --include_imports`).

    Of the files of protobuf and Fanwire that a set brings with it, the package's own hold.
    """
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(path).read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path}: not a set of descriptors, as `protoc --include_imports "
                         f"--descriptor_set_out` writes it: {error}") from None
    for file in files.file:  # protoc writes a file after those that it imports
        if file.name.startswith(("google/protobuf/", "fanwire/")) and _is_loaded(file.name):
            continue
        file.ClearField("source_code_info")  # comments, which no message class needs
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise ValueError(f"{path}: {file.name}: {error}") from None
    return [file.name for file in files.file]


def _is_loaded(name):
    try:
        return bool(pool.FindFileByName(name))
    except KeyError:
        return False


def message_class(name):
    """Returns the class of a message by its full name."""
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return _factory.GetPrototype(descriptor)


# Protobuf before 4.22 has only this, and newer ones have it no more.
_factory = (None if hasattr(message_factory, "GetMessageClass")
            else message_factory.MessageFactory(pool))

load(pathlib.Path(__file__).with_name("publish.binpb"))

Any = message_class("google.protobuf.Any")
Event = message_class("fanwire.v1.Event")
PublishStreamRequest = message_class("fanwire.v1.PublishStreamRequest")
PublishStreamResponse = message_class("fanwire.v1.PublishStreamResponse")
Receipt = message_class("fanwire.v1.Receipt")

# "accepted" -> RECEIPT_LEVEL_ACCEPTED, and back.
LEVELS = {value.name[len("RECEIPT_LEVEL_"):].lower(): value.number for value in
          pool.FindEnumTypeByName("fanwire.v1.ReceiptLevel").values if value.number}
LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
DROP_REASONS = {value.number: value.name[len("DROP_REASON_"):].lower() for value in
                pool.FindEnumTypeByName("fanwire.v1.DropReason").values}
