"""The events of crackerjack: proto/fanwire/catalog/v1/crackerjack.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
