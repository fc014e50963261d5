"""Who is on a channel: joins, leaves and lists over two workers, and what outlives a worker or
control.
"""
import asyncio
import json
import time

import websockets

from harness import Case, eventually, main, service, small_config, token
from harness.documents import blocks, describes, missing_in_order
from harness.server import PATIENCE
from harness.token import SECRET

GRACE = 4  # seconds
NAME = "excalidraw"


def config(grace=f"{GRACE}s"):
    return small_config(
        service(NAME, keys=[{"secret": SECRET}],
                permissions=[{"prefix": "diagram:", "any_of": ["excalidraw:read"]}],
                presence_max_members=5, presence_info_bytes=256,
                presence=[{"pattern": "diagram:*", "presence_events": True,
                           "publish": {"channel": "presence:*", "joined_event": "user.joined",
                                       "left_event": "user.left", "id_field": "diagram_id",
                                       "info_field": "user_info"}},
                          {"pattern": "quiet:*"}]),
        workers=2, control={"presence_grace": grace},
        worker={"drain_window": "100ms", "drain_deadline": "5s", "reconnect_after_min": "1ms",
                "reconnect_after_max": "10ms"})


class PresenceCase(Case):
    """What both servers' tests need."""

    numbers = iter(range(1, 1000))

    @classmethod
    def config(cls):
        return config()

    def setUp(self):
        self.diagram = f"d{next(self.numbers)}"
        self.channel = f"diagram:{self.diagram}"

    def workers_of(self, clients):
        """The worker of each client."""
        rows = self.server.wsctl_json("connections", "list", "--limit", "1000")
        by_id = {row["id"]: row["worker_id"] for row in rows}
        return [by_id[client.connection_id] for client in clients]

    async def client(self, user=None, worker=None, **claims):
        """A client with this user's token, on this worker if one is given."""
        path = "" if user is None else f"/?token={self.token_of(user, **claims)}"
        for _ in range(200):
            try:
                client = await self.connect(NAME, path=path)
            except (OSError, websockets.WebSocketException):
                continue  # a worker that was killed had taken it
            if worker is None or self.workers_of([client]) == [worker]:
                return client
            await client.close()
        raise AssertionError(f"no connection to {worker}")

    @staticmethod
    def token_of(user, **claims):
        return token(user, ["excalidraw:read"], **claims)

    async def watcher(self, worker=None):
        client = await self.client(worker=worker)
        await client.subscribe(self.channel)
        return client

    async def told(self, client, name):
        """The data of the next event of the channel, which has this name."""
        frame = await client.event(f"presence.{name}")
        self.assertEqual(frame["room"], self.channel)
        self.assertNotIn("offset", frame)
        self.assertNotIn("epoch", frame)
        self.assertEqual(list(frame["data"]), ["channel", "connection_id", "user_id", "info"])
        self.assertEqual(frame["data"]["channel"], self.channel)
        return frame["data"]

    async def members(self, client, channel=None):
        reply = await client.request("presence", {"channel": channel or self.channel})
        self.assertEqual(reply["type"], "response", reply)
        return reply["data"]

    async def users(self, client):
        return [member["user_id"] for member in (await self.members(client))["members"]]

    async def until_members(self, client, expected, channel=None):
        """Waits until the list has these (user_id, connection_id)."""
        deadline = time.monotonic() + PATIENCE
        while True:
            data = await self.members(client, channel)
            listed = [(member["user_id"], member["connection_id"]) for member in data["members"]]
            if listed == expected:
                return data["members"]
            self.assertLess(time.monotonic(), deadline, f"{listed} instead of {expected}")
            await asyncio.sleep(0.02)


class Presence(PresenceCase):
    # ------------------------------------------------------------------------- joins and leaves

    async def test_members_of_both_workers_see_each_other(self):
        one = await self.watcher("worker-0")
        self.assertIn("presence", one.welcome["capabilities"])
        other = await self.client("ana", "worker-1")
        await other.subscribe(self.channel, info={"name": "Ana"})
        joined = await self.told(one, "joined")
        self.assertEqual(joined, {"channel": self.channel, "connection_id": other.connection_id,
                                  "user_id": "ana", "info": {"name": "Ana"}})
        self.assertEqual(await self.members(other), {
            "channel": self.channel, "total": 2, "members": [
                {"connection_id": other.connection_id, "user_id": "ana", "info": {"name": "Ana"}},
                {"connection_id": one.connection_id, "user_id": None, "info": {}}]})
        await other.unsubscribe(self.channel)
        self.assertEqual(await self.told(one, "left"), joined)
        await other.subscribe(self.channel)
        await self.told(one, "joined")
        await other.close()
        self.assertEqual((await self.told(one, "left"))["user_id"], "ana")
        # Nobody is told of itself.
        self.assertEqual(await one.until_quiet(), [])
        self.assertEqual((await self.members(one))["total"], 1)

    async def test_who_asks_right_after_subscribing_is_in_the_list(self):
        for _ in range(20):
            client = await self.client("ana")
            await client.subscribe(self.channel)
            self.assertIn(client.connection_id, [member["connection_id"] for member in
                                                 (await self.members(client))["members"]])
            await client.close()

    async def test_two_connections_of_a_user_are_one_member(self):
        watcher = await self.watcher("worker-0")
        first = await self.client("ana", "worker-0")
        second = await self.client("ana", "worker-1")
        await first.subscribe(self.channel)
        await self.told(watcher, "joined")
        await second.subscribe(self.channel)
        self.assertEqual((await self.members(second))["total"], 3)
        await first.close()
        await eventually(lambda: self.total() == 2, "the first connection to leave")
        self.assertEqual(await watcher.until_quiet(), [])
        await second.close()
        self.assertEqual((await self.told(watcher, "left"))["connection_id"], second.connection_id)

    def total(self):
        return self.server.wsctl_json("presence", NAME, self.channel)["total"]

    async def test_the_services_own_events(self):
        watcher = await self.client()
        await watcher.subscribe(f"presence:{self.diagram}")
        ana = await self.client("ana", info={"name": "Ana", "color": "#f00"})
        await ana.subscribe(self.channel, info={"name": "somebody else"})
        frame = await watcher.event("user.joined")
        self.assertEqual((frame["room"], frame["offset"]), (f"presence:{self.diagram}", 1))
        self.assertEqual(list(frame["data"]), ["diagram_id", "user_id", "user_info", "timestamp"])
        self.assertEqual(frame["data"]["user_info"], {"name": "Ana", "color": "#f00"})
        anyone = await self.client()
        await anyone.subscribe(self.channel)  # says nothing of itself
        somebody = await self.client()
        await somebody.subscribe(self.channel, info={"name": "Guest"})
        frame = await watcher.event("user.joined")
        self.assertEqual((frame["data"]["user_id"], frame["data"]["user_info"]),
                         (somebody.connection_id, {"name": "Guest"}))
        await ana.close()
        frame = await watcher.event("user.left")
        self.assertEqual((frame["data"]["diagram_id"], frame["data"]["user_id"]),
                         (self.diagram, "ana"))
        # They are in history, unlike presence.joined.
        reply = await watcher.request("history", {"channel": f"presence:{self.diagram}"})
        self.assertEqual([event["event"] for event in reply["data"]["events"]],
                         ["user.joined", "user.joined", "user.left"])
        reply = await watcher.request("history", {"channel": self.channel})
        self.assertEqual(reply["data"]["events"], [])

    async def test_filters_hold_for_them(self):
        filtered = await self.client(worker="worker-0")
        await filtered.subscribe(self.channel, events=["diagram.updated", "presence.left"])
        other = await self.client("ana", "worker-1")
        await other.subscribe(self.channel)
        await self.members(other)
        self.publish(self.channel, "diagram.updated", service=NAME)
        await filtered.event("diagram.updated")
        await other.close()
        await self.told(filtered, "left")

    async def test_a_pattern_is_told_and_is_no_member(self):
        pattern = await self.client()
        await pattern.subscribe("diagram:*")
        ana = await self.client("ana")
        await ana.subscribe(self.channel)
        while (await pattern.event("presence.joined"))["data"]["channel"] != self.channel:
            pass
        self.assertEqual(await self.users(ana), ["ana"])

    async def test_another_token_is_another_member(self):
        watcher = await self.watcher()
        client = await self.client()
        await client.subscribe(self.channel)
        anonymous = await self.told(watcher, "joined")
        self.assertIsNone(anonymous["user_id"])
        reply = await client.request("auth", {"token": self.token_of("ana")})
        self.assertEqual(reply["data"]["status"], "authenticated")
        self.assertEqual(await self.told(watcher, "left"), anonymous)
        self.assertEqual((await self.told(watcher, "joined"))["user_id"], "ana")
        reply = await client.request("refresh_token", {"token": token("ana", [])})
        self.assertEqual(reply["data"]["status"], "refreshed")
        await self.told(watcher, "left")
        self.assertEqual((await client.event())["event"], "channel.unsubscribed")

    # ------------------------------------------------------------------------- the request

    async def test_who_may_ask_and_what(self):
        stranger = await self.connect(NAME, path=f"/?token={token('eve', ['other:read'])}")
        reply = await stranger.request("presence", {"channel": self.channel})
        self.assertEqual((reply["error_code"], reply["error_message"]),
                         ("FORBIDDEN", f"Not authorized to subscribe to {self.channel}"))
        anyone = await self.client()
        for data, code in [({}, "INVALID_CHANNEL"), ({"channel": "diagram:*"}, "INVALID_CHANNEL"),
                           ({"channel": "cursor:1"}, "INVALID_REQUEST")]:
            reply = await anyone.request("presence", data)
            self.assertEqual(reply["error_code"], code, reply)
        self.assertIn("add a pattern that matches it to `presence`", reply["error_message"])
        self.assertEqual(await self.members(anyone, "quiet:1"),
                         {"channel": "quiet:1", "members": [], "total": 0})

    async def test_a_bad_info_is_refused(self):
        client = await self.client()
        for info, message in [("Ana", "info: an object is wanted"),
                              ({"x": "y" * 300}, "info: has 308 bytes, at most 256 allowed")]:
            reply = await client.request("subscribe", {"channel": self.channel, "info": info})
            self.assertEqual((reply["error_code"], reply["error_message"]),
                             ("INVALID_REQUEST", message))
            await client.subscribe("other:1", info=info)

    async def test_long_lists_are_cut_and_wsctl_has_all(self):
        clients = [await self.client() for _ in range(8)]
        for client in clients:
            await client.subscribe(self.channel)
        answer = await self.members(clients[-1])
        self.assertEqual((len(answer["members"]), answer["total"], answer["more"]), (5, 8, True))
        listed = self.server.wsctl_json("presence", NAME, self.channel)
        self.assertEqual((listed["total"], listed["users"]), (8, 8))
        self.assertEqual({member["connection_id"] for member in listed["members"]},
                         {client.connection_id for client in clients})
        table = self.server.wsctl("presence", NAME, self.channel, "--limit", "3")
        self.assertEqual(len(table.stdout.splitlines()), 4)
        self.assertIn("showing 3 of 8 connections", table.stderr)
        refused = self.server.wsctl("presence", NAME, "other:1", check=False)
        self.assertEqual(refused.returncode, 64 + 9)
        self.assertIn("are not tracked", refused.stderr)


    async def test_the_documents_show_what_comes(self):
        """The blocks of docs/protocol.md and docs/cli.md that name this file."""
        shown = {document: [block for block in blocks(document)
                            if block.detail and block.detail in __file__]
                 for document in ("docs/protocol.md", "docs/cli.md")}
        self.assertEqual([len(found) for found in shown.values()], [3, 1])
        request, answer, event = (json.loads(block.code) for block in shown["docs/protocol.md"])
        channel = request["data"]["channel"]
        anyone = await self.client()
        await anyone.subscribe(channel)
        ana = await self.client("ana")
        await ana.subscribe(channel, info={"name": "Ana"})
        frame = await anyone.event()
        self.assertTrue(describes(event, frame), frame)
        frame = await anyone.reply(request)
        self.assertTrue(describes(answer, frame), frame)
        command, *lines = shown["docs/cli.md"][0].code.splitlines()
        printed = self.server.wsctl(*command.removeprefix("$ wsctl ").split()).stdout
        self.assertIsNone(missing_in_order(lines, printed), printed)


class Death(PresenceCase):
    """Workers and control that die, drain or get another configuration."""

    async def test_the_members_of_a_killed_worker_may_return(self):
        watcher = await self.watcher("worker-0")
        returns = await self.client("ana", "worker-1")
        goes = await self.client("ben", "worker-1")
        for client in (returns, goes):
            await client.subscribe(self.channel)
            await self.told(watcher, "joined")
        victim = next(w for w in self.server.workers() if w.id == "worker-1")
        self.server.kill(victim.pid)
        again = await self.client("ana")
        await again.subscribe(self.channel)
        await self.until_members(again, [("ana", again.connection_id), ("ben", goes.connection_id),
                                         (None, watcher.connection_id)])
        away = {member["connection_id"]: member["away"] for member in
                self.server.wsctl_json("presence", NAME, self.channel)["members"]}
        self.assertEqual(away, {watcher.connection_id: False, again.connection_id: False,
                                goes.connection_id: True})
        # The next event is the end of who did not return; the other one has never left.
        self.assertEqual(await self.told(watcher, "left"),
                         {"channel": self.channel, "connection_id": goes.connection_id,
                          "user_id": "ben", "info": {}})
        self.assertEqual(await watcher.until_quiet(), [])
        await asyncio.to_thread(self.server.wait_ready)

    async def test_a_drain_tells_nothing_of_who_returns(self):
        watcher = await self.watcher("worker-0")
        returns = await self.client("ana", "worker-1")
        goes = await self.client("ben", "worker-1")
        for client in (returns, goes):
            await client.subscribe(self.channel)
            await self.told(watcher, "joined")
        drain = asyncio.to_thread(self.server.wsctl, "workers", "restart", "worker-1")
        drained = asyncio.create_task(drain)
        self.assertEqual((await returns.closed())[0], 1012)
        again = await self.client("ana")
        await again.subscribe(self.channel)
        await drained
        await asyncio.to_thread(self.server.wait_ready)
        # When the time of the one is over, that of the other is.
        self.assertEqual((await self.told(watcher, "left"))["user_id"], "ben")
        await self.until_members(watcher, [("ana", again.connection_id),
                                           (None, watcher.connection_id)])
        self.assertEqual(await watcher.until_quiet(), [])

    async def test_another_control_knows_the_members(self):
        watcher = await self.watcher("worker-0")
        ana = await self.client("ana", "worker-1")
        await ana.subscribe(self.channel, info={"name": "Ana"})
        await self.told(watcher, "joined")
        self.server.kill()
        await asyncio.to_thread(self.server.start)
        members = await self.until_members(watcher, [("ana", ana.connection_id),
                                                     (None, watcher.connection_id)])
        self.assertEqual(members[0]["info"], {"name": "Ana"})
        # Its epoch is told, and nobody as joined again.
        frames = await watcher.until_quiet()
        self.assertEqual({frame["event"] for frame in frames} - {"channel.skipped"}, set())
        await ana.close()
        while (frame := await watcher.event())["event"] == "channel.skipped":
            pass
        self.assertEqual((frame["event"], frame["data"]["user_id"]), ("presence.left", "ana"))

    async def test_a_reload_tracks_who_is_there(self):
        channel = f"later:{self.diagram}"
        client = await self.client()
        await client.subscribe(channel)
        self.assertEqual((await client.request("presence", {"channel": channel}))["error_code"],
                         "INVALID_REQUEST")
        rules = self.server.config["services"][0]["presence"]
        rules.append({"pattern": "later:*", "presence_events": True})
        self.server.write_config()
        self.server.wsctl("config", "reload")
        await self.until_members(client, [(None, client.connection_id)], channel)
        other = await self.client()
        await other.subscribe(channel)
        self.assertEqual((await client.event("presence.joined"))["data"]["connection_id"],
                         other.connection_id)


if __name__ == "__main__":
    main()
