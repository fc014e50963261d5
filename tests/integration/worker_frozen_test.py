"""A worker that stops running is declared dead after three heartbeats and then replaced.  If it
continues before that, it stays.
"""
import os
import signal

from harness import Case, eventually, main, service, small_config


class WorkerFrozen(Case):
    @classmethod
    def config(cls):
        return small_config(service(), workers=1, control={
            "heartbeat_interval": "400ms", "frozen_kill_after": "5s"})

    def worker(self):
        return self.server.workers()[0]

    async def test_woken_in_time_it_attaches_again_and_its_clients_miss_nothing(self):
        client = await self.connect()
        await client.subscribe("frozen:a")
        self.publisher.publish_many("frozen:a", 10)
        self.assertEqual(await client.numbers(10), list(range(1, 11)))
        before = self.worker()
        os.kill(before.pid, signal.SIGSTOP)
        try:
            await eventually(lambda: not self.server.ready_workers(), "the worker to be given up")
            self.publisher.publish_many("frozen:a", 20, first=11)
        finally:
            os.kill(before.pid, signal.SIGCONT)
        self.assertEqual(await client.numbers(20), list(range(11, 31)))
        await eventually(self.server.ready_workers, "the worker to be ready again")
        self.assertEqual(self.worker().pid, before.pid)
        self.assertEqual(self.publish("frozen:a", level="written").delivery.matched, 1)

    async def test_clients_with_patterns_miss_nothing_either(self):
        client = await self.connect()
        await client.subscribe("ice:*")
        self.publisher.publish_many("ice:known", 3)
        self.assertEqual(await client.numbers(3), [1, 2, 3])
        before = self.worker()
        os.kill(before.pid, signal.SIGSTOP)
        try:
            await eventually(lambda: not self.server.ready_workers(), "the worker to be given up")
            self.publisher.publish_many("ice:known", 3, first=4)
            # The frozen worker cannot know this channel.
            self.publisher.publish_many("ice:new", 3)
        finally:
            os.kill(before.pid, signal.SIGCONT)
        rooms = {"ice:known": [], "ice:new": []}
        for _ in range(6):
            event = await client.event()
            rooms[event["room"]].append(event["data"]["n"])
        self.assertEqual(rooms, {"ice:known": [4, 5, 6], "ice:new": [1, 2, 3]})
        await eventually(self.server.ready_workers, "the worker to be ready again")
        # A later subscriber gets no earlier events.
        late = await self.connect()
        await late.subscribe("ice:*")
        self.publish("ice:new", data={"n": 4})
        self.assertEqual(await late.numbers(1), [4])
        self.assertEqual(await client.numbers(1), [4])

    async def test_otherwise_it_is_killed_and_replaced(self):
        client = await self.connect()
        await client.subscribe("frozen:b")
        last = self.publish("frozen:b", data={"n": 1}).position
        self.assertEqual(await client.numbers(1), [1])
        before = self.worker()
        os.kill(before.pid, signal.SIGSTOP)
        await eventually(lambda: not self.server.ready_workers(), "the worker to be given up")
        # A receipt does not wait for the dead worker.
        receipt = self.publish("frozen:b", data={"n": 2}, level="written", wait_ms=5000)
        self.assertFalse(receipt.timed_out)
        await eventually(lambda: any(w.pid != before.pid for w in self.server.ready_workers()),
                         "its successor")
        again = await self.connect()
        confirmation = await again.subscribe("frozen:b", recover={
            "epoch": last.epoch, "offset": last.offset})
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(await again.numbers(1), [2])


if __name__ == "__main__":
    main()
