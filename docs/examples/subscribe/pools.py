#!/usr/bin/python3
"""Watches the pools of mahavishnu, and shows at each change which workers of a pool are busy.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/pools.py

The server is asked for the state of a pool that is new, or of which events are lost for good.
"""
import argparse
import asyncio

from fanwire.subscriber import Client, Gap, SubscriberError

EVENTS = ["pool.spawned", "pool.closed", "worker.added", "worker.removed", "worker.status_changed"]
pools = {}  # pool -> {worker: its state}


def show(pool, what):
    states = sorted(pools[pool].values())
    marks = "".join({"busy": "#", "idle": "."}.get(state, "!") for state in states)
    print(f"{pool:12} {marks:8} {states.count('busy')} of {len(states)} busy   {what}", flush=True)


async def ask(client, pool, why):
    try:
        answer = await client.request("get_pool_status", {"pool_id": pool})
        pools[pool] = {each["worker_id"]: each["status"] for each in answer.get("workers", [])}
        show(pool, why)
    except SubscriberError as error:
        print(f"{pool:12} {error}", flush=True)


async def main(url):
    async with Client(url) as client:
        async for item in client.subscribe("global", events=EVENTS):
            if isinstance(item, Gap):
                for pool in list(pools):
                    await ask(client, pool, f"events are missing: {item.reason}")
                continue
            pool, worker = item.data["pool_id"], item.data.get("worker_id")
            if worker is None or pool not in pools:
                await ask(client, pool, item.event)
                continue
            pools[pool][worker] = item.data.get("status", "idle")
            if item.event == "worker.removed":
                del pools[pool][worker]
            show(pool, f"{worker} {pools[pool].get(worker, 'removed')}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8690", help="default: %(default)s")
try:
    asyncio.run(main(parser.parse_args().url))
except KeyboardInterrupt:
    pass
