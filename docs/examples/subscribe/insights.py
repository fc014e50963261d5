#!/usr/bin/python3
"""Follows what akosha finds: patterns, anomalies and insights.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/insights.py

Begins with the last anomalies and insights of the history, and goes on with all that came after
them: none is missing, and none comes twice.
"""
import argparse
import asyncio

from fanwire.subscriber import Client, Gap


def text_of(event, data):
    if event == "pattern.detected":
        return f"pattern   {data['description']} ({data['confidence']:.0%} sure)"
    if event == "anomaly.detected":
        metrics = ", ".join(f"{name} {value}" for name, value in data["metrics"].items())
        return f"ANOMALY   {data['severity']}: {data['description']} ({metrics})"
    return f"insight   {data['title']}: {data['description']}"


def show(item):
    if isinstance(item, Gap):
        print(f"          events are missing on {item.channel}: {item.reason}", flush=True)
    else:
        print(f"{item.timestamp[11:19]}  {text_of(item.event, item.data)}", flush=True)


async def main(url, last):
    async with Client(url) as client:
        for channel in ("anomalies", "insights"):
            history = await client.history(channel, limit=last)
            for publication in history:
                show(publication)
            client.subscribe(channel, show, recover=history.position or True)
        async for item in client.subscribe("patterns:*"):
            show(item)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8692", help="default: %(default)s")
parser.add_argument("--last", type=int, default=3, help="of each history; default: 3")
try:
    asyncio.run(main(**vars(parser.parse_args())))
except KeyboardInterrupt:
    pass
