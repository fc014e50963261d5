"""Requests that a service answers itself: over control's gRPC stream, to clients of any worker."""
import asyncio
import collections
import json
import os
import signal
import subprocess
import sys
import urllib.request

import grpc
from fanwire.v1 import publish_pb2

from harness import Case, Responder, eventually, main, service, small_config, token
from harness.server import PATIENCE
from harness.token import SECRET

ECHO = "get_echo"


def config(workers=2):
    return small_config(service(
        keys=[{"secret": SECRET}], admin_permissions=["mahavishnu:admin"],
        served_requests=[{"request": "get_echo", "any_of": ["echo:read"]},
                         {"request": "get_slow", "timeout": "300ms"},
                         {"request": "job_*"}],
        status_requests=[{"request": "get_pool", "argument": "pool_id", "kind": "",
                          "any_of": ["pool:read"]}]),
        workers=workers,
        worker={"drain_window": "100ms", "drain_deadline": "5s"})


class ServedRequests(Case):
    @classmethod
    def config(cls):
        return config()

    def responder(self, *names, **options):
        responder = Responder(self.server.address, *names, **options)
        self.addCleanup(responder.close)
        return responder

    @staticmethod
    async def take(source):
        """The next of a queue."""
        return await asyncio.to_thread(source.get, timeout=PATIENCE)

    async def asked(self, client, name, data=None):
        """Sends a request without waiting for its answer."""
        await client.send({"type": "request", "id": "q", "event": name, "data": data or {}})

    async def assert_error(self, client, code, name, data=None):
        reply = await client.request(name, data)
        self.assertEqual((reply["type"], reply["error_code"]), ("error", code), reply)
        return reply["error_message"]

    # ------------------------------------------------------------------------- answers

    async def test_the_service_answers_byte_for_byte(self):
        responder = self.responder(ECHO, answer=lambda request: request.data)
        client = await self.connect()
        data = '{"n":123456789012345678901234567890,"m":18446744073709551616,"f":1.50,"e":1e400}'
        await client.send('{"type":"request","id":"d1","event":"get_echo","data":%s}' % data)
        text = await client.recv_text()
        self.assertIn(f'"data":{data}', text)
        frame = json.loads(text)
        self.assertEqual((frame["type"], frame["event"], frame["correlation_id"]),
                         ("response", ECHO, "d1"))
        request = await self.take(responder.requests)
        self.assertEqual(request.data.decode(), data)
        self.assertEqual(request.connection_id, client.connection_id)
        self.assertEqual((request.user_id, list(request.permissions), request.attempt), ("", [], 1))
        self.assertTrue(5 < request.remaining.ToSeconds() <= 10)

    async def test_an_answer_may_have_numbers_of_any_size(self):
        data = '{"a": 1e400, "b": -0, "c": 0.1000000000000000000001}'
        self.responder(ECHO, answer=lambda request: data.encode())
        client = await self.connect()
        await client.send({"type": "request", "event": ECHO})
        self.assertIn(f'"data":{data}', await client.recv_text())

    async def test_errors_reach_the_client(self):
        answers = {"job_1": ("NOT_FOUND", "no job 1"), "job_2": ("INVALID_REQUEST", "which?"),
                   "job_3": ("FORBIDDEN", "not yours"), "job_4": ("UNAVAILABLE", "later")}
        responder = self.responder(
            "job_*", answer=lambda request: answers.get(request.request, b"[1]"))
        client = await self.connect()
        for name, (code, message) in answers.items():
            self.assertEqual(await self.assert_error(client, code, name), message)
        self.assertEqual(await self.assert_error(client, "INTERNAL_ERROR", "job_5"),
                         "Internal server error")
        refused = await self.take(responder.refused)
        self.assertEqual(refused.status.code, 3)
        self.assertIn("data: ", refused.status.message)

    async def test_who_answers(self):
        client = await self.connect()
        self.assertIn("no process that answers it is connected",
                      await self.assert_error(client, "UNAVAILABLE", ECHO))
        await self.assert_error(client, "UNKNOWN_REQUEST", "run_it")
        reply = await client.request("get_pool", {"pool_id": "p"})
        self.assertEqual(reply["data"], {"pool_id": "p", "status": "not_found"})
        responder = self.responder("run_*", "get_pool", answer=lambda request: b'{"own":true}')

        async def data(name):
            return (await client.request(name, {"pool_id": "p"}))["data"]
        for name in ("run_it", "get_pool"):
            while await data(name) != {"own": True}:  # until the worker has heard of it
                await asyncio.sleep(0.01)
        responder.close()
        while (await data("get_pool")) != {"pool_id": "p", "status": "not_found"}:
            await asyncio.sleep(0.01)
        while (await client.request("run_it"))["error_code"] != "UNKNOWN_REQUEST":
            await asyncio.sleep(0.01)

    async def test_who_may_ask(self):
        seen = collections.deque()

        def answer(request):
            seen.append((request.user_id, list(request.permissions)))
            return b"{}"
        self.responder(ECHO, "job_*", "run_it", "get_pool", answer=answer)
        anyone = await self.connect()
        while (await anyone.request("run_it"))["type"] == "error":
            await asyncio.sleep(0.01)
        for name, permission in [(ECHO, "echo:read"), ("job_1", None), ("run_it", None),
                                 ("get_pool", "pool:read")]:
            for permissions in ([], ["other:read"], ["mahavishnu:admin"], [permission]):
                if None in permissions:
                    continue
                with self.subTest(request=name, permissions=permissions):
                    allowed = bool({"mahavishnu:admin", permission} & set(permissions))
                    client = await self.connect(path=f"/?token={token('u1', permissions)}")
                    seen.clear()
                    reply = await client.request(name)
                    self.assertEqual(reply["type"], "response" if allowed else "error", reply)
                    self.assertEqual(list(seen), [("u1", permissions)] if allowed else [])
                    if not allowed:
                        self.assertEqual(reply["error_code"], "FORBIDDEN")
                        self.assertEqual(reply["error_message"],
                                         f"Not authorized to request {name}")
                    await client.close()

    async def test_what_cannot_be_served(self):
        for names, part in [(["history"], "Fanwire itself"), (["a*b"], "requests[0]"),
                            ([], "empty")]:
            with self.assertRaises(AssertionError) as caught:
                self.responder(*names)
            self.assertIn("INVALID_ARGUMENT", str(caught.exception))
            self.assertIn(part, str(caught.exception))
        with self.assertRaises(AssertionError) as caught:
            self.responder("x", service="nobody")
        self.assertIn("NOT_FOUND", str(caught.exception))
        # A pattern for everything leaves Fanwire its own.
        self.responder("*", answer=lambda request: b'{"own":true}')
        client = await self.connect()
        while (await client.request("whatever"))["type"] == "error":
            await asyncio.sleep(0.01)
        self.assertIn("events", (await client.request("history", {"channel": "a"}))["data"])
        await client.subscribe("a")

    # ------------------------------------------------------------------------- spreading

    async def test_the_load_is_spread_and_every_answer_reaches_who_asked(self):
        by = collections.Counter()

        def serve(name):
            def answer(request):
                by[name] += 1
                return request.data
            return answer
        for name in ("one", "two"):
            self.responder(ECHO, answer=serve(name), max_concurrent=4)
        clients = [await self.connect() for _ in range(10)]

        async def ask(number, client):
            for n in range(20):
                data = {"client": number, "n": n}
                self.assertEqual((await client.request(ECHO, data))["data"], data)
        await asyncio.gather(*(ask(*one) for one in enumerate(clients)))
        self.assertEqual(sum(by.values()), 200)
        self.assertTrue(all(count >= 50 for count in by.values()), by)

    async def test_at_most_max_concurrent_are_without_an_answer(self):
        responder = self.responder("job_*", max_concurrent=2)
        self.assertEqual(responder.welcome.max_concurrent, 2)
        client = await self.connect()
        for n in range(5):
            await self.asked(client, f"job_{n}")
        taken = [await self.take(responder.requests) for _ in range(2)]
        self.assertEqual([request.request for request in taken], ["job_0", "job_1"])
        self.assertTrue(responder.requests.empty())
        responder.answer(taken[1].request_id, b'{"n":1}')
        self.assertEqual((await client.recv())["data"], {"n": 1})
        self.assertEqual((await self.take(responder.requests)).request, "job_2")

    async def test_a_killed_process_is_replaced(self):
        killed = subprocess.Popen(
            [sys.executable, "-c", "from harness.responder import main; main()",
             self.server.address, "mahavishnu", ECHO], stdout=subprocess.PIPE)
        self.addCleanup(killed.stdout.close)
        self.addCleanup(killed.wait)
        self.addCleanup(killed.kill)
        client = await self.connect()
        await eventually(lambda: self.metric("responders") == 1, "the process")
        await self.asked(client, ECHO)
        self.assertEqual(await asyncio.to_thread(killed.stdout.readline), b"get_echo\n")
        other = self.responder(ECHO)
        killed.send_signal(signal.SIGKILL)
        request = await self.take(other.requests)
        self.assertEqual(request.attempt, 2)
        other.answer(request.request_id, b'{"by":"other"}')
        self.assertEqual((await client.recv())["data"], {"by": "other"})

    async def test_when_the_only_process_dies_the_client_hears_it_at_once(self):
        responder = self.responder(ECHO)
        client = await self.connect()
        await self.asked(client, ECHO)
        await self.take(responder.requests)
        responder.close()
        reply = await client.recv()
        self.assertEqual((reply["error_code"], reply["correlation_id"]), ("UNAVAILABLE", "q"))

    async def test_a_process_that_leaves_finishes_what_it_has(self):
        leaving = self.responder(ECHO)
        client = await self.connect()
        await self.asked(client, ECHO)
        request = await self.take(leaving.requests)
        leaving.leave()
        self.responder(ECHO, answer=lambda request: b'{"by":"other"}')
        for _ in range(4):
            self.assertEqual((await client.request(ECHO))["data"], {"by": "other"})
        self.assertFalse(leaving.ended.is_set())
        leaving.answer(request.request_id, b'{"by":"leaving"}')
        self.assertEqual((await client.recv())["data"], {"by": "leaving"})
        self.assertTrue(await asyncio.to_thread(leaving.ended.wait, PATIENCE))
        self.assertEqual(leaving.code, grpc.StatusCode.OK)

    # ------------------------------------------------------------------------- time

    async def test_a_late_answer_is_dropped(self):
        responder = self.responder("get_slow")
        client = await self.connect()
        self.assertEqual(await self.assert_error(client, "UNAVAILABLE", "get_slow"),
                         "the service did not answer in time: try again")
        request = await self.take(responder.requests)
        self.assertEqual(await self.take(responder.cancelled), request.request_id)
        responder.answer(request.request_id, b'{"late":true}')
        responder.answer(request.request_id, b'{"again":true}')
        responder.answer(12345, b'{"what":true}')
        self.assertEqual(await client.until_quiet(), [])
        await eventually(lambda: self.metric("served_ignored_answers_total") >= 2, "both")

    async def test_a_client_that_leaves_cancels(self):
        responder = self.responder(ECHO)
        client = await self.connect()
        await self.asked(client, ECHO)
        request = await self.take(responder.requests)
        await client.close()
        self.assertEqual(await self.take(responder.cancelled), request.request_id)

    # ------------------------------------------------------------------------- operators

    def metric(self, name, **labels):
        address = self.server.config["control"]["ops_listen"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        wanted = [f'{key}="{value}"' for key, value in {"service": "mahavishnu", **labels}.items()]
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith(f"fanwire_control_{name}{{")
                   and all(label in line for label in wanted))

    async def test_metrics(self):
        before = self.metric("served_requests_total", result="answered")
        await eventually(lambda: self.metric("responders") == 0, "none left")
        self.responder(ECHO, answer=lambda request: b"{}")
        client = await self.connect()
        for _ in range(3):
            await client.request(ECHO)
        self.assertEqual(self.metric("responders"), 1)
        self.assertEqual(self.metric("served_requests_total", result="answered") - before, 3)
        self.assertEqual(self.metric("served_open"), 0)


class Restarts(Case):
    @classmethod
    def config(cls):
        return config(workers=1)

    async def hanging(self):
        """A client whose request a responder has and does not answer."""
        responder = Responder(self.server.address, ECHO)
        self.addCleanup(responder.close)
        client = await self.connect()
        await client.send({"type": "request", "id": "lost", "event": ECHO, "data": {}})
        await asyncio.to_thread(responder.requests.get, timeout=PATIENCE)
        return client, responder

    async def assert_unavailable(self, client):
        reply = await client.recv()
        self.assertEqual((reply["type"], reply["error_code"], reply["correlation_id"]),
                         ("error", "UNAVAILABLE", "lost"), reply)

    async def test_control_is_killed_meanwhile(self):
        client, responder = await self.hanging()
        self.server.kill()
        await self.assert_unavailable(client)
        await asyncio.to_thread(self.server.start)
        self.assertTrue(responder.ended.is_set())
        again = Responder(self.server.address, ECHO, answer=lambda request: b'{"again":true}')
        self.addCleanup(again.close)
        self.assertEqual((await client.request(ECHO))["data"], {"again": True})

    async def test_the_worker_stops_meanwhile(self):
        client, responder = await self.hanging()
        worker = self.server.workers()[0]
        os.kill(worker.pid, signal.SIGTERM)
        await self.assert_unavailable(client)
        await client.event("server.draining")
        self.assertEqual((await client.closed())[0], 1012)
        await asyncio.to_thread(responder.cancelled.get, timeout=PATIENCE)
        await eventually(lambda: [one for one in self.server.ready_workers()
                                  if one.pid != worker.pid], "a new worker")

    async def test_the_worker_is_killed_meanwhile(self):
        client, responder = await self.hanging()
        worker = self.server.workers()[0]
        self.server.kill(worker.pid)
        self.assertEqual((await client.closed())[0], 1006)
        await asyncio.to_thread(responder.cancelled.get, timeout=PATIENCE)
        await eventually(lambda: [one for one in self.server.ready_workers()
                                  if one.pid != worker.pid], "a new worker")

    async def test_control_stops_in_order(self):
        client, responder = await self.hanging()
        idle = Responder(self.server.address, ECHO)
        self.addCleanup(idle.close)
        stopping = asyncio.create_task(asyncio.to_thread(self.server.terminate))
        self.assertTrue(await asyncio.to_thread(responder.go_away.wait, PATIENCE))
        self.assertTrue(await asyncio.to_thread(idle.ended.wait, PATIENCE))
        self.assertEqual(idle.code, grpc.StatusCode.OK)
        await self.assert_unavailable(client)
        self.assertEqual(await stopping, 0)
        await asyncio.to_thread(self.server.start)


if __name__ == "__main__":
    main()
