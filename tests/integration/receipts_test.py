"""Receipts of each level, PublishStream, and refused events over gRPC."""
import asyncio
import queue
import socket
import uuid

import grpc
from fanwire.v1 import publish_pb2

from harness import Case, RawClient, main, service, small_config


class Receipts(Case):
    @classmethod
    def config(cls):
        return small_config(service(session_backlog_bytes=65536, channels=[
            {"pattern": "slow:*", "backlog_policy": "drop_oldest"}]), workers=2,
            worker={"send_buffer_bytes": 16384, "notsent_lowat_bytes": 8192})

    async def test_accepted(self):
        receipt = self.publish("re:a")
        self.assertEqual(uuid.UUID(receipt.id).version, 4)
        self.assertEqual(receipt.level, publish_pb2.RECEIPT_LEVEL_ACCEPTED)
        self.assertEqual(receipt.position.offset, 1)
        self.assertTrue(receipt.position.epoch)
        self.assertEqual(receipt.status.code, 0)
        self.assertGreater(receipt.stage_times.accepted_us, 0)

    async def test_routed(self):
        for _ in range(30):  # almost certainly on both workers
            client = await self.connect()
            await client.subscribe("re:routed")
        receipt = self.publish("re:routed", level="routed")
        self.assertEqual(receipt.level, publish_pb2.RECEIPT_LEVEL_ROUTED)
        self.assertEqual(receipt.delivery.workers_total, 2)
        self.assertEqual(self.publish("re:nobody", level="routed").delivery.workers_total, 0)

    async def test_written_to_all_subscribers_of_all_workers(self):
        clients = [await self.connect() for _ in range(30)]
        for client in clients:
            await client.subscribe("re:written")
        receipt = self.publish("re:written", level="written")
        self.assertEqual(receipt.level, publish_pb2.RECEIPT_LEVEL_WRITTEN)
        self.assertFalse(receipt.timed_out)
        delivery = receipt.delivery
        self.assertEqual((delivery.matched, delivery.written, delivery.lost_connection),
                         (30, 30, 0))
        self.assertEqual(delivery.workers_reported, delivery.workers_total)
        self.assertEqual(list(delivery.dropped), [])
        times = receipt.stage_times
        self.assertLessEqual(times.accepted_us, times.routed_us)
        self.assertLessEqual(times.first_written_us, times.last_written_us)
        for client in clients:
            await client.event()

    async def test_exclude_connection(self):
        one, other = await self.connect(), await self.connect()
        for client in (one, other):
            await client.subscribe("re:exclude")
        receipt = self.publish("re:exclude", level="written",
                               exclude_connection=one.connection_id)
        self.assertEqual(receipt.delivery.matched, 1)
        await other.event()
        self.assertEqual(await one.until_quiet(), [])

    async def test_a_reader_that_stalls_makes_written_time_out_with_the_counts_so_far(self):
        client = RawClient(self.server.port(), receive_buffer=16384)
        self.addCleanup(client.socket.close)
        client.recv_json()
        client.send_json({"type": "subscribe", "data": {"channel": "slow:a"}})
        client.recv_json()
        quick = await self.connect()
        await quick.subscribe("slow:a")
        for number in range(40):
            self.publish("slow:a", data={"n": number, "fill": "x" * 8000})
            self.assertEqual((await quick.event())["data"]["n"], number)
        receipt = self.publish("slow:a", data={"n": 40}, level="written", wait_ms=300)
        self.assertTrue(receipt.timed_out)
        self.assertEqual((receipt.delivery.matched, receipt.delivery.written), (2, 1))
        self.assertEqual((await quick.event())["data"]["n"], 40)

    async def test_a_tracked_publication_whose_session_dies_is_counted(self):
        client = RawClient(self.server.port(), receive_buffer=16384)
        client.recv_json()
        client.send_json({"type": "subscribe", "data": {"channel": "slow:dies"}})
        client.recv_json()
        for number in range(10):
            self.publish("slow:dies", data={"n": number, "fill": "x" * 8000})
        call = self.publisher.stub.Publish.future(publish_pb2.PublishRequest(
            event=self.publisher.event("slow:dies", data={"n": 10}),
            receipt_level=publish_pb2.RECEIPT_LEVEL_WRITTEN))
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
        receipt = call.result(30).receipt
        self.assertFalse(receipt.timed_out)
        self.assertEqual(receipt.delivery.matched,
                         receipt.delivery.written + receipt.delivery.lost_connection)

    async def test_an_expired_event_is_not_delivered(self):
        client = RawClient(self.server.port(), receive_buffer=16384)
        self.addCleanup(client.socket.close)
        client.recv_json()
        client.send_json({"type": "subscribe", "data": {"channel": "slow:ttl"}})
        client.recv_json()
        # An event expires while it waits behind a backlog that nobody reads.
        for number in range(12):
            self.publish("slow:ttl", data={"n": number, "fill": "x" * 8000})
        self.publish("slow:ttl", data={"n": "short"}, ttl_ms=1)
        self.publish("slow:ttl", data={"n": "end"})
        await asyncio.sleep(0.1)  # many times the ttl
        seen = []
        while seen[-1:] != ["end"]:
            seen.append(client.recv_json()["data"].get("n"))
        self.assertNotIn("short", seen)

    async def test_own_id_and_time(self):
        client = await self.connect()
        await client.subscribe("re:own")
        event = self.publisher.event("re:own", id="my-id")
        event.occurred_at.FromJsonString("2026-02-10T20:00:00.123456Z")
        receipt = self.publisher.stub.Publish(publish_pb2.PublishRequest(event=event)).receipt
        self.assertEqual(receipt.id, "my-id")
        frame = await client.event()
        self.assertEqual((frame["id"], frame["timestamp"]),
                         ("my-id", "2026-02-10T20:00:00.123456+00:00"))

    async def test_data_reaches_the_client_byte_for_byte(self):
        client = await self.connect()
        await client.subscribe("re:bytes")
        raw = '{"big":12345678901234567890,"e":1.0e+5,"s":"\\u00fc ü","a":[ 1,2 ],"z":null}'
        event = self.publisher.event("re:bytes")
        event.json = raw.encode()
        self.publisher.stub.Publish(publish_pb2.PublishRequest(event=event))
        self.assertIn(raw, await client.recv_text())

    async def test_typed_struct_as_data(self):
        from google.protobuf import struct_pb2
        client = await self.connect()
        await client.subscribe("re:typed")
        data = struct_pb2.Struct()
        data.update({"a": 1, "b": [True, None, "x"]})
        event = publish_pb2.Event(service="mahavishnu", channel="re:typed", event="x.y")
        event.typed.Pack(data)
        self.publisher.stub.Publish(publish_pb2.PublishRequest(event=event))
        self.assertEqual((await client.event())["data"], {"a": 1, "b": [True, None, "x"]})

    async def test_refusals(self):
        for code, changes in [
                ("NOT_FOUND", {"service": "nobody"}), ("INVALID_ARGUMENT", {"channel": ""}),
                ("INVALID_ARGUMENT", {"channel": "a\n"}), ("INVALID_ARGUMENT", {"channel": "*"}),
                ("INVALID_ARGUMENT", {"event": ""}), ("INVALID_ARGUMENT", {"event": "x" * 129}),
                ("INVALID_ARGUMENT", {"json": b"[]"}), ("INVALID_ARGUMENT", {"json": b'{"a":'}),
                ("INVALID_ARGUMENT", {"json": b'{"a":"\xff"}'}),
                ("INVALID_ARGUMENT", {"json": b'{"a":1} x'}),
                ("INVALID_ARGUMENT", {"json": b'{"a":"' + b"x" * 1_000_000 + b'"}'}),
                ("INVALID_ARGUMENT", {"json": b'{"a":' * 100 + b"1" + b"}" * 100}),
                ("INVALID_ARGUMENT", {"idempotency_key": "x" * 257})]:
            with self.subTest(changes=changes):
                event = self.publisher.event("re:ok")
                for field, value in changes.items():
                    setattr(event, field, value)
                with self.assertRaises(grpc.RpcError) as caught:
                    self.publisher.stub.Publish(publish_pb2.PublishRequest(event=event))
                self.assertEqual(caught.exception.code().name, code, caught.exception.details())
                self.assertTrue(caught.exception.details())

    async def test_validate_publishes_nothing(self):
        answer = self.publisher.stub.Validate(publish_pb2.ValidateRequest(
            event=self.publisher.event("re:validate")))
        self.assertEqual(list(answer.channels), ["re:validate"])
        self.assertEqual(self.publish("re:validate").position.offset, 1)
        with self.assertRaises(grpc.RpcError):
            self.publisher.stub.Validate(publish_pb2.ValidateRequest(
                event=self.publisher.event("re:*")))


class PublishStream(Case):
    def open(self, **hello):
        """Opens a stream, reads its welcome and returns (send, responses)."""
        requests = queue.Queue()
        responses = self.publisher.stub.PublishStream(iter(requests.get, None), timeout=60)
        requests.put(publish_pb2.PublishStreamRequest(
            hello=publish_pb2.PublisherHello(**hello)))
        self.addCleanup(responses.cancel)
        return requests, responses, next(responses).welcome

    def items(self, channel, seqs):
        return publish_pb2.PublishStreamRequest(items=publish_pb2.PublishItems(items=[
            publish_pb2.PublishItem(seq=seq, event=self.publisher.event(channel, data={"n": seq}))
            for seq in seqs]))

    @staticmethod
    def receipts(responses, count):
        got = []
        while len(got) < count:
            got.extend(next(responses).receipts.receipts)
        return got

    async def test_many_per_message_a_receipt_per_event_in_order(self):
        client = await self.connect()
        await client.subscribe("st:a")
        requests, responses, welcome = self.open()
        self.assertGreater(welcome.credit, 0)
        self.assertEqual(welcome.last_accepted_seq, 0)
        for first in range(1, 1001, 100):
            requests.put(self.items("st:a", range(first, first + 100)))
        receipts = self.receipts(responses, 1000)
        self.assertEqual([receipt.seq for receipt in receipts], list(range(1, 1001)))
        self.assertEqual([receipt.receipt.position.offset for receipt in receipts],
                         list(range(1, 1001)))
        requests.put(None)
        self.assertEqual(list(responses), [])
        self.assertEqual(responses.code(), grpc.StatusCode.OK)
        self.assertEqual(await client.numbers(1000), list(range(1, 1001)))

    async def test_a_refused_item_refuses_none_of_the_others(self):
        requests, responses, _ = self.open()
        message = self.items("st:b", range(1, 6))
        message.items.items[2].event.channel = "st:*"
        requests.put(message)
        receipts = self.receipts(responses, 5)
        self.assertEqual([receipt.receipt.status.code for receipt in receipts], [0, 0, 3, 0, 0])
        self.assertEqual([receipt.receipt.position.offset for receipt in receipts],
                         [1, 2, 0, 3, 4])

    async def test_resume(self):
        requests, responses, _ = self.open(publisher_id="worker-7")
        requests.put(self.items("st:c", range(1, 11)))
        self.receipts(responses, 10)
        responses.cancel()
        _, _, welcome = self.open(publisher_id="worker-7")
        self.assertEqual(welcome.last_accepted_seq, 10)
        _, _, welcome = self.open(publisher_id="another")
        self.assertEqual(welcome.last_accepted_seq, 0)

    async def test_level_written(self):
        client = await self.connect()
        await client.subscribe("st:w")
        requests, responses, _ = self.open(receipt_level=publish_pb2.RECEIPT_LEVEL_WRITTEN)
        requests.put(self.items("st:w", range(1, 21)))
        for receipt in self.receipts(responses, 20):
            self.assertEqual((receipt.receipt.level, receipt.receipt.delivery.written),
                             (publish_pb2.RECEIPT_LEVEL_WRITTEN, 1))

    async def test_hello_comes_first(self):
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.publisher.stub.PublishStream(iter([self.items("st:d", [1])]), timeout=30))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)


if __name__ == "__main__":
    main()
