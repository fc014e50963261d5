"""The events of excalidraw: proto/fanwire/catalog/v1/excalidraw.proto."""
from fanwire.catalog import module_members

globals().update(module_members(__name__))
