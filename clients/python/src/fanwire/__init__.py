"""Fanwire's client library: see fanwire.publisher and fanwire.broadcaster."""
import pkgutil

# Code that protoc generates from proto/fanwire is in a package of the same name.
__path__ = pkgutil.extend_path(__path__, __name__)
