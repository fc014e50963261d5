#!/usr/bin/python3
"""Follows crackerjack's test runs, quality gates and coverage.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/quality.py

A pattern such as test:* is not recovered after a lost connection.  So the server is then asked what
became of the test runs that were under way.
"""
import argparse
import asyncio

from fanwire.subscriber import Client, Gap

TEXTS = {
    "test.started": "started    {run_id:16} {test_suite}, {total_tests} tests",
    "test.failed": "failure    {run_id:16} {test_name}: {error}",
    "test.completed": "completed  {run_id:16} {tests_failed} of {tests_completed} failed",
    "quality_gate.checked": "gate       {project:16} {gate_name} {status}, score {score}",
    "coverage.updated": "coverage   {project:16} {line_coverage} % of lines",
}
running = set()


def show(event, data):
    print(TEXTS[event].format(**data), flush=True)
    if event == "test.started":
        running.add(data["run_id"])
    elif event == "test.completed":
        running.discard(data["run_id"])


async def ask(client, run):
    status = await client.request("get_test_status", {"run_id": run})
    if status["status"] == "completed":
        show("test.completed", {**status, "tests_failed": status["failures"]})


async def main(url):
    async with Client(url) as client:
        client.subscribe("quality:*", lambda item: show(item.event, item.data), events=list(TEXTS),
                         recover=False)
        async for item in client.subscribe("test:*", events=list(TEXTS)):
            if isinstance(item, Gap):
                await asyncio.gather(*(ask(client, run) for run in running), return_exceptions=True)
            else:
                show(item.event, item.data)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8686", help="default: %(default)s")
try:
    asyncio.run(main(parser.parse_args().url))
except KeyboardInterrupt:
    pass
