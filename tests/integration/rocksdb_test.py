"""With the rocksdb engine, what was accepted outlives kill -9 of control: channels keep their epochs,
offsets go on, clients recover every event once, and publishers that send again publish once.
"""
import asyncio
import logging
import pathlib
import shutil
import subprocess
import tempfile

import grpc

from fanwire.v1 import admin_pb2
from fanwire.publisher import Publisher as StreamPublisher
from harness import Case, Publisher, main, service, small_config
from harness.server import BIN, PATIENCE


class RocksDb(Case):
    sync = False

    @classmethod
    def config(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-engine-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        # A small cache, so that history is read from the disk as well.  History holds all that a test
        # publishes, because a client may be far behind the publisher when control is killed.
        return small_config(
            service(channels=[{"pattern": "**", "history_size": 10000}]), control={"adopt_window": "3s"},
            limits={"control_wait": "20s", "session_backlog_bytes": "16MiB"},
            engine={"kind": "rocksdb", "path": str(cls.folder / "data"), "sync": cls.sync,
                    "cache_bytes": 20000})

    async def restart(self):
        self.server.kill()
        await asyncio.to_thread(self.server.start)

    async def test_positions_go_on_and_clients_that_stay_miss_nothing(self):
        client = await self.connect()
        await client.subscribe("stay:a")
        before = self.publish("stay:a", data={"n": 1}).position
        self.assertEqual(await client.numbers(1), [1])
        for restart in (1, 2):
            await self.restart()
            after = self.publish("stay:a", data={"n": 1 + restart}).position
            self.assertEqual((after.epoch, after.offset), (before.epoch, before.offset + restart))
            self.assertEqual(await client.numbers(1), [1 + restart])
        self.assertEqual(await client.until_quiet(), [])

    async def test_a_client_recovers_what_was_published_before_and_after_the_kill(self):
        client = await self.connect()
        await client.subscribe("back:a")
        self.publish("back:a", data={"n": 0})
        event = await client.event()
        await client.close()
        # Events are published until control is killed: those with a receipt were accepted.
        accepted = [0]
        # Of its own: after an attempt to connect to a dead control, it waits before the next one.
        publisher = Publisher(self.server)
        self.addCleanup(publisher.close)

        def publish():
            for n in range(1, 100_000):
                try:
                    publisher.publish("back:a", data={"n": n})
                except grpc.RpcError:
                    return
                accepted.append(n)
        publishing = asyncio.create_task(asyncio.to_thread(publish))
        while len(accepted) < 300:
            await asyncio.sleep(0.01)
        self.server.kill()
        await publishing
        await asyncio.to_thread(self.server.start)
        head = self.publish("back:a", data={"n": -1}).position
        self.assertEqual(head.epoch, event["epoch"])
        again = await self.connect()
        confirmation = await again.subscribe("back:a", recover={
            "epoch": event["epoch"], "offset": event["offset"]})
        self.assertIs(confirmation["recovered"], True)
        recovered = [await again.event() for _ in range(head.offset - event["offset"])]
        self.assertEqual([one["offset"] for one in recovered],
                         list(range(event["offset"] + 1, head.offset + 1)))
        numbers = [one["data"]["n"] for one in recovered]
        self.assertEqual(numbers[:len(accepted) - 1], accepted[1:])
        # The last one may have been written, but its receipt was lost with control.
        self.assertIn(numbers[len(accepted) - 1:],
                      ([-1], [accepted[-1] + 1, -1]))
        self.assertEqual(await again.until_quiet(), [])

    async def test_a_publisher_that_sends_again_over_kills_publishes_each_event_once(self):
        client = await self.connect()
        await client.subscribe("once:a")
        publisher = StreamPublisher(self.server.address, backoff=(0.01, 0.1))
        count, kills = 3000, {300, 1000, 2200}

        def publish():
            for n in range(count):
                publisher.publish("mahavishnu", "once:a", "test.event", {"n": n})
        publishing = asyncio.create_task(asyncio.to_thread(publish))
        events = []
        while len(events) < count:
            events.append(await client.event())
            if len(events) in kills:
                await self.restart()
        await publishing
        await asyncio.to_thread(publisher.close)
        self.assertEqual([event["data"]["n"] for event in events], list(range(count)))
        self.assertEqual([event["offset"] for event in events], list(range(1, count + 1)))
        self.assertEqual(len({event["epoch"] for event in events}), 1)
        self.assertEqual(await client.until_quiet(), [])
        self.assertEqual(publisher.stats()["connections"], 1 + len(kills))

    async def test_an_idempotency_key_holds_over_a_kill(self):
        first = self.publish("key:a", data={"n": 1}, idempotency_key="one")
        skipped = self.publish("key:a", data={"n": 2}, idempotency_key="two", skip_history=True)
        await self.restart()
        again = self.publish("key:a", data={"n": 1}, idempotency_key="one")
        self.assertIs(again.duplicate, True)
        self.assertEqual((again.id, again.position), (first.id, first.position))
        again = self.publish("key:a", data={"n": 2}, idempotency_key="two", skip_history=True)
        self.assertIs(again.duplicate, True)
        self.assertEqual(again.id, skipped.id)
        with self.assertRaises(grpc.RpcError) as caught:
            self.publish("key:a", data={"n": 3}, idempotency_key="one")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.ALREADY_EXISTS)
        self.assertEqual(self.publish("key:a", data={"n": 4}).position.offset,
                         first.position.offset + 1)

    async def test_operators_see_the_engine(self):
        self.publish("told:a")
        status = self.server.admin.GetEngineStatus(admin_pb2.GetEngineStatusRequest(), timeout=5)
        self.assertEqual((status.kind, status.healthy, status.path),
                         ("rocksdb", True, str(self.folder / "data")))
        self.assertGreater(status.disk_bytes, 0)

    async def test_history_is_there_after_an_orderly_restart(self):
        positions = {name: self.publish(name, data={"n": 7}).position
                     for name in ("kept:a", "kept:b")}
        self.assertEqual(await asyncio.to_thread(self.server.terminate), 0)
        await asyncio.to_thread(self.server.start)
        for name, position in positions.items():
            client = await self.connect()
            await client.subscribe(name)
            reply = await client.request("history", {"channel": name, "limit": 10})
            [event] = reply["data"]["events"]
            self.assertEqual((event["epoch"], event["offset"], event["data"]),
                             (position.epoch, position.offset, {"n": 7}))

    async def test_a_folder_that_cannot_be_used_is_told_before_the_start(self):
        def check():
            return subprocess.run(
                [BIN / "fanwire-control", "--config", self.server.config_file, "--check-config"],
                capture_output=True, text=True, timeout=PATIENCE)
        checked = await asyncio.to_thread(check)
        self.assertEqual(checked.returncode, 0)  # beside the control that uses it
        (self.folder / "file").write_text("text")
        engine = self.server.config["engine"]
        engine["path"], before = str(self.folder / "file"), engine["path"]
        self.server.write_config()
        checked = await asyncio.to_thread(check)
        engine["path"] = before
        self.server.write_config()
        self.assertEqual(checked.returncode, 2)
        self.assertIn("not a folder", checked.stderr)
        # A second control on the same folder says so and ends.
        other = small_config(service(), engine={"kind": "rocksdb", "path": before})
        second = type(self.server)(other)
        second.start(wait=False)
        self.assertEqual(await asyncio.to_thread(second.process.wait, PATIENCE), 1)
        self.assertIn("another process uses the folder", second.log())
        shutil.rmtree(second.directory)


class RocksDbWithSync(RocksDb):
    sync = True


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
