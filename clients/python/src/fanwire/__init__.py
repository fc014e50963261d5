"""Fanwire's client library: see fanwire.publisher and fanwire.broadcaster."""
