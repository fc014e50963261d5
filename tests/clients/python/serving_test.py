"""Serving requests, against a control that asks, cancels, refuses, goes away and is lost."""
import asyncio
import concurrent.futures
import json
import queue
import subprocess
import sys
import threading
import unittest
from unittest import mock

import grpc

from fake_control import PATIENCE
from fanwire import serving
from fanwire.handler_threads import HandlerThreads
from fanwire.publisher import AsyncPublisher, Publisher, RequestError


class FakeServing:
    """A control whose test asks the requests."""

    def __init__(self):
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.hellos = []
        self.answers = {}      # by request_id
        self.go_aways = []
        self.end_after_go_away = True
        self._streams = []
        self._ids = 0
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve, request_deserializer=serving.ServeRequestsRequest.FromString,
            response_serializer=serving.ServeRequestsResponse.SerializeToString)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "fanwire.v1.Publisher", {"ServeRequests": handler}),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self):
        with self._lock:
            for responses in self._streams:
                responses.put(None)
        self._server.stop(0).wait()

    def wait(self, condition, what):
        with self._lock:
            if not self._changed.wait_for(condition, PATIENCE):
                raise AssertionError(f"timed out waiting for {what}")

    def ask(self, name, data=b"{}", attempt=1):
        """Sends a request on the newest stream; returns its id."""
        response = serving.ServeRequestsResponse()
        request = response.requests.requests.add()
        with self._lock:
            self._ids += 1
            request.request_id = self._ids
            request.request, request.data, request.attempt = name, data, attempt
            request.remaining.FromSeconds(10)
            request.user_id = "ana"
            self._streams[-1].put(response)
            return self._ids

    def answer(self, request_id):
        self.wait(lambda: request_id in self.answers, "an answer")
        return self.answers[request_id]

    def asked(self, name, data=b"{}"):
        return self.answer(self.ask(name, data))

    def send(self, fill):
        response = serving.ServeRequestsResponse()
        fill(response)
        with self._lock:
            self._streams[-1].put(response)

    def cut(self):
        with self._lock:
            self._streams[-1].put(ConnectionError("cut"))

    def end(self):
        with self._lock:
            self._streams[-1].put(None)

    def _serve(self, requests, context):
        responses = queue.Queue()
        with self._lock:
            self._streams.append(responses)
        threading.Thread(target=self._read, args=(requests, responses), daemon=True).start()
        while True:
            response = responses.get()
            if response is None:
                return
            if isinstance(response, ConnectionError):
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            yield response

    def _read(self, requests, responses):
        try:
            for request in requests:
                kind = request.WhichOneof("message")
                with self._lock:
                    if kind == "hello":
                        self.hellos.append(request.hello)
                        welcome = serving.ServeRequestsResponse()
                        welcome.welcome.max_concurrent = 10
                        responses.put(welcome)
                    elif kind == "answers":
                        for answer in request.answers.answers:
                            assert answer.request_id not in self.answers, "answered twice"
                            self.answers[answer.request_id] = answer
                    else:
                        self.go_aways.append(request.go_away.reason)
                        if self.end_after_go_away:
                            responses.put(None)
                    self._changed.notify_all()
        except grpc.RpcError:
            pass


class Threads(unittest.TestCase):
    def setUp(self):
        self.control = FakeServing()
        self.addCleanup(self.control.stop)
        self.publisher = Publisher(self.control.address, backoff=(0.01, 0.05))
        self.addCleanup(self.publisher.close)

    def start(self):
        self.publisher.start_serving()
        responder = next(iter(self.publisher._responders.values()))
        self.assertTrue(responder.wait_serving(PATIENCE), responder.state())
        self.assertTrue(self.publisher.serving)

    def test_a_function_answers(self):
        asked = []

        @self.publisher.serve("fastblocks", "get_state", max_concurrent=7)
        def get_state(request):
            asked.append(request)
            return {"state_path": request.data["state_path"], "value": 2**64}
        self.start()
        answer = self.control.asked("get_state", b'{"state_path":"cart","n":1.50}')
        self.assertEqual(answer.json, b'{"state_path":"cart","value":18446744073709551616}')
        self.assertEqual((asked[0].name, asked[0].json, asked[0].user_id, asked[0].attempt,
                          asked[0].cancelled),
                         ("get_state", b'{"state_path":"cart","n":1.50}', "ana", 1, False))
        self.assertTrue(9 < asked[0].remaining <= 10)
        hello = self.control.hellos[0]
        self.assertEqual((hello.service, list(hello.requests), hello.max_concurrent),
                         ("fastblocks", ["get_state"], 7))
        self.assertRegex(hello.responder_id, r":\d+$")

    def test_all_kinds_of_answers(self):
        results = {"none": None, "dict": {"a": "ä"}, "text": '{"b" : 1}', "bytes": b'{"c" : 2}',
                   "list": [1], "error": RequestError("NOT_FOUND", "no such thing"),
                   "fault": ValueError("oh")}

        @self.publisher.serve("s", "*")
        def everything(request):
            if isinstance(results[request.name], Exception):
                raise results[request.name]
            return results[request.name]
        self.start()
        self.assertEqual(self.control.asked("none").json, b"{}")
        self.assertEqual(self.control.asked("dict").json.decode(), '{"a":"ä"}')
        self.assertEqual(self.control.asked("text").json, b'{"b" : 1}')
        self.assertEqual(self.control.asked("bytes").json, b'{"c" : 2}')
        error = self.control.asked("error").error
        self.assertEqual((error.code, error.message), (serving.CODES["NOT_FOUND"], "no such thing"))
        with self.assertLogs("fanwire.serving", "ERROR"):
            error = self.control.asked("fault").error
            self.assertEqual((error.code, error.message),
                             (serving.CODES["INTERNAL_ERROR"], "ValueError: oh"))
            self.assertIn("returned list", self.control.asked("list").error.message)

    def test_the_most_exact_function_is_asked(self):
        for name in ("get_*", "*", "get_state", "get_st*"):
            self.publisher.serve("s", name)(lambda request, name=name: {"by": name})
        self.start()
        self.assertEqual(list(self.control.hellos[0].requests), ["*", "get_*", "get_st*",
                                                                 "get_state"])
        for asked, by in (("get_state", "get_state"), ("get_stop", "get_st*"), ("get_a", "get_*"),
                          ("a", "*")):
            self.assertEqual(json.loads(self.control.asked(asked).json), {"by": by})

    def test_slow_functions_do_not_hold_up_others(self):
        go = threading.Event()
        self.addCleanup(go.set)

        @self.publisher.serve("s", "slow", "fast")
        def answer(request):
            if request.name == "slow":
                go.wait(PATIENCE)
            return {}
        self.start()
        slow = self.control.ask("slow")
        self.control.asked("fast")
        self.assertNotIn(slow, self.control.answers)
        go.set()
        self.control.answer(slow)

    def test_a_cancelled_request_knows_and_is_answered(self):
        begun, go, slow = threading.Event(), threading.Event(), []
        self.addCleanup(go.set)

        @self.publisher.serve("s", "slow")
        def answer(request):
            slow.append(request)
            begun.set()
            go.wait(PATIENCE)
            raise ValueError("the work was ended")  # is not logged, because nobody waits

        @self.publisher.serve("s", "look")
        def look(request):
            return {"cancelled": slow[0].cancelled}
        self.start()
        request_id = self.control.ask("slow")
        begun.wait(PATIENCE)
        self.assertEqual(self.control.asked("look").json, b'{"cancelled":false}')
        self.control.send(lambda response: response.cancel.request_ids.append(request_id))
        self.assertEqual(self.control.asked("look").json, b'{"cancelled":true}')
        with mock.patch.object(serving.log, "error") as logged:
            go.set()
            self.control.answer(request_id)
        logged.assert_not_called()

    def test_an_error_of_any_text_is_answered(self):
        class Unprintable(Exception):
            def __str__(self):
                raise ZeroDivisionError
        errors = {"no text": RequestError("NOT_FOUND", KeyError("x")),
                  "no utf-8": RequestError("NOT_FOUND", "\ud800"),
                  "nothing": RequestError("NOT_FOUND", None),
                  "unprintable": Unprintable(), "fault": ValueError("\ud800")}

        @self.publisher.serve("s", "*")
        def fail(request):
            raise errors[request.name]
        self.start()
        self.assertEqual(self.control.asked("no text").error.message, "'x'")
        self.assertEqual(self.control.asked("no utf-8").error.message, "?")
        self.assertEqual(self.control.asked("nothing").error.code, serving.CODES["NOT_FOUND"])
        with self.assertLogs("fanwire.serving", "ERROR"):
            self.assertEqual(self.control.asked("unprintable").error.message,
                             "Unprintable: (ZeroDivisionError in __str__)")
            self.assertEqual(self.control.asked("fault").error.message, "ValueError: ?")

    def test_what_is_cancelled_before_its_turn_is_not_run(self):
        go, run = threading.Event(), []
        self.addCleanup(go.set)

        @self.publisher.serve("s", "r")
        def answer(request):
            run.append(request.name)
            go.wait(PATIENCE)
            return {}
        self.start()
        busy = HandlerThreads()._most
        asked = [self.control.ask("r") for _ in range(busy + 3)]
        cancelled = threading.Event()
        responder = next(iter(self.publisher._responders.values()))
        take = responder._take

        def taken(connection, response):
            take(connection, response)
            if response.WhichOneof("message") == "cancel":
                cancelled.set()
        with mock.patch.object(responder, "_take", taken):
            self.control.send(lambda response: response.cancel.request_ids.extend(asked[busy:]))
            self.assertTrue(cancelled.wait(PATIENCE))
        go.set()
        for request_id in asked:
            self.control.answer(request_id)
        self.assertEqual(len(run), busy)

    def test_a_function_that_never_returns_does_not_keep_the_program_from_ending(self):
        program = ("import sys, threading\n"
                   "from fanwire.publisher import Publisher\n"
                   "begun = threading.Event()\n"
                   "with Publisher(sys.argv[1], close_timeout=0.05) as publisher:\n"
                   "    @publisher.serve('s', 'r')\n"
                   "    def answer(request):\n"
                   "        begun.set()\n"
                   "        threading.Event().wait()\n"
                   "    begun.wait()\n")
        with subprocess.Popen([sys.executable, "-c", program, self.control.address]) as running:
            try:
                self.control.wait(lambda: self.control.hellos, "hello")
                self.control.ask("r")
                self.assertEqual(running.wait(PATIENCE), 0)
            finally:
                running.kill()

    def test_a_lost_connection_is_made_again_and_its_answers_are_forgotten(self):
        begun, go = threading.Event(), threading.Event()

        @self.publisher.serve("s", "r")
        def answer(request):
            if request.attempt == 1:
                begun.set()
                go.wait(PATIENCE)
            return {"attempt": request.attempt}
        self.start()
        lost = self.control.ask("r")
        begun.wait(PATIENCE)
        with self.assertLogs("fanwire.serving", "WARNING") as logged:
            self.control.cut()
            self.control.wait(lambda: len(self.control.hellos) == 2, "a second hello")
        self.assertIn("UNAVAILABLE: cut", logged.output[0])
        again = self.control.ask("r", attempt=2)
        self.assertEqual(json.loads(self.control.answer(again).json), {"attempt": 2})
        go.set()
        self.control.asked("r", b"{}")
        self.assertNotIn(lost, self.control.answers)

    def test_go_away_of_control(self):
        self.publisher.serve("s", "r")(lambda request: {})
        self.start()

        def fill(response):
            response.go_away.reason = "stopping"
        self.control.send(fill)
        self.control.end()
        self.control.wait(lambda: len(self.control.hellos) == 2, "a second hello")
        self.control.asked("r")

    def test_more_names_later(self):
        self.publisher.serve("s", "one")(lambda request: {})
        self.start()
        self.publisher.serve("s", "two")(lambda request: {"two": 2})
        self.control.wait(lambda: len(self.control.hellos) == 2, "a second hello")
        self.assertEqual(list(self.control.hellos[1].requests), ["one", "two"])
        self.assertEqual(self.control.go_aways, ["it serves more names now"])
        self.assertEqual(json.loads(self.control.asked("two").json), {"two": 2})

    def test_close_answers_what_it_has(self):
        begun, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        @self.publisher.serve("s", "r")
        def answer(request):
            begun.set()
            go.wait(PATIENCE)
            return {"done": True}
        self.start()
        self.control.end_after_go_away = False
        request_id = self.control.ask("r")
        begun.wait(PATIENCE)
        closes = threading.Thread(target=self.publisher.close)
        closes.start()
        self.control.wait(lambda: self.control.go_aways, "go_away")
        self.assertEqual(self.control.go_aways, ["the service stops"])
        go.set()
        self.assertEqual(self.control.answer(request_id).json, b'{"done":true}')
        self.control.end()
        closes.join(PATIENCE)
        self.assertFalse(closes.is_alive() or self.publisher.serving)

    def test_refused_answers_are_logged(self):
        self.publisher.serve("s", "r")(lambda request: {})
        self.start()

        def fill(response):
            response.refused.request_id = 5
            response.refused.status.message = "too long"
        with self.assertLogs("fanwire.serving", "WARNING") as logged:
            self.control.send(fill)
            self.control.asked("r")
        self.assertIn("refused the answer to request 5: too long", logged.output[0])

    def test_wrong_use(self):
        with self.assertRaisesRegex(TypeError, "the names of requests"):
            self.publisher.serve("s")
        with self.assertRaisesRegex(TypeError, "the names of requests"):
            self.publisher.serve("s", lambda request: {})
        with self.assertRaisesRegex(ValueError, "NOT_FOUND, INVALID_REQUEST"):
            RequestError("OTHER")
        self.publisher.serve("s", "r")(lambda request: {})
        with self.assertRaisesRegex(ValueError, "s r: it has a handler already"):
            self.publisher.serve("s", "r")(lambda request: {})

        async def later(request):
            pass
        with self.assertRaisesRegex(TypeError, "AsyncPublisher"):
            self.publisher.serve("s", "r2")(later)


class Asyncio(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.control = FakeServing()
        self.addCleanup(self.control.stop)

    async def in_thread(self, function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def asked(self, *arguments):
        return await self.in_thread(self.control.asked, *arguments)

    async def test_coroutines_and_functions_answer_in_the_loop(self):
        publisher = AsyncPublisher(self.control.address)  # functions are known before the loop is

        @publisher.serve("s", "later")
        async def later(request):
            await asyncio.sleep(0)
            return {"loop": asyncio.get_running_loop() is loop}

        @publisher.serve("s", "now")
        def now(request):
            return {"loop": asyncio.get_running_loop() is loop}

        @publisher.serve("s", "fails")
        async def fails(request):
            raise RequestError("FORBIDDEN", "not you")
        loop = asyncio.get_running_loop()
        async with publisher:
            await self.in_thread(publisher._responders["s"].wait_serving, PATIENCE)
            self.assertEqual((await self.asked("later")).json, b'{"loop":true}')
            self.assertEqual((await self.asked("now")).json, b'{"loop":true}')
            self.assertEqual((await self.asked("fails")).error.message, "not you")
        self.assertEqual(self.control.go_aways, ["the service stops"])

    async def test_requests_are_carried_out_at_once(self):
        publisher = AsyncPublisher(self.control.address)
        go = asyncio.Event()

        @publisher.serve("s", "r")
        async def wait(request):
            if request.data.get("wait"):
                await go.wait()
            else:
                go.set()
            return {}
        async with publisher:
            await self.in_thread(publisher._responders["s"].wait_serving, PATIENCE)
            waits = self.control.ask("r", b'{"wait":true}')
            await self.asked("r")
            await self.in_thread(self.control.answer, waits)

    async def test_a_task_that_is_cancelled_leaves_the_request_to_another_process(self):
        publisher = AsyncPublisher(self.control.address)
        begun = asyncio.Event()

        @publisher.serve("s", "r")
        async def wait(request):
            begun.set()
            await asyncio.Event().wait()
        async with publisher:
            await self.in_thread(publisher._responders["s"].wait_serving, PATIENCE)
            waits = self.control.ask("r")
            await begun.wait()
            for task in publisher._tasks:
                task.cancel()
            error = (await self.in_thread(self.control.answer, waits)).error
            self.assertEqual((error.code, error.message),
                             (serving.CODES["UNAVAILABLE"], "the service stops"))

    async def test_serve_forever(self):
        publisher = AsyncPublisher(self.control.address)
        publisher.serve("s", "r")(lambda request: {})
        serves = asyncio.ensure_future(publisher.serve_forever())
        await asyncio.sleep(0)
        await self.in_thread(publisher._responders["s"].wait_serving, PATIENCE)
        await self.asked("r")
        serves.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await serves
        await publisher.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
