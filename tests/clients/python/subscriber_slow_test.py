"""Slow, failing and cancelled applications: what waits is bounded, and nothing is lost."""
import asyncio
import unittest

from fake_worker import URL, Case, numbers, settle
from fanwire.subscriber import Client, ConnectionLost, Disconnected, Position, RequestTimeout


class Slow(Case):
    async def test_what_waits_is_bounded_and_then_nothing_is_read(self):
        async with Client(URL, max_pending=10) as client:
            subscription, other = client.subscribe("a:1"), client.subscribe("b:1")
            await other.ready()
            self.worker.publish("a:1", *range(8))
            self.worker.publish("b:1", *range(8))
            await settle()
            self.assertEqual(client.stats()["pending"], 10)
            self.assertEqual(len(self.worker.socket._inbox), 6)
            got = [await subscription.__anext__() for _ in range(4)]  # the fourth is in work
            await settle()
            self.assertEqual(client.stats()["pending"], 10)
            got += [await subscription.__anext__() for _ in range(4)]
            self.assertEqual(numbers(got), list(range(8)))
            self.assertEqual(numbers([await other.__anext__() for _ in range(8)]),
                             list(range(8)))

    async def test_so_are_their_bytes(self):
        async with Client(URL, max_pending_bytes=1000) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            self.worker.publish("a:1", *range(100))
            await settle()
            pending = client.stats()["pending"]
            self.assertTrue(3 < pending < 9, pending)
            self.assertEqual(numbers([await subscription.__anext__() for _ in range(100)]),
                             list(range(100)))

    async def test_with_room_for_one_everything_comes(self):
        async with Client(URL, max_pending=1) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            self.worker.publish("a:1", *range(5))
            self.assertEqual(numbers([await subscription.__anext__() for _ in range(5)]),
                             list(range(5)))

    async def test_a_handler_that_is_behind_may_ask_and_subscribe(self):
        answers = []

        async def handler(publication):
            if publication.data["n"] == 0:
                await asyncio.sleep(50)
                answers.append(await client.request("echo", {"n": 1}))
                await client.subscribe("b:1").ready(5)
            answers.append(publication.data["n"])
        async with Client(URL, max_pending=5) as client:
            await client.subscribe("a:1", handler).ready()
            self.worker.publish("a:1", *range(9))
            await asyncio.sleep(100)
            self.assertEqual(answers, [{"n": 1}, *range(9)])

    async def test_a_handler_that_is_behind_may_subscribe(self):
        confirmed = []

        async def handler(publication):
            if publication.data["n"] == 0:
                await asyncio.sleep(50)
                confirmed.append(await client.subscribe("b:1").ready(5))
        async with Client(URL, max_pending=5) as client:
            await client.subscribe("a:1", handler).ready()
            self.worker.publish("a:1", *range(9))
            await asyncio.sleep(100)
            self.assertEqual(len(confirmed), 1)

    async def test_what_waits_for_an_answer_is_bounded_as_well(self):
        async def handler(publication):
            if publication.data["n"] == 0:
                with self.assertRaises(RequestTimeout):
                    await client.request("echo")
        async with Client(URL, max_pending=5) as client:
            await client.subscribe("a:1", handler).ready()
            self.worker.hold = True
            self.worker.publish("a:1", *range(100))
            await settle()
            self.assertEqual(client.stats()["pending"], 10)
            self.worker.release()  # the answer is behind the other events
            await settle()
            self.assertEqual(client.stats()["pending"], 10)
            await asyncio.sleep(20)
            self.assertEqual((client.stats()["pending"], client.stats()["received"]), (0, 100))

    async def test_a_slow_subscriber_that_is_closed_comes_back_when_it_has_room(self):
        go_on, seen = asyncio.Event(), []

        async def handler(publication):
            await go_on.wait()
            seen.append(publication.data["n"])
        async with Client(URL, max_pending=5) as client:
            await client.subscribe("a:1", handler).ready()
            self.worker.publish("a:1", *range(8))
            self.worker.socket.close_with(4000, "slow subscriber")
            self.worker.publish("a:1", *range(8, 20))
            await asyncio.sleep(100)
            self.assertEqual((len(self.worker.sockets), seen), (1, []))
            go_on.set()
            await asyncio.sleep(100)
            self.assertEqual(seen, list(range(20)))
            self.assertEqual((len(self.worker.sockets), client.stats()["gaps"]), (2, 0))

    async def test_a_request_connects_a_slow_client_again(self):
        go_on = asyncio.Event()
        async with Client(URL, max_pending=2) as client:
            await client.subscribe("a:1", lambda publication: go_on.wait()).ready()
            self.worker.publish("a:1", 1, 2)
            await settle()
            self.worker.socket.close_with(4000)
            try:  # the client learns of the close when it reads, at the latest for a request
                await client.request("echo")
            except ConnectionLost:
                pass
            self.assertEqual(await client.request("echo", {"n": 1}), {"n": 1})
            self.assertEqual(len(self.worker.sockets), 2)

    async def test_unsubscribing_makes_room(self):
        async with Client(URL, max_pending=5) as client:
            async with client.subscribe("a:1") as unread:
                other = client.subscribe("b:1")
                await other.ready()
                self.worker.publish("a:1", *range(5))
                self.worker.publish("b:1", 7)
                await settle()
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(other.__anext__(), 10)
            self.assertEqual((await other.__anext__()).data, {"n": 7})
            self.assertEqual((unread.state, client.stats()["pending"]), ("unsubscribed", 1))
            with self.assertRaises(StopAsyncIteration):
                await unread.__anext__()
            with self.assertRaisesRegex(Disconnected, "unsubscribed"):
                await unread.ready()


class Handlers(Case):
    async def test_functions_and_coroutine_functions_are_called_one_at_a_time(self):
        running, seen = [], []

        async def slow(publication):
            running.append(publication)
            self.assertEqual(len(running), 1)
            await asyncio.sleep(1)
            running.pop()
            seen.append(publication.data["n"])
        async with Client(URL) as client:
            client.subscribe("a:1", slow)
            await client.subscribe("b:1", lambda publication: seen.append("b")).ready()
            self.worker.publish("a:1", 1, 2, 3)
            self.worker.publish("b:1", 1)
            await asyncio.sleep(10)
            self.assertEqual(seen, ["b", 1, 2, 3])

    async def test_a_failure_is_logged_and_the_next_one_comes(self):
        seen = []

        def handler(publication):
            seen.append(publication.data["n"])
            raise ValueError("of the handler")
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", handler)
            await subscription.ready()
            with self.assertLogs("fanwire.subscriber", "ERROR") as logs:
                self.worker.publish("a:1", 1, 2)
                await settle()
            self.assertEqual(seen, [1, 2])
            self.assertIn("a:1: the handler failed for <Publication a:1 test.event {'n': 1}>",
                          logs.output[0])
            self.assertEqual((subscription.position, client.stats()["handler_errors"]),
                             (Position("e1", 2), 2))

    async def test_a_handler_that_is_cancelled_by_something_else_has_failed(self):
        seen = []

        async def handler(publication):
            seen.append(publication.data["n"])
            if publication.data["n"] == 1:
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
        async with Client(URL) as client:
            await client.subscribe("a:1", handler).ready()
            self.worker.publish("a:1", 1, 2)
            await settle()
            self.assertEqual((seen, client.stats()["handler_errors"]), ([1, 2], 1))

    async def test_callbacks_that_fail_do_no_harm(self):
        def fails(argument):
            raise ValueError("of the callback")

        async def fails_later(argument):
            fails(argument)
        with self.assertLogs("fanwire.subscriber", "ERROR") as logs:
            async with Client(URL, on_state=fails) as client:
                await client.subscribe("a:1", on_subscribed=fails_later).ready()
                await settle()
        self.assertEqual(len(logs.output), 4)

    async def test_a_handler_may_end_its_own_subscription(self):
        seen = []

        def handler(publication):
            seen.append(publication.data["n"])
            subscription.unsubscribe()
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", handler)
            await subscription.ready()
            self.worker.publish("a:1", 1, 2)
            await settle()
            self.assertEqual((seen, client.stats()["pending"]), ([1], 0))

    async def test_a_subscription_with_a_handler_has_no_iterator(self):
        async with Client(URL) as client:
            with self.assertRaisesRegex(RuntimeError, "the handler gets"):
                async for _ in client.subscribe("a:1", print):
                    pass


class Cancelling(Case):
    async def test_a_cancelled_wait_for_the_next_one_loses_nothing(self):
        got = []
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            for n in range(20):
                self.loop.call_later(1, self.worker.publish, "a:1", n)
                waiting = asyncio.ensure_future(subscription.__anext__())
                if n % 2:  # in the same turn as the event
                    self.loop.call_later(1, waiting.cancel)
                try:
                    got.append(await waiting)
                except asyncio.CancelledError:
                    got.append(await subscription.__anext__())
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(subscription.__anext__(), 1)
            self.assertEqual(numbers(got), list(range(20)))

    async def test_a_cancelled_ready_does_no_harm(self):
        async with Client(URL) as client:
            self.worker.hold = True
            subscription = client.subscribe("a:1")
            with self.assertRaisesRegex(RequestTimeout, "a:1: not subscribed after 5 s; connected"):
                await subscription.ready(5)
            self.worker.release()
            await subscription.ready()

    async def test_a_gap_whose_callback_is_cancelled_comes_again(self):
        told = []

        async def on_gap(gap):
            told.append(gap.reason)
            await asyncio.sleep(10)
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", on_gap=on_gap)
            await subscription.ready()
            self.worker.restart_control()
            self.worker.publish("a:1", 1)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(subscription.__anext__(), 1)
            self.assertEqual(subscription.position.epoch, "e1")
            self.assertEqual((await subscription.__anext__()).data, {"n": 1})
            self.assertEqual((told, subscription.position.epoch), (["epoch_changed"] * 2, "e2"))

    async def test_a_loop_that_was_left_goes_on(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            self.worker.publish("a:1", 1, 2)
            async for publication in subscription:
                break
            self.assertEqual((publication.data["n"], subscription.position.offset), (1, 0))
            async for publication in subscription:
                break
            self.assertEqual((publication.data["n"], subscription.position.offset), (2, 1))

    async def test_one_task_iterates(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            first = asyncio.ensure_future(subscription.__anext__())
            await settle()
            with self.assertRaisesRegex(RuntimeError, "another task"):
                await subscription.__anext__()
            self.worker.publish("a:1", 1)
            self.assertEqual((await first).data, {"n": 1})


if __name__ == "__main__":
    unittest.main(verbosity=2)
