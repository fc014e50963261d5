"""session-buddy's own dialect on its port, fed by `metrics_update` publications."""
import asyncio
import json
import time

import websockets

from harness import Case, Client, main, service, small_config, token
from harness.ports import free_port
from harness.token import SECRET

SKILLS = [{"skill_name": f"skill-{n}", "total_invocations": 100 - n, "completion_rate": 0.5,
           "avg_duration_seconds": 1.5} for n in range(12)]
ANOMALY = {"skill_name": "skill-1", "detected_at": "2026-02-10T12:00:00+00:00",
           "anomaly_type": "spike", "deviation_score": 3.2}


def buddy(**keys):
    entry = service("session-buddy", update_interval="200ms", **keys)
    entry["listeners"] = [{"port": free_port(), "dialect": "session_buddy",
                           **keys.pop("listener", {})}, {"port": free_port()}]
    return entry


class Dialect(Case):
    @classmethod
    def config(cls):
        return small_config(buddy())

    async def dial(self):
        """Opens a connection of the dialect, with recv() and send() of flat objects."""
        client = await self.connect("session-buddy", 0, welcome=False)
        first = await client.recv()
        self.assertEqual({key: first[key] for key in ("type", "message", "authenticated")}, {
            "type": "connected", "message": "Connected to Session-Buddy real-time metrics",
            "authenticated": False})
        self.assertTrue(first["timestamp"].endswith("+00:00"))
        return client

    async def update(self, client):
        while True:
            frame = await client.recv()
            if frame["type"] == "metrics_update":
                return frame

    async def test_updates_come_unasked_and_are_empty_at_first(self):
        client = await self.dial()
        frame = await self.update(client)
        self.assertIn("timestamp", frame)
        self.assertEqual(set(frame["data"]), {"top_skills", "anomalies"})

    async def test_published_numbers_come_each_interval(self):
        started = time.monotonic()
        client = await self.dial()
        self.publish("metrics", "metrics_update", {"top_skills": SKILLS[:3],
                                                   "anomalies": [ANOMALY]},
                     service="session-buddy")
        frames = 0
        while True:
            frame = await self.update(client)
            frames += 1
            if frame["data"]["anomalies"]:
                break
        self.assertEqual(frame["data"], {"top_skills": SKILLS[:3], "anomalies": [ANOMALY]})
        for _ in range(5):
            self.assertEqual((await self.update(client))["data"], frame["data"])
        # The first frames may come at once.  All frames since the connect are counted, because
        # some wait in the socket if this test was held up.
        self.assertGreater(time.monotonic() - started, 0.2 * (frames + 5 - 2))

    async def test_at_most_ten_skills(self):
        client = await self.dial()
        self.publish("metrics", "metrics_update", {"top_skills": SKILLS, "anomalies": []},
                     service="session-buddy")
        while True:
            skills = (await self.update(client))["data"]["top_skills"]
            if len(skills) == 10:
                break
            self.assertLessEqual(len(skills), 10)

    async def test_one_skill(self):
        self.publish("metrics", "metrics_update", {"top_skills": SKILLS[:3],
                                                   "anomalies": [ANOMALY]},
                     service="session-buddy")
        client = await self.dial()
        for key in ("skill", "skill_name"):
            with self.subTest(key=key):
                await client.send({"type": "subscribe", key: "skill-1"})
                while (reply := await client.recv())["type"] == "metrics_update":
                    pass
                self.assertEqual(reply["type"], "subscription_confirmed")
                self.assertEqual((reply["skill"], reply["skill_name"]), ("skill-1", "skill-1"))
                self.assertIn("timestamp", reply)
                for _ in range(3):
                    frame = await self.update(client)
                    self.assertEqual(frame["data"], {"top_skills": [SKILLS[1]], "anomalies": []})
                await client.send({"type": "unsubscribe"})

                async def all_again():
                    return len((await self.update(client))["data"]["top_skills"]) == 3
                while not await all_again():
                    pass

    async def test_a_skill_beyond_the_top_ten_gets_no_frame(self):
        self.publish("metrics", "metrics_update", {"top_skills": SKILLS, "anomalies": []},
                     service="session-buddy")
        client = await self.dial()
        await client.send({"type": "subscribe", "skill": "skill-11"})
        while (await client.recv())["type"] != "subscription_confirmed":
            pass
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(client.socket.recv(), 0.8)  # four intervals

    async def test_null_means_all(self):
        client = await self.dial()
        await client.send({"type": "subscribe", "skill": None})
        while (reply := await client.recv())["type"] == "metrics_update":
            pass
        self.assertEqual(reply["type"], "subscription_confirmed")
        self.assertIsNone(reply["skill"])
        await self.update(client)

    async def test_ping(self):
        client = await self.dial()
        await client.send({"type": "ping"})
        while (reply := await client.recv())["type"] == "metrics_update":
            pass
        self.assertEqual(reply, {"type": "pong"})

    async def test_anything_else_is_ignored(self):
        client = await self.dial()
        for message in ("nonsense", "[]", "{}", {"type": "get_metrics"}, {"type": 5},
                        {"type": "request", "event": "subscribe", "data": {"channel": "a"}}, b"\0"):
            await client.send(message)
        await client.send({"type": "ping"})
        while (reply := await client.recv())["type"] == "metrics_update":
            pass
        self.assertEqual(reply, {"type": "pong"})

    async def test_the_common_protocol_lives_on_the_other_port(self):
        client = await self.connect("session-buddy", 1)
        self.assertEqual(client.welcome["data"]["server"], "session-buddy")
        await client.subscribe("session:s1")
        self.publish("session:s1", "session.created", {"session_id": "s1"},
                     service="session-buddy")
        frame = await client.event("session.created")
        self.assertEqual(frame["room"], "session:s1")

    async def test_the_stock_example_client(self):
        """session-buddy's example gets a welcome, one confirmation of its subscribe, and updates."""
        async with websockets.connect(self.server.url("session-buddy")) as socket:
            self.assertEqual(json.loads(await socket.recv())["type"], "connected")
            await socket.send(json.dumps({"type": "subscribe", "skill": "skill-2"}))
            kinds = []
            while "subscription_confirmed" not in kinds:
                kinds.append(json.loads(await asyncio.wait_for(socket.recv(), 20))["type"])
            self.assertLessEqual(kinds.count("metrics_update"), 1)


class DialectAuth(Case):
    @classmethod
    def config(cls):
        entry = buddy(keys=[{"secret": SECRET}])
        entry["listeners"][0]["auth_required"] = True
        return small_config(entry)

    async def test_the_first_frame_brings_the_token(self):
        client = await Client.connect(self.server.url("session-buddy"), welcome=False)
        self.addAsyncCleanup(client.close)
        await client.send({"token": token("ana")})
        first = await client.recv()
        self.assertEqual((first["type"], first["authenticated"]), ("connected", True))

    async def test_a_bad_token_closes_with_4001_and_no_frame(self):
        for message in ({"token": "nonsense"}, {"no": "token"}, "nonsense", {"token": 5},
                        {"type": "request", "event": "auth", "data": {"token": token("ana")}}):
            with self.subTest(message=message):
                client = await Client.connect(self.server.url("session-buddy"), welcome=False)
                await client.send(message)
                with self.assertRaises(websockets.ConnectionClosed) as caught:
                    await client.recv()
                self.assertEqual((caught.exception.rcvd.code, caught.exception.rcvd.reason),
                                 (4001, "Authentication failed"))

    async def test_who_sends_nothing_is_closed_with_4001_after_five_seconds(self):
        client = await Client.connect(self.server.url("session-buddy"), welcome=False)
        self.addAsyncCleanup(client.close)
        opened = time.monotonic()
        with self.assertRaises(websockets.ConnectionClosed) as caught:
            await client.recv()  # and no other frame before it
        self.assertEqual((caught.exception.rcvd.code, caught.exception.rcvd.reason),
                         (4001, "Authentication failed"))
        self.assertGreater(time.monotonic() - opened, 4.5)


class ControlRestarts(Case):
    """Control is killed or stopped; workers keep the dialect's clients and serve them again."""

    @classmethod
    def config(cls):
        return small_config(buddy(), workers=2)

    def publish_skills(self, skills):
        self.publish("metrics", "metrics_update", {"top_skills": skills, "anomalies": [ANOMALY]},
                     service="session-buddy")

    async def dial(self, skill=None):
        client = await self.connect("session-buddy", welcome=False)
        self.assertEqual((await client.recv())["type"], "connected")
        if skill is not None:
            await client.send({"type": "subscribe", "skill": skill})
            while (await client.recv())["type"] != "subscription_confirmed":
                pass
        return client

    async def until(self, client, data):
        """Reads updates until one has this data; returns the updates before it."""
        before = []
        while True:
            frame = await client.recv()
            self.assertEqual(frame["type"], "metrics_update")
            if frame["data"] == data:
                return before
            before.append(frame["data"])

    async def test_clients_stay_and_get_the_new_numbers(self):
        before = {worker.id: worker.pid for worker in self.server.workers()}
        self.publish_skills(SKILLS[:3])
        everything = [await self.dial() for _ in range(4)]
        one_skill = [await self.dial("skill-1") for _ in range(4)]
        old = {"top_skills": SKILLS[:3], "anomalies": [ANOMALY]}
        skill = {"top_skills": [SKILLS[1]], "anomalies": []}
        for client in everything:
            await self.until(client, old)
        for client in one_skill:
            await self.until(client, skill)
        self.server.kill()
        # Requests that do not need control are answered: a ping, and a change of the skill.
        await one_skill[0].send({"type": "ping"})
        await one_skill[1].send({"type": "subscribe", "skill": "skill-0"})
        while (await one_skill[0].recv())["type"] != "pong":
            pass
        while (await one_skill[1].recv())["type"] != "subscription_confirmed":
            pass
        await asyncio.to_thread(self.server.start)
        self.assertEqual({worker.id: worker.pid for worker in self.server.workers()}, before)
        later = [{**entry, "total_invocations": entry["total_invocations"] + 1000}
                 for entry in SKILLS[:5]]
        self.publish_skills(later)
        new = {"top_skills": later, "anomalies": [ANOMALY]}
        empty = {"top_skills": [], "anomalies": []}
        for client in everything:
            # control does not know the metrics until they are published again.
            for data in await self.until(client, new):
                self.assertIn(data, (old, empty))
        for client in [one_skill[0], *one_skill[2:]]:
            for data in await self.until(client, {"top_skills": [later[1]], "anomalies": []}):
                self.assertEqual(data, skill)
        await self.until(one_skill[1], {"top_skills": [later[0]], "anomalies": []})
        await self.until(await self.dial(), new)


if __name__ == "__main__":
    main()
