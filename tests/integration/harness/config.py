"""Configurations for tests: small ones, and the shipped one with free ports."""
import copy
import os
import pathlib

import yaml

from .ports import free_port, free_ports

ROOT = pathlib.Path(os.environ.get("FANWIRE_SOURCE", pathlib.Path(__file__).parents[3]))
SHIPPED = ROOT / "deploy/config/fanwire.yaml"


def service(name="mahavishnu", **keys):
    """Returns a service with one listener on a free port; `listener` adds keys to the listener."""
    listener = {"port": free_port(), **keys.pop("listener", {})}
    return {"name": name, "listeners": [listener], **keys}


def small_config(*services, workers=1, **sections):
    """Returns a configuration with these services (by default only mahavishnu) and sections."""
    config = {"workers": str(workers), "services": list(services) or [service()]}
    config.update(copy.deepcopy(sections))
    return _private(config, workers)


def shipped_config(workers=1, **sections):
    """Returns deploy/config/fanwire.yaml with each listener on a free port."""
    config = yaml.safe_load(SHIPPED.read_text())
    config["workers"] = str(workers)
    for entry in config["services"]:
        if "listeners" not in entry:
            entry["listeners"] = [{"port": entry.pop("port")}]
        for listener in entry["listeners"]:
            listener["port"] = free_port()
    for name, section in sections.items():
        config[name] = {**(config.get(name) or {}), **section}
    return _private(config, workers)


def _private(config, workers):
    """Sets the addresses of control and workers to free ports.  Server sets the socket."""
    control = config["control"] = dict(config.get("control") or {})
    control["grpc_listen"] = f"127.0.0.1:{free_port()}"
    control["ops_listen"] = f"127.0.0.1:{free_port()}"
    worker = config["worker"] = dict(config.get("worker") or {})
    # A new process takes the next free port if the old one still runs, so reserve several.
    worker["ops_listen"] = f"127.0.0.1:{free_ports(workers + 8)}"
    return config
