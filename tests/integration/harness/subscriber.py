"""The base of the tests of fanwire.subscriber."""
import asyncio

from fanwire.subscriber import Client, Gap

from .case import Case, eventually
from .server import PATIENCE

QUICK = {"min_reconnect_delay": 0.05, "max_reconnect_delay": 0.5, "timeout": PATIENCE}


async def in_thread(function, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class Collector:
    """A handler that keeps the numbers of all publications; a gap is its reason."""

    def __init__(self):
        self.items = []

    async def __call__(self, item):
        self.items.append(item.reason if isinstance(item, Gap) else item.data["n"])


class SubscriberCase(Case):
    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)  # it takes most of the time

    async def make(self, url=None, **options):
        """Returns a Client that connects again quickly and is closed after the test."""
        client = Client(url or self.server.url(), **{**QUICK, **options})
        self.addAsyncCleanup(client.close)
        return client

    async def collect(self, client, *channels, **options):
        """Subscribes; returns a Collector for each channel."""
        collectors = [Collector() for _ in channels]
        for subscription in [client.subscribe(channel, collector, **options)
                             for channel, collector in zip(channels, collectors)]:
            await subscription.ready(PATIENCE)
        return collectors

    async def publish_many(self, channels, count, first=1, step=50, between=None):
        """Publishes `count` events to each channel; calls between(start) after each step."""
        for start in range(first, first + count, step):
            for channel in channels:
                await in_thread(self.publisher.publish_many, channel,
                                min(step, first + count - start), start)
            if between is not None:
                await between(start)

    async def assert_all(self, collectors, wanted):
        await eventually(lambda: all(len(each.items) >= len(wanted) for each in collectors),
                         "all events")
        for collector in collectors:
            self.assertEqual(collector.items, wanted)
