"""The Python library's subscriber gets every event once and in order while workers are killed and
drained, links cut and handlers slow; and when control restarts it tells one gap a channel, or with
RocksDB none."""
import asyncio
import collections
import logging
import shutil
import tempfile

from harness import Proxy, eventually, main, service, small_config
from harness.server import PATIENCE
from harness.subscriber import Collector, SubscriberCase, in_thread


class Faults(SubscriberCase):
    CHANNELS = [f"load:{n}" for n in range(3)]

    @classmethod
    def config(cls):
        return small_config(service(session_backlog_bytes=262144), workers=2,
                            channels=[{"pattern": "**", "history_size": 5000}],
                            worker={"send_buffer_bytes": 16384, "notsent_lowat_bytes": 8192,
                                    "drain_window": "100ms", "reconnect_after_min": "10ms",
                                    "reconnect_after_max": "100ms"})

    async def test_killed_workers(self):
        count = 1000
        clients = [await self.make() for _ in range(6)]
        collectors = [each for client in clients
                      for each in await self.collect(client, *self.CHANNELS)]
        victims = self.server.ready_workers()
        self.assertEqual(len(victims), 2)

        async def kill(start):
            if start in (201, 601):
                self.server.kill(victims[start > 500].pid)
        await self.publish_many(self.CHANNELS, count, between=kill)
        await self.assert_all(collectors, list(range(1, count + 1)))
        stats = collections.Counter()
        for client in clients:
            stats.update(client.stats())
        self.assertGreaterEqual(stats["connections"], 2 * len(clients))
        self.assertEqual(stats["gaps"], 0)
        await in_thread(self.server.wait_ready)

    async def test_names_beside_a_pattern_recover_for_it_as_well(self):
        channels = [f"beside:{n}" for n in range(3)]
        by_pattern, told = collections.defaultdict(list), []
        async with Proxy(self.server.port(), cut_after=30_001) as proxy:
            client = await self.make(proxy.url)
            collectors = await self.collect(client, *channels)
            await client.subscribe(
                "beside:*", lambda item: by_pattern[item.channel].append(item.data["n"]),
                on_gap=told.append).ready(PATIENCE)
            await self.publish_many(channels, 300)
            await self.assert_all(collectors, list(range(1, 301)))
            await eventually(lambda: sum(map(len, by_pattern.values())) >= 900, "the pattern's")
            self.assertEqual(by_pattern, {name: list(range(1, 301)) for name in channels})
            self.assertEqual({(gap.channel, gap.reason) for gap in told},
                             {("beside:*", "pattern")})
            self.assertLess(len(told), client.stats()["connections"])
            await client.close()

    async def test_drained_workers(self):
        clients = [await self.make() for _ in range(8)]
        channels = ["drain:a", "drain:b"]
        collectors = [each for client in clients
                      for each in await self.collect(client, *channels)]

        async def restart(start):
            if start == 101:
                await in_thread(self.server.wsctl, "workers", "restart")
        await self.publish_many(channels, 400, between=restart)
        await self.assert_all(collectors, list(range(1, 401)))
        self.assertTrue(all(client.stats()["gaps"] == 0 for client in clients))
        self.assertTrue(all(client.stats()["connections"] > 1 for client in clients))

    async def test_cut_links(self):
        async with Proxy(self.server.port(), cut_after=20_001) as proxy:
            client = await self.make(proxy.url)
            channels = ["cut:a", "cut:b"]
            collectors = await self.collect(client, *channels)
            await self.publish_many(channels, 600)
            await self.assert_all(collectors, list(range(1, 601)))
            self.assertGreater(proxy.connections, 10)
            self.assertEqual(client.stats()["gaps"], 0)
            await client.close()

    async def test_a_dead_link_that_nobody_tells_of(self):
        async with Proxy(self.server.port()) as proxy:
            client = await self.make(proxy.url, ping_interval=0.5)
            collector, = await self.collect(client, "dead:a")
            await self.publish_many(["dead:a"], 10)
            await self.assert_all([collector], list(range(1, 11)))
            proxy.stalled = True
            await self.publish_many(["dead:a"], 10, first=11)
            await eventually(lambda: client.state == "connecting", "the client to notice")
            proxy.stalled = False
            await self.assert_all([collector], list(range(1, 21)))
            await client.close()

    async def test_slow_handlers(self):
        fill = "x" * 8000
        go_on, quick = asyncio.Event(), Collector()
        numbers = []

        async def slow(publication):
            await go_on.wait()
            numbers.append(publication.data["n"])
        client = await self.make(max_pending=20)
        await client.subscribe("slow:a", slow).ready(PATIENCE)
        other = await self.make()
        await other.subscribe("slow:a", quick).ready(PATIENCE)

        def publish(first):
            self.publisher.publish_batch([
                self.publisher.event("slow:a", data={"n": n, "fill": fill})
                for n in range(first, first + 5)])
        for first in range(1, 401, 5):  # 3.2 MB
            await in_thread(publish, first)
        await eventually(lambda: len(quick.items) == 400, "the quick one's events")
        self.assertEqual(client.stats()["pending"], 20)
        before = client.stats()["connections"]
        mine = client.welcome["connection_id"]
        while mine in str(await in_thread(self.server.wsctl_json, "connections", "list")):
            pass  # the server has not yet seen that the client is behind
        self.assertEqual((numbers, client.stats()["connections"]), ([], before))
        go_on.set()
        await eventually(lambda: len(numbers) >= 400, "all events")
        self.assertEqual(numbers, list(range(1, 401)))
        self.assertEqual(quick.items, numbers)
        self.assertEqual(client.stats()["gaps"], 0)
        self.assertGreater(client.stats()["connections"], before)

    async def test_a_handler_that_takes_its_time_gets_everything_over_many_reconnects(self):
        collector = Collector()

        async def slow(publication):
            await asyncio.sleep(0)
            await collector(publication)
        async with Proxy(self.server.port(), cut_after=50_001) as proxy:
            client = await self.make(proxy.url, max_pending=3)
            await client.subscribe("pace:a", slow).ready(PATIENCE)
            await self.publish_many(["pace:a"], 1000)
            await self.assert_all([collector], list(range(1, 1001)))
            self.assertGreater(proxy.connections, 4)
            await client.close()


class ControlRestarts(SubscriberCase):
    gaps = ["epoch_changed"]  # of each channel, over a restart
    engine = {"kind": "memory"}

    @classmethod
    def config(cls):
        return small_config(service(), workers=1, control={"adopt_window": "3s"},
                            limits={"control_wait": "20s"}, engine=cls.engine)

    async def restart(self, also=()):
        self.server.kill()
        for worker in also:
            self.server.kill(worker.pid)
        await in_thread(self.server.start)

    async def assert_gaps(self, channels, restart):
        client = await self.make()
        collectors = await self.collect(client, *channels)
        await self.publish_many(channels, 3)
        await self.assert_all(collectors, [1, 2, 3])
        await restart()
        await eventually(lambda: client.state == "connected", "the connection")
        for channel in channels:
            await in_thread(self.publish_when_there, channel, 4)
        await self.publish_many(channels, 2, first=5)
        await self.assert_all(collectors, [1, 2, 3, *self.gaps, 4, 5, 6])
        self.assertEqual(client.stats()["gaps"], len(self.gaps) * len(channels))
        await client.close()

    def publish_when_there(self, channel, n):
        """The session may still be subscribing: what is published before is behind the gap."""
        self.server.wait(lambda: self.subscribers(channel) == 1, f"a subscriber of {channel}")
        self.publish(channel, data={"n": n})

    def subscribers(self, channel):
        rooms = self.server.wsctl_json("list-rooms", "--service", "mahavishnu")["rooms"]
        return rooms.get(channel, {}).get("subscribers", 0)

    async def test_gaps_if_the_worker_stays(self):
        await self.assert_gaps(["stays:a", "stays:b", "stays:c"], self.restart)

    async def test_gaps_if_the_worker_dies_as_well(self):
        async def restart():
            await self.restart(self.server.workers())
        await self.assert_gaps(["dies:a", "dies:b", "dies:c"], restart)

    async def test_a_subscribe_waits_for_control(self):
        client = await self.make()
        await client.connect(PATIENCE)
        self.server.kill()
        subscription = client.subscribe("waits:a")
        await in_thread(self.server.start)
        await subscription.ready(PATIENCE * 2)
        await in_thread(self.publish, "waits:a", "test.event", {"n": 1})
        self.assertEqual((await subscription.__anext__()).data, {"n": 1})


class ControlRestartsWithRocksDb(ControlRestarts):
    gaps = []

    @classmethod
    def config(cls):
        folder = tempfile.mkdtemp(prefix="fanwire-engine-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        # A small cache, so that history is read from the disk as well.
        cls.engine = {"kind": "rocksdb", "path": folder + "/data", "cache_bytes": 20000}
        return super().config()

    async def test_under_load_nothing_is_missed_over_kills(self):
        count = 1000
        channels = [f"load:{n}" for n in range(3)]
        clients = [await self.make() for _ in range(4)]
        collectors = [each for client in clients
                      for each in await self.collect(client, *channels)]
        by_pattern = collections.defaultdict(list)
        watcher = await self.make()
        await watcher.subscribe(
            "load:*", lambda item: by_pattern[item.channel].append(item.data["n"])).ready(PATIENCE)

        async def kill(start):
            if start == 201:
                await self.restart()
            if start == 601:  # the clients have lost their connections as well
                await watcher.close()
                await self.restart(self.server.workers())
        await self.publish_many(channels, count, between=kill)
        await self.assert_all(collectors, list(range(1, count + 1)))
        for client in clients:
            self.assertEqual(client.stats()["gaps"], 0)
        for numbers in by_pattern.values():
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
            self.assertGreater(len(numbers), 200)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
