"""The events of mahavishnu: proto/fanwire/catalog/v1/mahavishnu.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
