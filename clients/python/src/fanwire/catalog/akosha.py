"""The events of akosha: proto/fanwire/catalog/v1/akosha.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
