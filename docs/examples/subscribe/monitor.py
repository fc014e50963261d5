#!/usr/bin/python3
"""Watches the workflows of mahavishnu, and shows each one's state as it changes.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/monitor.py

Lost connections, killed workers and a sleeping laptop change nothing: what was missed is recovered.
If events are lost for good, the monitor asks the server for the state of what it knows.
"""
import argparse
import asyncio
import logging

from fanwire.subscriber import Client, Gap, SubscriberError

STATES = {"workflow.started": "running", "workflow.stage_completed": "running",
          "workflow.completed": "completed", "workflow.failed": "failed"}
shown = {}  # workflow -> its state


def show(workflow, state, detail=""):
    shown[workflow] = state
    print(f"{workflow:24} {state:10} {detail}", flush=True)


async def ask_again(client, reason):
    for workflow in [each for each, state in shown.items() if state == "running"]:
        try:
            answer = await client.request("get_workflow_status", {"workflow_id": workflow})
            show(workflow, answer["status"], f"events are missing: {reason}")
        except SubscriberError as error:
            show(workflow, "unknown", str(error))


async def main(url):
    async with Client(url, on_state=lambda state: print(url, state, flush=True)) as client:
        async for item in client.subscribe("global", events=list(STATES)):
            if isinstance(item, Gap):
                await ask_again(client, item.reason)
            else:
                show(item.data["workflow_id"], STATES[item.event],
                     item.data.get("stage_name") or item.data.get("error") or "")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8690", help="default: %(default)s")
logging.basicConfig(level=logging.ERROR)
try:
    asyncio.run(main(parser.parse_args().url))
except KeyboardInterrupt:
    pass
