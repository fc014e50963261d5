#!/usr/bin/python3
"""Watches the pools of mahavishnu: which of their workers are busy, and how many tasks are done.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/pools.py

Pools are found by their events.  Of each the state comes first, then exactly the later events.
"""
import argparse
import asyncio

from fanwire.subscriber import ChannelState, Client

EVENTS = ["pool.spawned", "pool.closed", "worker.added", "worker.removed", "worker.status_changed",
          "task.completed"]


class Pool:
    def __init__(self):
        self.workers, self.tasks = {}, 0

    def take(self, item):
        data = item.data or {}  # the server may have no state to give
        worker = data.get("worker_id")
        if isinstance(item, ChannelState):
            self.workers = {each["worker_id"]: each["status"] for each in data.get("workers", [])}
            self.tasks = data.get("total_tasks_completed", 0)
        elif item.event == "task.completed":
            self.tasks += 1
        elif item.event == "worker.removed":
            self.workers.pop(worker, None)
        elif item.event.startswith("worker."):
            self.workers[worker] = data.get("status", "idle")
        elif item.event.startswith("pool."):
            self.workers, self.tasks = {}, 0
        marks = "".join({"busy": "#", "error": "!"}.get(one, ".") for one in self.workers.values())
        print(f"{item.channel:16} {marks:8} {marks.count('#')} of {len(marks)} busy, "
              f"{self.tasks} tasks done   {worker or item.event}", flush=True)


async def main(url):
    pools = set()
    async with Client(url) as client:
        async for item in client.subscribe("pool:*", events=EVENTS, recover=False):
            if item.channel not in pools:
                pools.add(item.channel)
                client.subscribe(item.channel, Pool().take, events=EVENTS, state=True)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8690", help="default: %(default)s")
try:
    asyncio.run(main(parser.parse_args().url))
except KeyboardInterrupt:
    pass
