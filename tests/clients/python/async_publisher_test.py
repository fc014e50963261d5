"""AsyncPublisher never blocks its event loop, whatever control does."""
import asyncio
import threading
import time
import unittest

from fake_control import PATIENCE, FakeControl
from fanwire.publisher import (AsyncPublisher, BufferFull, EventRefused, PublisherClosed,
                               ReceiptTimeout)


class Case(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.control = FakeControl()
        self.addCleanup(self.control.stop)

    def publisher(self, **options):
        options.setdefault("backoff", (0.01, 0.05))
        publisher = AsyncPublisher(options.pop("target", self.control.address), **options)
        self.addAsyncCleanup(self.end, publisher)
        return publisher

    async def end(self, publisher):
        try:
            await publisher.close(0)
        except ReceiptTimeout:
            pass
        self.assertEqual(self.control.violations, [])

    async def in_thread(self, function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class Publishing(Case):
    async def test_publish_waits_for_the_receipt(self):
        async with self.publisher() as publisher:
            receipt = await publisher.publish("s", "c", "e", {"n": 1})
            self.assertEqual((receipt.offset, receipt.duplicate), (1, False))

    async def test_a_refusal_raises(self):
        self.control.refuse = lambda event: (5, 'no service "s"')
        with self.assertRaisesRegex(EventRefused, 's c e: NOT_FOUND: no service "s"'):
            await self.publisher().publish("s", "c", "e", {"n": 1})

    async def test_many_tasks_publish_at_once(self):
        publisher = self.publisher(max_pending=100)
        receipts = await asyncio.gather(*(publisher.publish("s", "c", "e", {"n": n})
                                          for n in range(1000)))
        self.assertEqual(sorted(receipt.offset for receipt in receipts), list(range(1, 1001)))

    async def test_enqueue_gives_a_receipt_that_can_be_awaited_more_than_once(self):
        publisher = self.publisher()
        self.control.hold = True
        pending = await publisher.enqueue("s", "c", "e")
        waits = [asyncio.ensure_future(self.await_it(pending)) for _ in range(3)]
        await self.in_thread(self.control.wait_accepted, 1)
        self.assertFalse(pending.done())
        self.control.release()
        self.assertEqual([receipt.offset for receipt in await asyncio.gather(*waits)], [1, 1, 1])
        self.assertEqual((await pending).offset, 1)

    async def await_it(self, pending):
        return await pending

    async def test_a_cancelled_wait_harms_nothing(self):
        publisher = self.publisher()
        self.control.hold = True
        pending = await publisher.enqueue("s", "c", "e")
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(self.await_it(pending), 0.01)
        self.control.release()
        self.assertEqual((await pending).offset, 1)

    async def test_a_receipt_reaches_a_loop_in_another_thread(self):
        publisher = self.publisher()
        self.control.hold = True
        pending = await publisher.enqueue("s", "c", "e")
        found = []
        thread = threading.Thread(
            target=lambda: found.append(asyncio.run(self.await_it(pending))))
        thread.start()
        self.control.release()
        await self.in_thread(thread.join, PATIENCE)
        self.assertEqual(found[0].offset, 1)


class Waiting(Case):
    async def test_the_loop_runs_while_the_buffer_is_full(self):
        publisher = self.publisher(max_pending=4)
        self.control.hold = True
        for _ in range(4):
            await publisher.enqueue("s", "c", "e")
        with self.assertRaises(BufferFull):
            publisher.enqueue_nowait("s", "c", "e")
        waits = asyncio.ensure_future(publisher.enqueue("s", "c", "e"))
        for _ in range(100):
            await asyncio.sleep(0)
        self.assertFalse(waits.done())
        self.control.release()
        self.assertEqual((await (await waits)).offset, 5)

    async def test_waiting_for_room_ends_with_its_time(self):
        publisher = self.publisher(max_pending=1, block_timeout=0.05)
        self.control.hold = True
        await publisher.enqueue("s", "c", "e")
        with self.assertRaises(BufferFull):
            await publisher.enqueue("s", "c", "e")

    async def test_no_call_blocks_while_control_is_away(self):
        publisher = self.publisher(target="127.0.0.1:1", max_pending=10, block_timeout=0.05)
        longest, last, end = 0.0, time.monotonic(), False

        async def tick():
            nonlocal longest, last
            while not end:
                await asyncio.sleep(0.001)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        ticking = asyncio.ensure_future(tick())
        for _ in range(10):
            await publisher.enqueue("s", "c", "e")
        for call in (publisher.enqueue("s", "c", "e"), publisher.flush(0.3),
                     publisher.connect(0.3), publisher.close(0.3)):
            with self.assertRaises((BufferFull, ReceiptTimeout)):
                await call
        end = True
        await ticking
        self.assertLess(longest, 0.25)  # each of the calls waited longer

    async def test_flush(self):
        publisher = self.publisher()
        await publisher.flush(PATIENCE)
        self.control.hold = True
        await publisher.enqueue("s", "c", "e")
        with self.assertRaisesRegex(ReceiptTimeout, "1 events without a receipt after 0.01 s"):
            await publisher.flush(0.01)
        self.control.release()
        await publisher.flush(PATIENCE)

    async def test_connect(self):
        publisher = self.publisher()
        await publisher.connect(PATIENCE)
        self.assertTrue(publisher.connected)
        self.assertEqual(publisher.state(), f"connected to {self.control.address}")

    async def test_close_gives_the_rest_an_outcome(self):
        publisher = self.publisher()
        self.control.hold = True
        pending = await publisher.enqueue("s", "c", "e")
        with self.assertRaises(ReceiptTimeout):
            await publisher.close(0.05)
        with self.assertRaises(PublisherClosed):
            await pending
        with self.assertRaises(PublisherClosed):
            await publisher.publish("s", "c", "e")
        with self.assertRaises(PublisherClosed):
            await publisher.connect()


if __name__ == "__main__":
    unittest.main(verbosity=2)
