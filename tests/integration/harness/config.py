"""Configurations for tests: small ones, and the shipped one moved to free ports."""
import copy
import os
import pathlib

import yaml

from .ports import free_port, free_ports

ROOT = pathlib.Path(os.environ.get("FANWIRE_SOURCE", pathlib.Path(__file__).parents[3]))
SHIPPED = ROOT / "deploy/config/fanwire.yaml"


def service(name="mahavishnu", **keys):
    """One service with one listener on a free port; `listener` adds keys to that listener."""
    listener = {"port": free_port(), **keys.pop("listener", {})}
    return {"name": name, "listeners": [listener], **keys}


def small_config(*services, workers=1, **sections):
    """A configuration with these services (default: one, mahavishnu) and these sections."""
    config = {"workers": str(workers), "services": list(services) or [service()]}
    config.update(copy.deepcopy(sections))
    return _private(config, workers)


def shipped_config(workers=1, **sections):
    """deploy/config/fanwire.yaml, each listener on a free port."""
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
    """Addresses of the processes themselves; the socket is set by Server."""
    control = config["control"] = dict(config.get("control") or {})
    control["grpc_listen"] = f"127.0.0.1:{free_port()}"
    control["ops_listen"] = f"127.0.0.1:{free_port()}"
    worker = config["worker"] = dict(config.get("worker") or {})
    # A successor takes the next free port, so there is room for several.
    worker["ops_listen"] = f"127.0.0.1:{free_ports(workers + 8)}"
    return config
