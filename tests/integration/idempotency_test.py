"""Events with the same idempotency key are published once within the window."""
import concurrent.futures
import time

import grpc

from harness import Case, eventually, main, service, small_config


class Idempotency(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("akosha"),
                            control={"idempotency_window": "5s"})

    async def test_the_earlier_receipt_comes_again(self):
        client = await self.connect()
        await client.subscribe("i:a")
        first = self.publish("i:a", data={"n": 1}, idempotency_key="once")
        self.assertFalse(first.duplicate)
        for _ in range(5):
            again = self.publish("i:a", data={"n": 1}, idempotency_key="once")
            self.assertTrue(again.duplicate)
            self.assertEqual((again.id, again.position), (first.id, first.position))
        self.assertEqual((await client.event())["data"], {"n": 1})
        self.publish("i:a", level="written", data={"n": 2})
        self.assertEqual((await client.event())["data"], {"n": 2})

    async def test_a_key_of_another_event_is_refused_with_the_first_ones_channel(self):
        self.publish("i:first", data={"n": 1}, idempotency_key="taken")
        for channel, more in (("i:second", {}), ("i:first", {"data": {"n": 2}}),
                              ("i:first", {"name": "other.event"})):
            with self.assertRaises(grpc.RpcError) as caught:
                self.publish(channel, idempotency_key="taken", **({"data": {"n": 1}} | more))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.ALREADY_EXISTS)
            self.assertIn('"i:first"', caught.exception.details())
        receipts = self.publisher.publish_batch([
            self.publisher.event("i:second", data={"n": 1}, idempotency_key="taken"),
            self.publisher.event("i:first", data={"n": 1}, idempotency_key="taken")])
        self.assertEqual(receipts[0].status.code, grpc.StatusCode.ALREADY_EXISTS.value[0])
        self.assertIn('"i:first"', receipts[0].status.message)
        self.assertTrue(receipts[1].duplicate)

    async def test_of_many_at_the_same_time_one_publishes(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            receipts = list(pool.map(
                lambda _: self.publish("i:race", idempotency_key="race"), range(64)))
        self.assertEqual(sum(not receipt.duplicate for receipt in receipts), 1)
        self.assertEqual({receipt.position.offset for receipt in receipts}, {1})
        self.assertEqual(self.publish("i:race").position.offset, 2)

    async def test_keys_belong_to_a_service(self):
        self.assertFalse(self.publish("i:s", idempotency_key="shared").duplicate)
        self.assertFalse(self.publish("i:s", idempotency_key="shared",
                                      service="akosha").duplicate)

    async def test_within_one_batch(self):
        events = [self.publisher.event("i:b", idempotency_key=f"b{n % 3}") for n in range(9)]
        receipts = self.publisher.publish_batch(events)
        self.assertEqual([receipt.duplicate for receipt in receipts], [False] * 3 + [True] * 6)
        self.assertEqual([receipt.position.offset for receipt in receipts], [1, 2, 3] * 3)

    async def test_a_refused_event_does_not_take_the_key(self):
        receipts = self.publisher.publish_batch([
            self.publisher.event("i:*", idempotency_key="retry"),
            self.publisher.event("i:ok", idempotency_key="retry")])
        self.assertEqual(receipts[0].status.code, 3)
        self.assertFalse(receipts[1].duplicate)
        self.assertEqual(receipts[1].position.offset, 1)

    async def test_after_the_window_it_is_another_event(self):
        first = time.monotonic()
        self.publish("i:w", idempotency_key="window")

        def published_again():
            receipt = self.publish("i:w", idempotency_key="window")
            return None if receipt.duplicate else receipt
        receipt = await eventually(published_again, "the key is free again")
        self.assertEqual(receipt.position.offset, 2)
        self.assertGreater(time.monotonic() - first, 5)


if __name__ == "__main__":
    main()
