"""The messages of proto/fanwire/v1/publish.proto, made from the descriptor set in this package.

The classes are built when this module is imported, with the protobuf library that is installed:
code that protoc generates works only with some versions of it.
"""
import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# The descriptors have a pool of their own, so that a program may have generated code for the same
# messages beside them.
pool = descriptor_pool.DescriptorPool()


def load(path):
    """Adds the files of a descriptor set (`protoc --descriptor_set_out --include_imports`)."""
    files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(path).read_bytes())
    for file in files.file:  # protoc writes a file after those that it imports
        pool.AddSerializedFile(file.SerializeToString())
    return [file.name for file in files.file]


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
