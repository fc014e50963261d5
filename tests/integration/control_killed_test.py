"""After kill -9 of control, clients stay connected, a new control adopts the workers, and events
are delivered again.
"""
import asyncio
import urllib.request

import grpc

from harness import Case, Client, eventually, main, service, small_config


class ControlKilled(Case):
    @classmethod
    def config(cls):
        return small_config(service(), workers=2, control={"adopt_window": "3s"},
                            limits={"control_wait": "20s"})

    async def asyncSetUp(self):
        self.before = {worker.id: worker.pid for worker in self.server.workers()}

    async def restart(self):
        self.server.kill()
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)

    def assert_adopted(self):
        self.assertEqual({worker.id: worker.pid for worker in self.server.workers()}, self.before)

    async def test_clients_stay_and_get_new_events(self):
        clients = [await self.connect() for _ in range(10)]
        for client in clients:
            await client.subscribe("kept:a")
        before = self.publish("kept:a", data={"n": 1})
        for client in clients:
            self.assertEqual((await client.event())["data"], {"n": 1})
        await self.restart()
        self.assert_adopted()
        after = self.publish("kept:a", data={"n": 2}, level="written")
        self.assertEqual(after.delivery.matched, 10)
        self.assertNotEqual(after.position.epoch, before.position.epoch)
        for client in clients:
            skipped = await client.event("channel.skipped")
            self.assertEqual(skipped["data"]["channel"], "kept:a")
            self.assertEqual(skipped["data"]["reason"], "epoch_changed")
            self.assertEqual(skipped["data"]["epoch"], after.position.epoch)
            self.assertIsInstance(skipped["data"]["from"], int)
            self.assertIsInstance(skipped["data"]["to"], int)
            frame = await client.event("test.event")
            self.assertEqual((frame["data"], frame["offset"]), ({"n": 2}, 1))
            self.assertEqual(await client.until_quiet(), [])

    async def test_workers_whose_locks_were_deleted_are_found(self):
        locks = [self.server.directory / f"{worker}.lock" for worker in self.before]
        for lock in locks:
            lock.unlink()
        client = await self.connect()
        await client.subscribe("kept:b")
        def made():
            return all(lock.exists() and lock.read_text().strip() for lock in locks)
        await eventually(made, "the locks")
        await self.restart()
        self.assert_adopted()
        self.assertEqual(self.publish("kept:b", level="written").delivery.matched, 1)

    async def test_patterns_stay_as_well(self):
        client = await self.connect()
        await client.subscribe("pat:*")
        await self.restart()
        self.assertEqual(self.publish("pat:new", level="written").delivery.matched, 1)
        while (await client.event())["event"] != "test.event":
            pass

    async def test_while_control_is_away(self):
        client = await self.connect()
        await client.subscribe("away:a")
        self.server.kill()
        # Requests that do not need control are answered.
        self.assertEqual((await client.reply({"type": "ping", "id": "1"}))["type"], "pong")
        await client.unsubscribe("away:a")
        reply = await client.request("no_such_request")
        self.assertEqual(reply["error_code"], "UNKNOWN_REQUEST")
        # Publishers get an error.
        with self.assertRaises(grpc.RpcError) as caught:
            self.publish("away:a")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        # New clients can connect.
        other = await Client.connect(self.server.url())
        self.addAsyncCleanup(other.close)
        # A subscribe waits for control and is confirmed when control is back.
        await client.send({"type": "request", "id": "s", "event": "subscribe",
                           "data": {"channel": "away:b"}})
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(client.socket.recv(), 0.3)
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)
        self.assert_adopted()
        confirmation = await client.recv()
        self.assertEqual(confirmation["correlation_id"], "s")
        self.assertEqual(confirmation["data"]["status"], "subscribed")
        self.publish("away:b")
        self.assertEqual((await client.event("test.event"))["room"], "away:b")
        await other.subscribe("away:b")

    async def test_the_ledger_counts_from_the_attachment_on(self):
        clients = [await self.connect() for _ in range(5)]
        for client in clients:
            await client.subscribe("ledger:a")
        for n in range(20):
            self.publish("ledger:a", data={"n": n}, level="written")
        await self.restart()
        self.assert_adopted()
        # At once: the first heartbeat's second counts as well.
        for n in range(7):
            self.publish("ledger:a", data={"n": n}, level="written")

        def entry():
            return next(row for row in self.server.wsctl_json("ledger")
                        if row["service"] == "mahavishnu")

        def metric(name):
            address = self.server.config["control"]["ops_listen"]
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
                       if line.startswith(f"fanwire_ledger_{name}"))

        await eventually(lambda: entry()["written"] >= 35, "the deliveries in the ledger")
        now = entry()
        self.assertEqual((now["published"], now["matched"], now["written"], now["difference"]),
                         (7, 35, 35, 0))
        self.assertEqual((metric("matched_total"), metric("written_total")), (35, 35))
        self.assertEqual(metric("lost_connection_total"), 0)

    async def test_a_worker_that_died_meanwhile_is_replaced(self):
        self.server.kill()
        victim = self.before["worker-0"]
        self.server.kill(victim)
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)
        after = {worker.id: worker.pid for worker in self.server.workers()}
        self.assertEqual(set(after), set(self.before))
        self.assertEqual(after["worker-1"], self.before["worker-1"])
        self.assertNotEqual(after["worker-0"], victim)


class ControlAwayTooLong(Case):
    @classmethod
    def config(cls):
        return small_config(service(), limits={"control_wait": "400ms"})

    async def test_a_subscribe_gives_up_with_unavailable(self):
        client = await self.connect()
        self.server.kill()
        reply = await client.request("subscribe", {"channel": "a"})
        self.assertEqual(reply["error_code"], "UNAVAILABLE")
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)
        await client.subscribe("a")


class Orphans(Case):
    @classmethod
    def config(cls):
        return small_config(service(), worker={"orphan_timeout": "500ms", "drain_window": "100ms"})

    async def test_a_worker_without_control_drains_and_ends(self):
        client = await self.connect()
        self.server.kill()
        self.assertEqual((await client.event("server.draining"))["event"], "server.draining")
        self.assertEqual((await client.closed())[0], 1012)
        for _ in range(500):
            if not self.server.processes():
                break
            await asyncio.sleep(0.02)
        self.assertEqual(self.server.processes(), [])
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)


if __name__ == "__main__":
    main()
