"""Publisher against a control that delays, refuses, loses streams and goes away."""
import datetime
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
from unittest import mock

import grpc

from fake_control import PATIENCE, FakeControl
from fanwire import target
from fanwire.publisher import (BufferFull, EventDropped, EventRefused, Publisher, PublisherClosed,
                               ReceiptTimeout)
from fanwire.stream import Connection

INVALID, EXHAUSTED, UNAVAILABLE = 3, 8, 14


class Case(unittest.TestCase):
    def setUp(self):
        self.control = FakeControl()
        self.addCleanup(self.control.stop)

    def publisher(self, **options):
        options.setdefault("backoff", (0.01, 0.05))
        publisher = Publisher(options.pop("target", self.control.address), **options)
        self.addCleanup(self.end, publisher)
        return publisher

    def end(self, publisher):
        try:
            publisher.close(0)
        except ReceiptTimeout:
            pass
        self.assertEqual(self.control.violations, [])

    def send(self, publisher, count, first=0):
        return [publisher.publish("s", "c", "e", {"n": n}) for n in range(first, first + count)]

    def numbers(self):
        return [int(event.json[5:-1]) for event in self.control.accepted]


class Publishing(Case):
    def test_an_event_arrives_with_all_its_fields(self):
        publisher = self.publisher()
        receipt = publisher.publish(
            "mahavishnu", "workflow:wf_ä", "workflow.started", {"a": [1, 2.5, None, "ü"]},
            id="mine", idempotency_key="key", ttl=1.5, skip_history=True,
            exclude_connection="somebody").result(PATIENCE)
        self.assertEqual((receipt.id, receipt.epoch, receipt.offset, receipt.duplicate),
                         ("mine", "epoch", 1, False))
        event = self.control.accepted[0]
        self.assertEqual((event.service, event.channel, event.event),
                         ("mahavishnu", "workflow:wf_ä", "workflow.started"))
        self.assertEqual(event.json.decode(), '{"a":[1,2.5,null,"ü"]}')
        self.assertEqual((event.id, event.idempotency_key, event.ttl.ToMilliseconds(),
                          event.skip_history, event.exclude_connection),
                         ("mine", "key", 1500, True, "somebody"))

    def test_ids_are_uuids_and_differ(self):
        publishers = [self.publisher(), self.publisher()]
        for publisher in publishers:
            self.send(publisher, 300)
            publisher.flush(PATIENCE)
        ids = [event.id for event in self.control.accepted]
        self.assertEqual(len(set(ids)), 600)
        for text in ids:
            self.assertEqual((uuid.UUID(text).version, str(uuid.UUID(text))), (4, text))

    def test_events_stay_in_order(self):
        publisher = self.publisher()
        self.send(publisher, 5000)
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(5000)))

    def test_batches_fill_while_control_is_busy(self):
        publisher = self.publisher()
        self.control.hold = True
        self.control.credit = 500
        self.send(publisher, 500)
        self.control.wait_accepted(500)
        before = len(self.control.messages)
        self.send(publisher, 500, first=500)
        self.control.release()
        publisher.flush(PATIENCE)
        self.assertLess(len(self.control.messages) - before, 20)

    def test_threads_publish_at_once(self):
        publisher = self.publisher()
        threads = [threading.Thread(target=self.send, args=(publisher, 200)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        publisher.flush(PATIENCE)
        self.assertEqual(len(self.control.accepted), 1600)
        self.assertEqual(publisher.stats()["accepted"], 1600)

    def test_data_that_is_no_object_is_refused_at_once(self):
        publisher = self.publisher()
        for data in ([1], 5, object()):
            with self.assertRaisesRegex(TypeError, "expected a dict"):
                publisher.publish("s", "c", "e", data)
        with self.assertRaisesRegex(TypeError, "fake|object"):
            publisher.publish("s", "c", "e", {"a": object()})
        with self.assertRaisesRegex(EventRefused, "1000011 bytes, at most 1000000 allowed"):
            publisher.publish("s", "c", "e", {"a": "x" * 1_000_003})
        self.assertEqual(publisher.pending, 0)

    def test_large_events_do_not_share_a_message_of_any_size(self):
        publisher = self.publisher()
        for _ in range(6):
            publisher.publish("s", "c", "e", {"a": "x" * 900_000})
        publisher.flush(PATIENCE)
        self.assertEqual(max(self.control.messages), 1)

    def test_dumps_may_return_a_text_and_an_id_may_be_a_uuid(self):
        publisher = self.publisher(dumps=json.dumps)
        receipt = publisher.publish("s", "c", "e", {"a": 1}, id=uuid.UUID(int=5)).result(PATIENCE)
        self.assertEqual((receipt.id, self.control.accepted[0].json),
                         (str(uuid.UUID(int=5)), b'{"a": 1}'))

    def test_fields_of_other_types_are_errors_that_name_them(self):
        publisher = self.publisher()
        for field, value in (("id", b"mine"), ("id", 5), ("occurred_at", "now"),
                             ("occurred_at", datetime.date(2026, 2, 10))):
            with self.assertRaisesRegex(TypeError, f"^{field}: "):
                publisher.publish("s", "c", "e", **{field: value})
        with self.assertRaisesRegex(ValueError, "wait -1: "):
            self.publisher(wait=-1)

    def test_json_that_is_ready_goes_as_it_is(self):
        publisher = self.publisher()
        publisher.publish("s", "c", "e", b'{"a" : 1}')
        publisher.publish("s", "c", "e", '{"a" : 2}')
        publisher.publish("s", "c", "e")
        publisher.flush(PATIENCE)
        self.assertEqual([event.json for event in self.control.accepted],
                         [b'{"a" : 1}', b'{"a" : 2}', b""])

    def test_idempotency_keys_on_demand(self):
        publisher = self.publisher(idempotency_keys=True)
        publisher.publish("s", "c", "e", {})
        publisher.publish("s", "c", "e", {}, ttl=5, id="mine")
        publisher.publish("s", "c", "e", {}, idempotency_key="key")
        publisher.flush(PATIENCE)
        first, second, third = self.control.accepted
        self.assertEqual(first.idempotency_key, first.id)
        self.assertEqual((second.idempotency_key, second.ttl.seconds), ("mine", 5))
        self.assertEqual(third.idempotency_key, "key")


class Receipts(Case):
    def test_a_refusal_concerns_its_event_alone(self):
        self.control.refuse = lambda event: (
            (INVALID, "event name: empty") if event.event == "bad" else None)
        told = []
        publisher = self.publisher(on_refused=told.append)
        good = publisher.publish("s", "c", "good", {})
        bad = publisher.publish("s", "c:1", "bad", {})
        last = publisher.publish("s", "c", "good", {})
        with self.assertRaises(EventRefused) as caught:
            bad.result(PATIENCE)
        error = caught.exception
        self.assertEqual((error.code, error.message, error.service, error.channel, error.event),
                         ("INVALID_ARGUMENT", "event name: empty", "s", "c:1", "bad"))
        self.assertEqual(str(error), "s c:1 bad: INVALID_ARGUMENT: event name: empty")
        self.assertEqual((good.result(PATIENCE).offset, last.result(PATIENCE).offset), (1, 2))
        self.assertEqual(told, [error])
        self.assertIs(bad.exception(), error)
        self.assertIsNone(good.exception())
        self.assertEqual(publisher.stats()["refused"], 1)

    def test_refusals_that_nobody_asks_about_are_logged_once_in_a_while(self):
        self.control.refuse = lambda event: (EXHAUSTED, "too many channels")
        publisher = self.publisher()
        with self.assertLogs("fanwire.publisher", "WARNING") as logged:
            for _ in range(20):
                publisher.publish("s", "c", "e").exception(PATIENCE)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("s c e: RESOURCE_EXHAUSTED: too many channels", logged.output[0])

    def test_receipts_in_another_order_reach_their_events(self):
        self.control.shuffle = True
        publisher = self.publisher()
        pending = self.send(publisher, 500)
        publisher.flush(PATIENCE)
        self.assertEqual([each.result(0).offset for each in pending], list(range(1, 501)))

    def test_callbacks_and_futures(self):
        publisher = self.publisher()
        self.control.hold = True
        pending = publisher.publish("s", "c", "e")
        called = []
        pending.add_done_callback(called.append)
        pending.add_done_callback(lambda _: 1 / 0)  # is logged, and harms nobody
        future = pending.future()
        self.assertFalse(pending.done() or called or future.done())
        with self.assertLogs("fanwire.publisher", "ERROR"):
            self.control.release()
            self.assertEqual(future.result(PATIENCE).offset, 1)
        self.assertEqual(called, [pending])
        pending.add_done_callback(called.append)
        self.assertEqual(called, [pending, pending])

    def test_waiting_ends_with_the_time_and_says_why(self):
        publisher = self.publisher()
        self.control.hold = True
        pending = publisher.publish("s", "c", "e")
        self.control.wait_accepted(1)
        with self.assertRaisesRegex(ReceiptTimeout, "s c e: no receipt after 0.01 s; connected to"):
            pending.result(0.01)
        with self.assertRaisesRegex(TimeoutError, "1 events without a receipt after 0.01 s"):
            publisher.flush(0.01)

    def test_flush_waits_for_what_was_published_before(self):
        publisher = self.publisher()
        self.control.hold = True
        first = publisher.publish("s", "c", "e")
        waits = threading.Thread(target=publisher.flush)
        waits.start()
        self.control.wait_accepted(1)
        self.control.release()
        waits.join(PATIENCE)
        self.assertFalse(waits.is_alive())
        self.assertTrue(first.done())

    def test_control_may_change_the_credit(self):
        self.control.credit = 2
        self.control.hold = True
        publisher = self.publisher()
        self.send(publisher, 20)
        self.control.wait_accepted(2)
        self.control.set_credit(12)
        self.control.wait_accepted(12)
        self.control.release()
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(20)))

    def test_never_more_without_a_receipt_than_the_credit(self):
        self.control.credit = 3  # FakeControl notes a violation
        publisher = self.publisher()
        self.send(publisher, 100)
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(100)))


class Reconnecting(Case):
    def test_what_has_no_receipt_is_sent_again_under_its_seq(self):
        self.control.hold = True
        publisher = self.publisher()
        pending = self.send(publisher, 100)
        self.control.wait_accepted(100)
        self.control.cut()
        with self.control._lock:
            self.control.hold = False
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(100)))
        self.assertTrue(all(each.result().duplicate for each in pending))
        self.assertEqual([each.result().offset for each in pending], list(range(1, 101)))
        self.assertEqual(len({hello.publisher_id for hello in self.control.hellos}), 1)
        self.assertEqual(publisher.stats()["resent"], 100)

    def test_a_stream_that_breaks_again_and_again_loses_and_repeats_nothing(self):
        publisher = self.publisher()
        self.control.credit = 64
        for first in range(0, 1000, 200):
            self.control.break_after = 137
            self.send(publisher, 200, first)
            self.control.wait(lambda: self.control.break_after is None, "the broken stream")
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(1000)))
        self.assertEqual(publisher.stats()["connections"], 6)

    def test_events_wait_for_a_control_that_starts_later(self):
        with tempfile.TemporaryDirectory() as folder:
            address = f"unix:{folder}/control.sock"
            publisher = self.publisher(target=address)
            with self.assertLogs("fanwire.publisher", "WARNING") as logged:
                pending = self.send(publisher, 10)
                with self.assertRaisesRegex(ReceiptTimeout, "not connected to unix:.*UNAVAILABLE"):
                    pending[0].result(0.2)
            self.assertEqual(len(logged.output), 1)  # however often it was tried
            self.assertFalse(publisher.connected)
            with FakeControl(address) as control:
                publisher.connect(PATIENCE)
                publisher.flush(PATIENCE)
                self.assertEqual(len(control.accepted), 10)

    def test_after_go_away_it_sends_no_more_and_takes_the_receipts(self):
        publisher = self.publisher()
        self.control.hold = True
        first = publisher.publish("s", "c", "e", {"n": 0})
        self.control.wait_accepted(1)
        self.control.go_away()
        # The publisher learns of it before it gets the receipt: they come on the same stream.
        self.control.release()
        self.assertFalse(first.result(PATIENCE).duplicate)
        self.send(publisher, 50, first=1)
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(51)))
        self.assertEqual((len(self.control.hellos), self.control.after_go_away), (2, 0))

    def test_an_event_that_control_cannot_take_now_is_tried_again_before_those_after_it(self):
        away = [5]

        def refuse(event):
            if event.json == b'{"n":3}' and away[0]:
                away[0] -= 1
            if away[0] and int(event.json[5:-1]) >= 3:
                return UNAVAILABLE, "control is stopping"
            return None
        self.control.refuse = refuse
        publisher = self.publisher()
        pending = self.send(publisher, 10)
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(10)))
        self.assertEqual([each.exception() for each in pending], [None] * 10)
        self.assertEqual(publisher.stats()["refused"], 0)

    def test_a_control_that_takes_smaller_messages_gets_them(self):
        self.control.max_batch = 7
        self.control.hold = True
        publisher = self.publisher()
        publisher.publish("s", "c", "e", {"n": 0})
        self.control.wait_accepted(1)
        with publisher._stream._lock:  # so that all of them go at once
            threads = [threading.Thread(target=self.send, args=(publisher, 100, 1))]
            threads[0].start()
        threads[0].join()
        self.control.release()
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(101)))

    def test_a_refused_hello_is_tried_again_and_told(self):
        self.control.fail_hello = (grpc.StatusCode.UNAUTHENTICATED, "no token")
        publisher = self.publisher(token=lambda: "secret")
        with self.assertRaisesRegex(ReceiptTimeout, "UNAUTHENTICATED: no token"):
            publisher.publish("s", "c", "e", {"n": 0}).result(0.2)
        self.control.fail_hello = None
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), [0])

    def test_each_connection_asks_for_a_token_and_metadata(self):
        tokens = iter(["first", "second"])
        publisher = self.publisher(token=lambda: next(tokens), metadata={"x-tenant": "blue"})
        publisher.publish("s", "c", "e", {}).result(PATIENCE)
        self.control.cut()
        self.control.wait(lambda: len(self.control.metadata) == 2, "a second connection")
        self.assertEqual([(each["authorization"], each["x-tenant"])
                          for each in self.control.metadata],
                         [("Bearer first", "blue"), ("Bearer second", "blue")])

    def test_a_token_function_that_fails_is_an_error_of_the_connection(self):
        answers = [ValueError("vault is sealed"), "token"]

        def token():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        publisher = self.publisher(token=token)
        with self.assertLogs("fanwire.publisher", "WARNING") as logged:
            publisher.publish("s", "c", "e", {}).result(PATIENCE)
        self.assertIn("ValueError: vault is sealed", logged.output[0])


class Senders(unittest.TestCase):
    def test_the_end_of_an_old_sender_does_not_hide_that_a_new_one_waits(self):
        publisher = Publisher("127.0.0.1:1")
        stream = publisher._stream
        stream._started = True  # the test is the thread that connects
        sent = queue.Queue()

        def sender():
            connection = Connection()
            connection.welcomed, connection.credit = True, 10
            messages = stream._requests(connection)
            next(messages)
            thread = threading.Thread(target=lambda: sent.put(next(messages, None)), daemon=True)
            thread.start()
            while stream._sender_waits is not connection:
                os.sched_yield()
            return connection, thread
        old, old_thread = sender()
        old.over = True
        sender()
        with stream._lock:
            stream._work.notify_all()
        old_thread.join(PATIENCE)
        self.assertIsNone(sent.get(timeout=PATIENCE))
        publisher.publish("s", "c", "e")
        self.assertIsNotNone(sent.get(timeout=PATIENCE))


class Chaos(Case):
    def test_whatever_happens_each_event_is_accepted_once_and_in_order(self):
        for seed in range(6):
            with self.subTest(seed=seed):
                rng = random.Random(seed)
                publisher = self.publisher(max_pending=rng.choice([20, 200, 10_000]))
                self.control.accepted.clear()
                faults = [self.control.cut, self.control.go_away, self.break_soon(rng),
                          lambda: setattr(self.control, "shuffle", not self.control.shuffle),
                          lambda: self.control.set_credit(rng.choice([1, 7, 1000]))]
                pending = []
                for first in range(0, 1000, 50):
                    pending += self.send(publisher, 50, first)
                    rng.choice(faults)()
                publisher.flush(PATIENCE)
                self.assertEqual(self.numbers(), list(range(1000)))
                self.assertEqual([each.result(0).offset for each in pending],
                                 list(range(1, 1001)))
                publisher.close()

    def break_soon(self, rng):
        def fault():
            with self.control._lock:
                self.control.break_after = rng.randrange(1, 60)
        return fault


class Full(Case):
    def setUp(self):
        super().setUp()
        self.control.hold = True

    def test_block_waits_for_room(self):
        publisher = self.publisher(max_pending=10)
        self.send(publisher, 10)
        rest = threading.Thread(target=self.send, args=(publisher, 30, 10))
        rest.start()
        self.control.wait_accepted(5)  # half of the buffer may be on its way
        self.assertTrue(rest.is_alive())
        self.control.release()
        rest.join(PATIENCE)
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), list(range(40)))

    def test_block_ends_with_its_time(self):
        publisher = self.publisher(max_pending=3, block_timeout=0.05)
        self.send(publisher, 3)
        with self.assertRaisesRegex(BufferFull, "s c e: not taken, because the buffer is full with "
                                                "3 events"):
            self.send(publisher, 1)

    def test_raise_does_not_wait(self):
        publisher = self.publisher(max_pending=3, when_full="raise")
        self.send(publisher, 3)
        with self.assertRaises(BufferFull):
            self.send(publisher, 1)

    def test_bytes_are_bounded_too(self):
        publisher = self.publisher(max_pending_bytes=100_000, when_full="raise")
        with self.assertRaises(BufferFull):
            for _ in range(100):
                publisher.publish("s", "c", "e", {"text": "x" * 10_000})
        self.assertEqual(publisher.pending, 10)

    def test_drop_oldest_keeps_the_newest_and_counts(self):
        publisher = self.publisher(max_pending=10, when_full="drop_oldest")
        pending = self.send(publisher, 5)
        self.control.wait_accepted(5)
        called = []
        pending += self.send(publisher, 5, first=5)
        pending[5].add_done_callback(called.append)
        with self.assertLogs("fanwire.publisher", "WARNING") as logged:
            pending += self.send(publisher, 100, first=10)
        self.assertEqual(len(logged.output), 1)
        self.assertEqual(publisher.stats()["dropped"], 100)
        self.assertEqual(called, [pending[5]])
        with self.assertRaisesRegex(EventDropped, "s c e: dropped, because the buffer is full"):
            pending[5].result(0)
        self.control.release()
        publisher.flush(PATIENCE)
        self.assertEqual(self.numbers(), [*range(5), *range(105, 110)])

    def test_an_unknown_policy_is_refused(self):
        with self.assertRaisesRegex(ValueError, "block, raise, drop_oldest"):
            Publisher(when_full="drop")


class Closing(Case):
    def test_close_waits_for_the_receipts(self):
        with self.publisher() as publisher:
            self.send(publisher, 500)
        self.assertEqual(len(self.control.accepted), 500)
        with self.assertRaisesRegex(PublisherClosed, "the publisher is closed"):
            publisher.publish("s", "c", "e")
        publisher.close()
        self.assertFalse(publisher.connected)

    def test_close_without_control_says_what_is_lost(self):
        publisher = self.publisher(target="127.0.0.1:1")
        pending = self.send(publisher, 3)
        with self.assertRaisesRegex(ReceiptTimeout, "3 events without a receipt after 0.05 s; "
                                                    "not connected to 127.0.0.1:1: UNAVAILABLE"):
            publisher.close(0.05)
        with self.assertRaisesRegex(PublisherClosed, "closed before a receipt came"):
            pending[0].result()

    def test_leaving_a_block_by_an_error_does_not_hide_it(self):
        with self.assertRaises(ZeroDivisionError):
            with self.publisher(target="127.0.0.1:1", close_timeout=0.05) as publisher:
                self.send(publisher, 3)
                1 / 0

    def test_close_is_quick_while_control_is_away(self):
        publisher = self.publisher(target="127.0.0.1:1")
        with self.assertRaises(ReceiptTimeout):
            publisher.connect(0.05)
        started = time.monotonic()
        publisher.close()
        self.assertLess(time.monotonic() - started, 2)

    def test_a_publisher_that_never_published_closes(self):
        self.publisher().close()
        self.assertEqual(self.control.hellos, [])

    def test_a_blocked_publisher_ends(self):
        self.control.hold = True
        publisher = self.publisher(max_pending=2)
        self.send(publisher, 2)
        caught = []

        def send():
            try:
                self.send(publisher, 1)
            except PublisherClosed as error:
                caught.append(error)
        thread = threading.Thread(target=send)
        thread.start()
        with self.assertRaises(ReceiptTimeout):
            publisher.close(0.05)
        thread.join(PATIENCE)
        self.assertEqual(len(caught), 1)

    def test_events_of_a_program_that_just_ends_are_sent(self):
        program = ("import sys\n"
                   "from fanwire.publisher import Publisher\n"
                   "publisher = Publisher(sys.argv[1])\n"
                   "for n in range(100): publisher.publish('s', 'c', 'e', {'n': n})")
        subprocess.run([sys.executable, "-c", program, self.control.address], check=True)
        self.assertEqual(self.numbers(), list(range(100)))

    def test_a_forked_child_is_told_to_make_its_own(self):
        publisher = self.publisher()
        self.control.hold = True
        publisher.publish("s", "c", "e", {"n": 0})
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                publisher.publish("s", "c", "e")
            except BaseException as error:
                os.write(writer, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        text = os.read(reader, 1000).decode()
        os.close(reader)
        os.close(writer)
        self.assertIn("PublisherClosed: this process was forked", text)
        self.control.release()
        publisher.flush(PATIENCE)  # the parent's is not disturbed

    def test_a_publisher_of_a_forked_child_says_why_it_does_not_connect(self):
        self.publisher().publish("s", "c", "e", {"n": 0}).result(PATIENCE)
        other = self.publisher()
        self.assertEqual(other.state(), "not connected to : connecting")
        with mock.patch.object(target, "_inherited", False):
            target._after_fork()  # as in the child
            self.assertIn("connect after the fork only, or start processes by `spawn`",
                          other.state())


if __name__ == "__main__":
    unittest.main(verbosity=2)
