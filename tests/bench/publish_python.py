#!/usr/bin/python3
"""Publishes from Python for some seconds and prints what came of it, as JSON.

  publish_python.py --server ADDRESS --service NAME --kind KIND --seconds N

KIND: "publisher" and "async" are the library's (clients/python); "unary" is what a service would do
without it: one call of Publish after the other, with protobuf's messages.
"""
import argparse
import asyncio
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "clients/python/src"))

import grpc

from fanwire import messages
from fanwire.publisher import AsyncPublisher, Publisher

WARM_UP = 0.3
CHANNELS = [f"publish:{n}" for n in range(100)]
TEXT = {"workflow_id": "wf_0123456789", "stage_name": "run_tests", "progress": 42.5,
        "result": {"ok": True, "items": [1, 2, 3, 4, 5, 6, 7, 8], "note": ""}}


def data_of(size):
    """Returns a dict whose JSON has `size` bytes."""
    data = json.loads(json.dumps(TEXT))
    data["result"]["note"] = "x" * (size - len(json.dumps(data, separators=(",", ":"))))
    return data


def run_publisher(options, data):
    with Publisher(options.server) as publisher:
        publisher.connect()
        for seconds in (WARM_UP, options.seconds):
            before = publisher.stats()["accepted"]
            begin = Clock()
            end = begin.wall + seconds
            n = 0
            while n % 64 or time.monotonic() < end:
                publisher.publish(options.service, CHANNELS[n % 100], "bench.event", data)
                n += 1
            publisher.flush(30)
        return begin.result(publisher.stats()["accepted"] - before, publisher.stats()["refused"])


async def run_async(options, data):
    async with AsyncPublisher(options.server) as publisher:
        await publisher.connect()
        for seconds in (WARM_UP, options.seconds):
            before = publisher.stats()["accepted"]
            begin = Clock()
            end = begin.wall + seconds
            n = 0
            while n % 64 or time.monotonic() < end:
                await publisher.enqueue(options.service, CHANNELS[n % 100], "bench.event", data)
                n += 1
            await publisher.flush(30)
        return begin.result(publisher.stats()["accepted"] - before, publisher.stats()["refused"])


def run_unary(options, data):
    request_class = messages.message_class("fanwire.v1.PublishRequest")
    response_class = messages.message_class("fanwire.v1.PublishResponse")
    with grpc.insecure_channel(options.server) as channel:
        call = channel.unary_unary("/fanwire.v1.Publisher/Publish",
                                   request_serializer=request_class.SerializeToString,
                                   response_deserializer=response_class.FromString)
        for seconds in (WARM_UP, options.seconds):
            begin = Clock()
            end = begin.wall + seconds
            n = 0
            while time.monotonic() < end:
                event = messages.Event(service=options.service, channel=CHANNELS[n % 100],
                                       event="bench.event",
                                       json=json.dumps(data, separators=(",", ":")).encode())
                call(request_class(event=event), timeout=10)
                n += 1
        return begin.result(n, 0)


class Clock:
    def __init__(self):
        self.wall = time.monotonic()
        self.cpu = time.process_time()

    def result(self, accepted, refused):
        return {"accepted_per_second": accepted / (time.monotonic() - self.wall),
                "publisher_cpu_us": (time.process_time() - self.cpu) / max(1, accepted) * 1e6,
                "closed": refused}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--kind", choices=["publisher", "async", "unary"], required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--payload", type=int, default=512)
    options = parser.parse_args()
    data = data_of(options.payload)
    if options.kind == "async":
        result = asyncio.run(run_async(options, data))
    else:
        result = (run_publisher if options.kind == "publisher" else run_unary)(options, data)
    print(json.dumps(result))


main()
