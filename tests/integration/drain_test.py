"""Drains by wsctl, by SIGTERM to a worker, and when everything stops."""
import asyncio
import os
import signal

from harness import Case, Client, Publisher, Server, eventually, main, service, small_config


def config(workers=2):
    return small_config(service(), workers=workers,
                        worker={"drain_window": "300ms", "drain_deadline": "5s",
                                "reconnect_after_min": "10ms", "reconnect_after_max": "200ms"})


class Drain(Case):
    @classmethod
    def config(cls):
        return config()

    async def clients(self, count=20):
        return [await self.connect() for _ in range(count)]

    async def assert_said_goodbye(self, client, reason):
        event = await client.event("server.draining")
        shortest, longest = event["data"]["reconnect_after_ms"]
        self.assertEqual(shortest, 10)
        # A millisecond for each session of the worker, of 20 over all workers.
        self.assertTrue(10 < longest <= 30, longest)
        self.assertEqual(event["data"]["reason"], reason)
        self.assertEqual(await client.closed(), (1012, reason))

    def worker(self, identifier):
        return [worker for worker in self.server.workers() if worker.id == identifier][0]

    async def test_wsctl_drains_one_worker_and_the_other_serves_on(self):
        clients = await self.clients()
        await eventually(lambda: sum(w.sessions for w in self.server.workers()) == 20,
                         "20 sessions")
        drained = self.worker("worker-0")
        ids = set()
        rows = self.server.wsctl_json("connections", "list")
        for row in rows if isinstance(rows, list) else rows["connections"]:
            if row.get("worker_id", row.get("worker")) == "worker-0":
                ids.add(row["id"])
        self.assertEqual(len(ids), drained.sessions)
        self.server.wsctl("workers", "drain", "worker-0")
        for client in clients:
            if client.connection_id in ids:
                await self.assert_said_goodbye(client, "drained by operator")
            else:
                self.assertEqual(await client.until_quiet(), [])
        # The drained worker stays stopped, and all clients connect to the other one.
        self.assertFalse(os.path.exists(f"/proc/{drained.pid}"))
        self.assertNotIn("worker-0", [w.id for w in self.server.ready_workers()])
        for client in await self.clients(10):
            await client.subscribe("a")
        self.assertEqual(self.publish("a", level="written").delivery.matched, 10)
        self.server.wsctl("workers", "restart", "worker-0")
        await eventually(lambda: len(self.server.ready_workers()) == 2, "both workers")
        self.assertNotEqual(self.worker("worker-0").pid, drained.pid)

    async def test_sigterm_of_a_worker_drains_it_and_it_is_started_again(self):
        clients = await self.clients()
        await eventually(lambda: sum(w.sessions for w in self.server.workers()) == 20,
                         "20 sessions")
        victim = self.worker("worker-1")
        os.kill(victim.pid, signal.SIGTERM)
        await eventually(lambda: sum(client.socket.closed for client in clients) ==
                         victim.sessions, "its sessions to be closed")
        told = [client for client in clients if client.socket.closed]
        for client in told:
            await self.assert_said_goodbye(client, "worker is stopping")
        for client in clients:
            if client not in told:
                self.assertEqual(await client.until_quiet(), [])
        await eventually(lambda: len(self.server.ready_workers()) == 2
                         and self.worker("worker-1").pid != victim.pid, "the successor")

    async def test_a_rolling_restart_replaces_every_worker(self):
        before = {worker.id: worker.pid for worker in self.server.workers()}
        client = await self.connect()
        self.server.wsctl("workers", "restart")
        await self.assert_said_goodbye(client, "restart")
        await eventually(lambda: len(self.server.ready_workers()) == 2, "both workers")
        after = {worker.id: worker.pid for worker in self.server.workers()}
        self.assertEqual(set(after), set(before))
        self.assertFalse(set(after.values()) & set(before.values()))

    async def test_draining_a_worker_that_is_not_there(self):
        self.assertEqual(self.server.wsctl("workers", "drain", "worker-9", check=False).returncode,
                         69)


class Stop(Case):
    """SIGTERM to control stops everything in order."""

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    async def test_clients_are_told_and_no_event_that_was_accepted_before_is_lost(self):
        server = Server(config()).start()
        publisher = Publisher(server)
        try:
            clients = [await Client.connect(server.url()) for _ in range(20)]
            for client in clients:
                await client.subscribe("last:words")
            publisher.publish_many("last:words", 100)
            loop = asyncio.get_running_loop()
            stopping = loop.run_in_executor(None, server.terminate)
            for client in clients:
                self.assertEqual(await client.numbers(100), list(range(1, 101)))
                event = await client.event("server.draining")
                self.assertEqual(event["data"]["reason"], "shutdown")
                self.assertEqual(await client.closed(), (1012, "shutdown"))
            self.assertEqual(await stopping, 0)
        finally:
            publisher.close()
            server.stop()

    async def test_sigint_stops_as_well(self):
        server = Server(config(1)).start()
        server.process.send_signal(signal.SIGINT)
        try:
            await eventually(lambda: server.process.poll() is not None, "the end")
            self.assertEqual(server.process.returncode, 0)
        finally:
            server.stop()

    async def test_workers_end_with_a_stopped_control_that_adopted_them(self):
        server = Server(config()).start()
        workers = {worker.pid for worker in server.workers()}
        server.kill()
        server.start()
        self.assertEqual({worker.pid for worker in server.workers()}, workers)
        server.stop()  # fails if a process is still running


if __name__ == "__main__":
    main()
