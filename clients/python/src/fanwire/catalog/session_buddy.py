"""The events of session-buddy: proto/fanwire/catalog/v1/session_buddy.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
