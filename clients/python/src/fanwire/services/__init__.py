"""The servers of the earlier services, as handles that publish through Fanwire."""
