"""Publishing from where the library calls the program: signals, __del__, the log, callbacks."""
import asyncio
import subprocess
import sys
import threading
import time
import unittest

from fake_control import PATIENCE, FakeControl
from fanwire.publisher import AsyncPublisher, BufferFull, Publisher, ReceiptTimeout

# A call that interrupts publish() at its innermost point, as a signal handler may.
INTERRUPTS = """
import os, sys, time
from fanwire import buffer
from fanwire.publisher import BufferFull, Publisher

item, handlers = buffer.encoding.item, []

def interrupted(*arguments):
    if handlers:
        handlers.pop()()
    return item(*arguments)

buffer.encoding.item = interrupted
publisher = Publisher(sys.argv[1], backoff=(0.01, 0.05))

def publish(n):
    return publisher.publish("s", "c", "e", {"n": n})

"""

LOG_HANDLER = """
import logging, os, sys
from fanwire.publisher import Publisher

class Handler(logging.Handler):
    count = 0
    def emit(self, record):
        Handler.count += 1
        publisher.publish("s", "c", "log", {"text": record.getMessage()})

publisher = Publisher(sys.argv[1], max_pending=10, when_full="drop_oldest", backoff=(0.01, 0.05))
logging.getLogger("fanwire").addHandler(Handler())
logging.getLogger("fanwire").setLevel(logging.INFO)
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.control = FakeControl()
        self.addCleanup(self.control.stop)

    def run_program(self, program):
        """A program of its own, because a deadlock would also stop the test."""
        subprocess.run([sys.executable, "-c", program, self.control.address], check=True,
                       timeout=PATIENCE)

    def numbers(self):
        return [int(event.json[5:-1]) for event in self.control.accepted]


class Interrupts(Case):
    def test_a_signal_handler_publishes_while_its_thread_publishes(self):
        self.run_program(INTERRUPTS + """
late = []
handlers.append(lambda: late.append(publish(2)))
publish(1)
publisher.flush(10)
assert late[0].done() and late[0].result(0).offset == 2, late
handlers.append(lambda: late.append(publish(4)))
publish(3)
publisher.close(10)
assert late[1].result(0).offset == 4, late
""")
        self.assertEqual(self.numbers(), [1, 2, 3, 4])

    def test_an_interrupted_publish_does_not_confuse_the_buffer(self):
        self.run_program(INTERRUPTS + """
import collections

class Interrupted(collections.deque):
    def append(self, item):
        super().append(item)
        if interrupts:
            raise interrupts.pop()

interrupts = [KeyboardInterrupt]
publisher._stream._unsent = Interrupted()
try:
    publish(0)
    raise AssertionError("not interrupted")
except KeyboardInterrupt:
    pass
publish(1)
publisher.close(10)
""")
        self.assertEqual(self.numbers(), [0, 1])
        self.assertEqual(self.control.violations, [])

    def test_what_a_signal_handler_publishes_may_find_the_buffer_full(self):
        self.run_program(INTERRUPTS + """
publisher = Publisher("127.0.0.1:1", max_pending=1, when_full="raise")
late = []
handlers.append(lambda: late.append(publish(2)))
publish(1)
assert isinstance(late[0].exception(10), BufferFull), late
os._exit(0)  # without waiting for receipts
""")

    def test_close_in_a_signal_handler_ends(self):
        self.run_program(INTERRUPTS + """
publish(1).result(10)
handlers.append(lambda: publisher.close(10))
started = time.monotonic()
publish(2)
assert time.monotonic() - started < 5  # it does not wait for a thread that waits for it
""")
        self.assertEqual(self.numbers()[0], 1)


class LogHandlers(Case):
    def test_a_handler_of_the_log_publishes(self):
        self.run_program(LOG_HANDLER + """
publisher.publish("s", "c", "e")
publisher.flush(10)
publisher.close(10)
""")
        texts = [event.json.decode() for event in self.control.accepted if event.event == "log"]
        self.assertIn("0 events to send again", texts[0])

    def test_a_handler_that_tells_of_dropped_events_by_an_event_is_not_told_of_that(self):
        self.run_program(LOG_HANDLER + """
publisher._target._target = "127.0.0.1:1"
for n in range(100):
    publisher.publish("s", "c", "e")
assert Handler.count < 10, Handler.count
os._exit(0)
""")

    def test_a_handler_that_raises_does_not_end_the_connection(self):
        self.run_program(LOG_HANDLER + """
Handler.emit = lambda self, record: 1 / 0
publisher.publish("s", "c", "e").result(10)
""")


class Callbacks(Case):
    def setUp(self):
        super().setUp()
        self.publisher = Publisher(self.control.address, max_pending=2, backoff=(0.01, 0.05))
        self.addCleanup(self.end)
        self.control.hold = True

    def end(self):
        try:
            self.publisher.close(0)
        except ReceiptTimeout:
            pass

    def call_back(self, function):
        """Runs the function as a callback of an event while another has no receipt."""
        found, called = [], threading.Event()

        def run(_):
            try:
                found.append(function())
            except Exception as error:
                found.append(error)
            called.set()
        first = self.publisher.publish("s", "c", "e", {"n": 1})
        self.control.wait_accepted(1)
        first.add_done_callback(run)
        self.control.release()
        self.assertTrue(called.wait(PATIENCE))
        return found[0]

    def fill(self):
        self.control.hold = True
        for n in (2, 3):
            self.publisher.publish("s", "c", "e", {"n": n})

    def test_a_full_buffer_does_not_stop_the_thread_that_empties_it(self):
        def publish():
            self.fill()
            return self.publisher.publish("s", "c", "e", {"n": 4})
        self.assertIsInstance(self.call_back(publish), BufferFull)

    def test_waiting_for_another_event_is_an_error_at_once(self):
        def wait():
            self.fill()
            return self.publisher.flush()
        error = self.call_back(wait)
        self.assertIsInstance(error, ReceiptTimeout)
        self.assertIn("2 events without a receipt in a callback, which cannot wait", str(error))

    def test_closing_ends_at_once(self):
        def close():
            self.fill()
            return self.publisher.close()
        self.assertIsInstance(self.call_back(close), ReceiptTimeout)


class Tasks(unittest.IsolatedAsyncioTestCase):
    async def test_the_time_of_many_waiting_tasks_does_not_grow_with_their_square(self):
        publisher = AsyncPublisher("127.0.0.1:1")
        loop, spent = asyncio.get_running_loop(), []
        loop.set_debug(False)  # takes much longer for each
        for count in (2_000, 20_000):
            futures = [publisher._stream.watch(lambda: False, loop) for _ in range(count)]
            started = time.process_time()
            for future in futures:
                future.cancel()
            await asyncio.sleep(0)
            spent.append(time.process_time() - started)
        self.assertFalse(publisher._stream._tasks)
        self.assertLess(spent[1], 50 * spent[0])  # ten times as many; their square: 100 times


if __name__ == "__main__":
    unittest.main(verbosity=2)
