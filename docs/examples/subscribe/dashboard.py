#!/usr/bin/python3
"""Shows all services in the terminal: events a second, and the newest one.

    export PYTHONPATH=clients/python/src        # or install the package: docs/clients.md
    docs/examples/subscribe/dashboard.py

Events that the server copies to further channels, such as global, count once for each channel.
"""
import argparse
import asyncio
import logging
import shutil
import sys

from fanwire.subscriber import Client


class Row:
    def __init__(self, url):
        self.client, self.total, self.newest = Client(url), 0, ""
        self.rates = [0] * 20  # of the last seconds
        self.client.subscribe("**", self.count, recover=False)

    def count(self, publication):
        self.total += 1
        self.rates[-1] += 1
        self.newest = f"{publication.event}  {publication.channel}"

    def next_second(self):
        name = self.client.welcome.get("server", self.client.url)
        bars = "".join(" ▁▂▃▄▅▆▇█"[min(rate.bit_length(), 8)] for rate in self.rates)
        text = f"{name:13} {self.total:7} {bars} {self.rates[-1]:3}/s  " + (
            self.newest if self.client.state == "connected" else self.client.describe())
        self.rates = self.rates[1:] + [0]
        return text[:shutil.get_terminal_size().columns]


async def main(urls):
    rows = [Row(url) for url in urls]
    while True:
        await asyncio.sleep(1)
        print("\x1b[H\x1b[2J" if sys.stdout.isatty() else "")  # clears a terminal
        print(*[row.next_second() for row in rows], sep="\n", flush=True)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("urls", metavar="URL", nargs="*", help="default: all services of the demo",
                    default=[f"ws://127.0.0.1:{port}"
                             for port in (8690, 8692, 8686, 8688, 8693, 3042, 8684)])
logging.basicConfig(level=logging.ERROR)
try:
    asyncio.run(main(parser.parse_args().urls))
except KeyboardInterrupt:
    pass
