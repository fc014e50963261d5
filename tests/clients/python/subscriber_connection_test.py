"""How the subscriber connects and ends: delays, tokens, close codes; and requests."""
import asyncio
import datetime
import random
import unittest
from unittest import mock

from fake_worker import URL, Case, settle
from fanwire.subscriber import (
    Client,
    ConnectionLost,
    Disconnected,
    Member,
    Position,
    Published,
    RequestFailed,
    RequestTimeout,
    TokenRefused,
)

def longest(low, high):
    return high


class Connecting(Case):
    def times(self):
        return [time for time, _ in self.worker.opened]

    async def test_the_states(self):
        states, awaited = [], []

        async def on_state(state):
            awaited.append(state)
        client = Client(URL, on_state=states.append)
        self.assertEqual(client.state, "disconnected")
        async with client:
            await client.connect()
            self.assertEqual((client.state, client.welcome["connection_id"], client.describe()),
                             ("connected", "c1", f"connected to {URL}"))
            self.worker.socket.close_with(1006, "cut")
            await settle()
            self.assertEqual(str(client.error), "closed with 1006: cut")
            self.assertEqual(client.describe(),
                             f"not connected to {URL}: closed with 1006: cut")
            await client.connect()
        self.assertEqual(states, ["connecting", "connected", "connecting", "connected",
                                  "disconnected"])
        self.assertEqual(client.state, "disconnected")
        async with Client(URL, on_state=on_state) as client:
            await client.connect()
            await settle()
        self.assertEqual(awaited, ["connecting", "connected", "disconnected"])

    async def test_the_bound_of_the_delay_doubles_up_to_the_longest(self):
        self.worker.fail_open.extend([OSError("refused")] * 8)
        with mock.patch.object(random, "uniform", side_effect=longest) as uniform:
            async with Client(URL, min_reconnect_delay=0.5, max_reconnect_delay=20) as client:
                with self.assertLogs("fanwire.subscriber", "WARNING") as logs:
                    await client.connect(200)
        self.assertEqual([call.args for call in uniform.call_args_list],
                         [(0, bound) for bound in (0.5, 1, 2, 4, 8, 16, 20, 20)])
        times = self.times()
        self.assertIsNone(logs.records[0].exc_info)
        self.assertEqual([round(b - a, 6) for a, b in zip(times, times[1:])],
                         [0.5, 1, 2, 4, 8, 16, 20, 20])

    async def test_a_connection_that_lasted_begins_the_delays_anew(self):
        with mock.patch.object(random, "uniform", side_effect=longest) as uniform:
            async with Client(URL) as client:
                for lasts in (0, 0, 5, 0):
                    await client.connect(100)
                    await asyncio.sleep(lasts)
                    self.worker.socket.close_with(1006)
                    await settle()
                await client.connect(100)
        self.assertEqual([call.args[1] for call in uniform.call_args_list], [0.5, 1, 0.5, 1])

    async def test_a_drained_worker_says_when_to_connect_again(self):
        with mock.patch.object(random, "uniform", side_effect=longest) as uniform:
            async with Client(URL) as client:
                await client.connect()
                self.worker.socket.event("server.draining", {
                    "reconnect_after_ms": [100, 4000], "reason": "restart"})
                await asyncio.sleep(3)
                self.assertEqual(client.state, "connected")
                self.worker.fail_open.append(OSError("refused"))
                self.worker.socket.close_with(1012, "restart")
                await settle()
                await client.connect(20)
                self.worker.socket.close_with(1006)
                await settle()
                await client.connect(20)
        self.assertEqual([call.args for call in uniform.call_args_list],
                         [(0.1, 4.0), (0, 0.5), (0, 1.0)])

    async def test_close_codes(self):
        for code in (1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013, 4000, 4003, 4004, 4499, 5000):
            async with Client(URL) as client:
                await client.connect()
                self.worker.socket.close_with(code)
                await settle()
                self.assertEqual(client.state, "connecting", code)
                await client.connect()
        for code in (1002, 1007, 4001, 4500, 4999):
            async with Client(URL) as client:
                subscription = client.subscribe("a:1")
                await subscription.ready()
                self.worker.publish("a:1", code)
                self.worker.socket.close_with(code, "a reason")
                await asyncio.sleep(100)
                self.assertEqual(client.state, "disconnected")
                self.assertEqual((await subscription.__anext__()).data, {"n": code})
                for awaitable in (subscription.__anext__(), subscription.ready(),
                                  client.connect(), client.request("echo")):
                    with self.assertRaises(Disconnected) as caught:
                        await awaitable
                    self.assertEqual((caught.exception.code, str(caught.exception)),
                                     (code, f"a reason ({code})"))
                with self.assertRaises(Disconnected):
                    client.subscribe("a:2")

    async def test_a_server_that_is_full_closes_before_the_welcome(self):
        self.worker.silent = True
        async with Client(URL) as client:
            await settle()
            self.worker.socket.close_with(1013, "Server at maximum capacity")
            await settle()
            self.assertIn("1013: Server at maximum capacity", client.describe())
            self.worker.silent = False
            await client.connect()

    async def test_without_a_welcome_it_connects_again_and_says_what_may_be_missing(self):
        self.worker.silent = True
        async with Client(URL, timeout=5) as client:
            with self.assertRaisesRegex(RequestTimeout, "get_token"):
                await client.connect(60)
            self.assertTrue(all(socket.closed_by_client for socket in self.worker.sockets[:-1]))

    async def test_a_message_that_is_none_ends_the_connection_and_not_the_client(self):
        async with Client(URL) as client:
            for text in ("no json", "[]", '{"type":"event","event":"channel.skipped"}'):
                await client.connect()
                self.worker.socket._inbox.append(text)
                self.worker.socket._arrived.set()
                await settle()
                self.assertIn("a message of the server", client.describe())
            await client.connect()

    async def test_close_ends_everything(self):
        cancelled = []

        async def handler(publication):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(publication.data["n"])
                raise
        client = Client(URL)
        subscription = client.subscribe("a:1")
        await client.subscribe("b:1", handler).ready()
        self.worker.publish("b:1", 1, 2)
        self.worker.publish("a:1", 1, 2)
        await settle()
        iterating = asyncio.ensure_future(self.iterate(subscription))
        asked = asyncio.ensure_future(client.request("echo"))
        self.worker.hold = True
        await settle()
        await client.close()
        await client.close()
        self.assertEqual(await iterating, [1, 2])
        self.assertEqual((cancelled, client.stats()["pending"]), ([1], 1))
        with self.assertRaises(ConnectionLost):
            await asked
        self.assertTrue(self.worker.socket.closed_by_client)
        with self.assertRaises(Disconnected):
            client.subscribe("a:1")

    @staticmethod
    async def iterate(subscription):
        return [publication.data["n"] async for publication in subscription]

    async def test_close_from_a_handler_and_while_there_is_no_connection(self):
        done = asyncio.Event()

        async def handler(publication):
            await client.close()
            done.set()
        client = Client(URL)
        await client.subscribe("a:1", handler).ready()
        self.worker.publish("a:1", 1)
        await done.wait()
        self.worker.fail_open.extend([OSError("refused")] * 100)
        async with Client(URL) as client:
            await asyncio.sleep(5)
        await Client(URL).close()


class Tokens(Case):
    def setUp(self):
        self.made = 0

    def token(self):
        self.made += 1
        return f"t{self.made}"

    async def test_each_connection_has_a_fresh_token(self):
        async with Client(URL, get_token=self.token, headers={"X-A": "b"}) as client:
            for n in (1, 2):
                await client.connect()
                self.assertEqual(self.worker.opened[-1][1],
                                 {"X-A": "b", "Authorization": f"Bearer t{n}"})
                self.worker.socket.close_with(4004, "token expired")
                await settle()

    async def test_in_the_first_frame(self):
        self.worker.tokens = {"t1"}

        async def get_token():
            await asyncio.sleep(1)
            return self.token()
        async with Client(URL, get_token=get_token, token_in="first_frame") as client:
            await client.subscribe("a:1").ready()
            self.assertEqual([each["event"] for each in self.worker.socket.received],
                             ["auth", "subscribe"])
            self.assertEqual(self.worker.opened[0][1], {})

    async def test_none_is_no_token(self):
        async with Client(URL, get_token=lambda: None) as client:
            await client.connect()
            self.assertEqual(self.worker.opened[0][1], {})

    async def test_a_refused_token_is_asked_for_once_more(self):
        self.worker.tokens = {"t2"}
        for token_in in ("header", "first_frame"):
            self.made = 0
            async with Client(URL, get_token=self.token, token_in=token_in) as client:
                await client.connect()
                self.worker.tokens = set()
                self.worker.socket.close_with(4004)
                with self.assertRaises(TokenRefused) as caught:
                    await client.subscribe("a:1").ready()
                self.assertEqual(str(caught.exception),
                                 "AUTH_FAILED: Invalid or expired token: claim exp: past")
                self.assertEqual((self.made, client.state), (4, "disconnected"))
                self.worker.tokens = {"t2"}

    async def test_a_listener_that_demands_a_token_and_there_is_no_function(self):
        self.worker.silent = True
        async with Client(URL) as client:
            await settle()
            self.worker.socket.push({"type": "error", "error_code": "AUTH_REQUIRED", "data": {},
                                     "error_message": "Authentication required", "event": None})
            with self.assertRaisesRegex(TokenRefused, "Authentication required"):
                await client.connect()

    async def test_a_function_that_fails_is_called_again(self):
        async def hangs():
            await asyncio.sleep(1000)
        results = [ValueError("no vault"), hangs(), None]

        def get_token():
            result = results.pop(0)
            if isinstance(result, Exception):
                raise result
            return result
        async with Client(URL, get_token=get_token) as client:
            with self.assertLogs("fanwire.subscriber", "WARNING") as logs:
                await client.connect(60)
            self.assertEqual(results, [])
            self.assertIn("no vault", logs.output[0])
            self.assertIsNotNone(logs.records[0].exc_info)
            self.assertEqual(len(logs.output), 1)  # the second failure is of the same outage

    async def test_an_expiring_token_is_replaced_in_the_session(self):
        self.worker.tokens = {"t1", "t3"}
        async with Client(URL, get_token=self.token) as client:
            await client.connect()
            socket = self.worker.socket
            with self.assertLogs("fanwire.subscriber", "WARNING") as logs:
                socket.event("token.expiring", {"expires_at": "soon"})
                await asyncio.sleep(20)  # t2 is refused
            self.assertIn("AUTH_FAILED", logs.output[0])
            self.assertEqual(socket.asked("refresh_token"), [{"token": "t2"}, {"token": "t3"}])
            self.assertEqual((client.state, len(self.worker.sockets)), ("connected", 1))

    async def test_a_token_of_a_short_life_is_not_replaced_all_the_time(self):
        self.worker.tokens = {f"t{n}" for n in range(1000)}
        async with Client(URL, get_token=self.token) as client:
            await client.connect()
            socket = self.worker.socket
            begin = self.loop.time()
            for count in range(1, 11):  # the server tells at once that the next one expires
                soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
                socket.event("token.expiring", {"expires_at": soon.isoformat()})
                while len(socket.asked("refresh_token")) < count:
                    await asyncio.sleep(0.1)
            self.assertGreater(self.loop.time() - begin, 10 * 3)
            socket.event("token.expiring", {"expires_at": "no time"})
            await asyncio.sleep(3)
            self.assertEqual(len(socket.asked("refresh_token")), 11)

    async def test_nobody_refreshes_for_a_connection_that_is_gone(self):
        self.worker.tokens = {"t1", "t3", "t4"}
        async with Client(URL, get_token=self.token) as client:
            await client.connect()
            self.worker.socket.event("token.expiring", {"expires_at": "soon"})
            await settle()
            self.worker.socket.close_with(4004)
            await settle()
            await client.connect()
            await asyncio.sleep(60)
            self.assertEqual(self.worker.socket.asked("refresh_token"), [])


class Requests(Case):
    async def test_answers_find_their_requests_in_any_order(self):
        for self.worker.echo_mode in (False, True):
            self.worker.hold = True
            async with Client(URL) as client:
                asked = [asyncio.ensure_future(client.request("echo", {"n": n}))
                         for n in range(5)]
                await settle()
                self.worker.release(reverse=True)
                self.assertEqual(await asyncio.gather(*asked), [{"n": n} for n in range(5)])

    async def test_an_error_of_the_server(self):
        async with Client(URL) as client:
            with self.assertRaises(RequestFailed) as caught:
                await client.request("no_such")
            self.assertEqual((caught.exception.code, str(caught.exception)),
                             ("UNKNOWN_REQUEST",
                              "UNKNOWN_REQUEST: Unknown request event: no_such"))

    async def test_a_request_waits_for_a_connection_and_then_for_the_answer_in_all_so_long(self):
        self.worker.fail_open.extend([OSError("refused")] * 2)
        async with Client(URL, timeout=10) as client:
            self.assertEqual(await client.request("echo", {"n": 1}), {"n": 1})
            self.worker.hold = True
            with self.assertRaisesRegex(RequestTimeout, "echo: no answer after 3 s; connected"):
                await client.request("echo", timeout=3)
            self.worker.release()  # too late: nobody waits for it
            await settle()
            self.assertEqual(client.state, "connected")
            self.worker.fail_open.extend([OSError("refused")] * 100)
            self.worker.socket.close_with(1006)
            await settle()
            with self.assertRaisesRegex(RequestTimeout, "not connected.*refused"):
                await client.request("echo")

    async def test_a_connection_that_ends_before_the_answer(self):
        async with Client(URL) as client:
            await client.connect()
            self.worker.hold = True
            asked = asyncio.ensure_future(client.request("echo"))
            await settle()
            self.worker.socket.close_with(4000, "slow subscriber")
            with self.assertRaisesRegex(ConnectionLost, "4000: slow subscriber.*may have been"):
                await asked
            self.worker.hold = False
            self.assertEqual(await client.request("echo"), {})
            self.assertEqual(len(self.worker.socket.received), 1)  # it was not repeated

    async def test_a_cancelled_request_is_forgotten(self):
        async with Client(URL) as client:
            await client.connect()
            self.worker.hold = True
            asked = asyncio.ensure_future(client.request("echo"))
            await settle()
            asked.cancel()
            await settle()
            self.assertFalse(client._session.waits)

    async def test_requests_keep_to_the_servers_rate(self):
        self.worker.limits.update(rate_limit=10, burst=20)
        async with Client(URL, timeout=100) as client:
            await client.connect()
            begin = self.loop.time()
            await asyncio.gather(*(client.request("echo", {"n": n}) for n in range(108)))
            # 18 at once, 90 at 9 a second
            self.assertAlmostEqual(self.loop.time() - begin, 10, places=3)
            self.assertEqual([data["n"] for data in self.worker.socket.asked("echo")],
                             list(range(108)))
            await asyncio.sleep(1000)  # not more than the burst is saved up
            begin = self.loop.time()
            await asyncio.gather(*(client.request("echo", {"n": n}) for n in range(27)))
            self.assertAlmostEqual(self.loop.time() - begin, 1, places=3)

    async def test_a_long_subscribe_that_is_refused_without_its_id_is_repeated(self):
        async with Client(URL) as client:
            await client.connect()
            self.worker.hold = True
            subscriptions = [client.subscribe(f"a-channel-with-a-long-name:{n:040}")
                             for n in range(100)]
            await settle()
            self.worker._held.clear()
            self.worker.socket.push({"type": "error", "event": None, "data": {},
                                     "error_code": "RATE_LIMIT_EXCEEDED", "error_message": "x",
                                     "correlation_id": None, "request_id": None})
            self.worker.hold = False
            for subscription in subscriptions:
                await subscription.ready(20)

    async def test_a_request_that_is_too_long_is_not_sent(self):
        self.worker.limits["max_message_bytes"] = 1000
        async with Client(URL) as client:
            with self.assertRaisesRegex(ValueError, "echo: 10.. bytes; the server takes 1000"):
                await client.request("echo", {"text": "x" * 1000})
            for data, error in (({"n": float("nan")}, ValueError), ({"n": {1}}, TypeError),
                                ({"text": "\ud800"}, ValueError)):
                with self.assertRaises(error):
                    await client.request("echo", data)
            self.assertEqual(self.worker.socket.received, [])
            self.assertEqual(await client.request("echo", {"text": "ä" * 400}),
                             {"text": "ä" * 400})

    async def test_history(self):
        self.worker.publish("a:1", 1, 2, 3, 4)
        async with Client(URL) as client:
            history = await client.history("a:1", limit=2, since=Position("e1", 1))
            self.assertEqual(self.worker.socket.asked("history"), [
                {"channel": "a:1", "limit": 2, "reverse": False,
                 "since": {"epoch": "e1", "offset": 1}}])
            self.assertEqual([each.data["n"] for each in history], [2, 3])
            self.assertEqual((len(history), history[-1].position, history.position, history.more,
                              history.complete, history.reason),
                             (2, Position("e1", 3), Position("e1", 4), True, True, ""))
            self.assertRegex(repr(history), r"^<History \[<Publication .*4\)>$")

    async def test_presence(self):
        members = [{"connection_id": "c1", "user_id": "ana", "info": {"name": "Ana"}},
                   {"connection_id": "c2", "user_id": None, "info": {}}]
        self.worker.answers["presence"] = lambda data: {**data, "members": members, "total": 5,
                                                        "more": True}
        async with Client(URL) as client:
            presence = await client.presence("d:1")
            self.assertEqual(self.worker.socket.asked("presence"), [{"channel": "d:1"}])
            self.assertEqual(list(presence), [Member("c1", "ana", {"name": "Ana"}),
                                              Member("c2", None, {})])
            self.assertEqual((len(presence), presence[0].user_id, presence.total, presence.more),
                             (2, "ana", 5, True))
            self.assertRegex(repr(presence), r"^<Presence \[Member\(.*'ana'.*\], 5 in all>$")
            self.worker.answers["presence"] = lambda data: {**data, "members": [], "total": 0}
            presence = await client.presence("d:1")
            self.assertEqual((list(presence), presence.total, presence.more), ([], 0, False))
            self.worker.fail_request["presence"] = ("INVALID_REQUEST", "not tracked")
            with self.assertRaisesRegex(RequestFailed, "INVALID_REQUEST: not tracked"):
                await client.presence("d:1")

    async def test_publish(self):
        answer = {"status": "published", "channel": "d:1", "epoch": "e1", "offset": 3}
        self.worker.answers["publish"] = lambda data: answer
        async with Client(URL) as client:
            self.assertEqual(await client.publish("d:1", "cursor.moved", {"x": 1}),
                             Published("published", "d:1", Position("e1", 3)))
            answer = {"status": "conflated", "channel": "d:1"}
            self.assertEqual(await client.publish("d:1", "cursor.moved", echo=False),
                             Published("conflated", "d:1", None))
            self.assertEqual(self.worker.socket.asked("publish"), [
                {"channel": "d:1", "event": "cursor.moved", "data": {"x": 1}, "echo": True},
                {"channel": "d:1", "event": "cursor.moved", "data": {}, "echo": False}])
            self.worker.fail_request["publish"] = ("FORBIDDEN", "Not authorized")
            with self.assertRaisesRegex(RequestFailed, "FORBIDDEN"):
                await client.publish("d:1", "cursor.moved")

    async def test_a_publish_whose_connection_ends_is_not_repeated(self):
        self.worker.hold = True
        self.worker.answers["publish"] = lambda data: {}
        async with Client(URL) as client:
            await client.connect()
            published = asyncio.ensure_future(client.publish("d:1", "a.b"))
            await settle()
            self.worker.socket.close_with(1006)
            with self.assertRaises(ConnectionLost):
                await published
            await asyncio.sleep(5)
            self.assertEqual(self.worker.socket.asked("publish"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
