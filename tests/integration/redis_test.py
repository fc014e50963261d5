"""Two controls that share a Redis server: what is published at one reaches the clients of both, and
outlives kill -9 of a control.
"""
import asyncio
import shutil
import subprocess

import grpc

from fanwire.v1 import admin_pb2
from harness import Case, Client, Publisher, Server, eventually, main, service, small_config
from harness.redis import RedisServer
from harness.server import BIN


class Redis(Case):
    arguments = ()
    durable = False

    @classmethod
    def node_config(cls):
        return small_config(
            service(channels=[{"pattern": "**", "history_size": 10000}]),
            control={"adopt_window": "3s"}, limits={"control_wait": "20s"},
            engine={"kind": "redis", "cache_bytes": 20000,
                    "redis": {"server": cls.redis.address, "durable": cls.durable}})

    @classmethod
    def config(cls):
        return cls.node_config()

    @classmethod
    def setUpClass(cls):
        cls.redis = RedisServer(*cls.arguments).start()
        cls.addClassCleanup(cls.redis.stop)
        super().setUpClass()
        cls.other = Server(cls.node_config())
        cls.addClassCleanup(cls.other.stop)
        cls.other.start()
        cls.other_publisher = Publisher(cls.other)
        cls.addClassCleanup(cls.other_publisher.close)

    async def connect_other(self):
        client = await Client.connect(self.other.url())
        self.addAsyncCleanup(client.close)
        return client

    async def restart(self, server):
        server.kill()
        await asyncio.to_thread(server.start)


class TwoControls(Redis):
    async def test_clients_of_both_get_all_in_one_order(self):
        here, there = await self.connect(), await self.connect_other()
        for client in (here, there):
            await client.subscribe("both:a")

        def publish(publisher, first):
            for n in range(first, first + 100):
                publisher.publish("both:a", data={"n": n})
        await asyncio.gather(asyncio.to_thread(publish, self.publisher, 0),
                             asyncio.to_thread(publish, self.other_publisher, 1000))
        events = [[await client.event() for _ in range(200)] for client in (here, there)]
        self.assertEqual(events[0], events[1])
        self.assertEqual([event["offset"] for event in events[0]], list(range(1, 201)))
        self.assertEqual({event["data"]["n"] for event in events[0]},
                         {*range(100), *range(1000, 1100)})

    async def test_a_pattern_gets_a_channel_that_only_the_other_control_has_used(self):
        there = await self.connect_other()
        await there.subscribe("pattern:*")
        for n in range(3):
            self.publish("pattern:new", data={"n": n})
        self.assertEqual(await there.numbers(3), [0, 1, 2])

    async def test_events_that_skip_history_reach_the_other_control(self):
        there = await self.connect_other()
        await there.subscribe("skip:a")
        self.publish("skip:a", data={"n": 1}, skip_history=True)
        self.publish("skip:a", data={"n": 2})
        self.assertEqual(await there.numbers(2), [1, 2])

    async def test_a_client_recovers_at_the_other_control(self):
        client = await self.connect()
        await client.subscribe("move:a")
        self.publish("move:a", data={"n": 0})
        event = await client.event()
        await client.close()
        for n in range(1, 50):
            self.publish("move:a", data={"n": n})
        moved = await self.connect_other()
        confirmation = await moved.subscribe("move:a", recover={
            "epoch": event["epoch"], "offset": event["offset"]})
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(await moved.numbers(49), list(range(1, 50)))

    async def test_a_killed_control_loses_nothing_and_its_clients_stay(self):
        here, there = await self.connect(), await self.connect_other()
        for client in (here, there):
            await client.subscribe("kill:a")
        before = self.publish("kill:a", data={"n": 0}).position
        self.server.kill()
        for n in range(1, 20):
            self.other_publisher.publish("kill:a", data={"n": n})
        self.assertEqual(await there.numbers(20), list(range(20)))
        await asyncio.to_thread(self.server.start)
        self.assertEqual(await here.numbers(20), list(range(20)))
        after = self.publish("kill:a", data={"n": 20}).position
        self.assertEqual((after.epoch, after.offset), (before.epoch, before.offset + 20))
        self.assertEqual(await there.numbers(1), [20])

    async def test_operators_see_the_engine(self):
        status = self.server.admin.GetEngineStatus(admin_pb2.GetEngineStatusRequest(), timeout=5)
        self.assertEqual((status.kind, status.healthy), ("redis", True))


class LosingRedis(Redis):
    async def test_a_server_that_loses_its_data_begins_new_epochs_which_clients_are_told(self):
        here, there = await self.connect(), await self.connect_other()
        for client in (here, there):
            await client.subscribe("lost:a")
        before = self.publish("lost:a", data={"n": 0}).position
        for client in (here, there):
            self.assertEqual(await client.numbers(1), [0])
        self.redis.kill()
        with self.assertRaises(grpc.RpcError) as refused:
            self.publish("lost:a", data={"n": -1})
        self.assertIn("Redis at", refused.exception.details())
        self.redis.start()

        def publishes():
            try:
                return self.publish("lost:a", data={"n": 1}).position
            except grpc.RpcError:
                return None
        after = await eventually(publishes, "a publication that is accepted")
        self.assertNotEqual(after.epoch, before.epoch)
        self.assertEqual(after.offset, 1)
        for client in (here, there):
            skipped = await client.event()
            self.assertEqual(skipped["event"], "channel.skipped")
            self.assertEqual((skipped["data"]["reason"], skipped["data"]["epoch"]),
                             ("epoch_changed", after.epoch))
            self.assertEqual(await client.numbers(1), [1])


class DurableRedis(Redis):
    arguments = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy",
                 "noeviction")
    durable = True

    async def test_epochs_outlive_kill_9_of_the_server(self):
        there = await self.connect_other()
        await there.subscribe("durable:a")
        before = self.publish("durable:a", data={"n": 0}).position
        self.redis.kill()
        self.redis.start()

        def publishes():
            try:
                return self.publish("durable:a", data={"n": 1}).position
            except grpc.RpcError:
                return None
        after = await eventually(publishes, "a publication that is accepted")
        self.assertEqual(after.epoch, before.epoch)
        self.assertEqual(await there.numbers(2), [0, 1])


class Unusable(Case):
    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def test_check_config_says_why_the_server_cannot_be_used(self):
        redis = RedisServer().start()
        self.addCleanup(redis.stop)
        server = Server(small_config(engine={"kind": "redis", "redis": {
            "server": redis.address, "durable": True}}))
        self.addCleanup(shutil.rmtree, server.directory)
        check = subprocess.run([str(BIN / "fanwire-control"), "--config", str(server.config_file),
                                "--check-config"], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(check.returncode, 0)
        self.assertIn("appendonly", check.stderr)
        redis.kill()
        check = subprocess.run([str(BIN / "fanwire-control"), "--config", str(server.config_file),
                                "--check-config"], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(check.returncode, 0)
        self.assertIn("Connection refused", check.stderr)


if __name__ == "__main__":
    main()
