"""The events of fastblocks: proto/fanwire/catalog/v1/fastblocks.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
