#!/usr/bin/python3
"""Follows the adapters of dhruva.  Started again, it goes on where it ended.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/adapters.py --positions /tmp/adapters.json

The file says which event was the last one of each channel, so what came meanwhile is shown first.
A pattern has no position: the events of adapter:* are shown from now on.
"""
import argparse
import asyncio
import collections
import json
import pathlib

from fanwire.subscriber import Client

TEXTS = {
    "adapter.stored": "{adapter_id} is stored",
    "adapter.updated": "{adapter_id} is stored again",
    "adapter.activated": "{repo} uses {adapter_id}",
    "adapter.deactivated": "{repo} no longer uses {adapter_id}: {reason}",
    "adapter.distributed": "{adapter_id} is distributed",
    "registry.updated": "the registry has version {version}",
    "lifecycle.changed": "{entity_type} {entity_id} was {old_state} and is {new_state}",
    "channel.skipped": "events of {channel} are missing: {reason}",  # of a Gap
}


def show(item):
    print(TEXTS[item.event].format_map(collections.defaultdict(str, item.data)), flush=True)


async def main(url, file):
    positions = json.loads(file.read_text() or "{}") if file.exists() else {}

    def keep(item):
        show(item)
        positions[item.channel] = item.position
        file.write_text(json.dumps(positions))

    async with Client(url) as client:
        for name in ("distribution", "registry", "lifecycle"):
            client.subscribe(name, keep, events=list(TEXTS), recover=positions.get(name, True))
        async for item in client.subscribe("adapter:*", events=list(TEXTS)):
            show(item)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8693", help="default: %(default)s")
parser.add_argument("--positions", dest="file", type=pathlib.Path, default="/dev/null")
try:
    asyncio.run(main(**vars(parser.parse_args())))
except KeyboardInterrupt:
    pass
