"""The events of dhruva: proto/fanwire/catalog/v1/dhruva.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
