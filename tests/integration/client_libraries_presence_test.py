"""Both libraries and the members of a channel: who is listed, what comes and goes, and a worker that
is killed."""
import asyncio
import logging

from fanwire.subscriber import RequestFailed
from harness import eventually, main, service, small_config
from harness.js_clients import JsCase, subscription
from harness.server import PATIENCE
from harness.subscriber import SubscriberCase, in_thread


class Presence(JsCase, SubscriberCase):
    @classmethod
    def config(cls):
        return small_config(service(presence=[{"pattern": "board:*", "presence_events": True}]),
                            workers=2)

    async def test_both_see_each_other(self):
        clients = await self.clients(self.client(
            subscription("board:1", options={"info": {"name": "Node"}})))
        await clients.subscribed()
        theirs = (await clients.report())[0]["welcome"]["connection_id"]
        client, seen = await self.make(), []
        await client.subscribe("board:1", seen.append, info={"name": "Python"}).ready(PATIENCE)
        mine = client.welcome["connection_id"]
        wanted = {theirs: {"name": "Node"}, mine: {"name": "Python"}}

        async def until_members(count):
            while len(members := await client.presence("board:1")) != count:
                await asyncio.sleep(0.05)
            return members
        members = await asyncio.wait_for(until_members(2), PATIENCE)
        self.assertEqual({each.connection_id: each.info for each in members}, wanted)
        self.assertEqual((members.total, members.more, {each.user_id for each in members}),
                         (2, False, {None}))
        answer = await clients.ask("presence", "board:1")
        self.assertEqual({each["connection_id"]: each["info"] for each in answer["members"]},
                         wanted)
        other = await self.make()
        await other.subscribe("board:1").ready(PATIENCE)
        gone = other.welcome["connection_id"]
        await other.close()
        await eventually(lambda: any(each.event == "presence.left" for each in seen), "the leave")
        told = [(each.event, each.data["connection_id"], each.position) for each in seen
                if each.data["connection_id"] == gone]
        self.assertEqual(told, [("presence.joined", gone, None), ("presence.left", gone, None)])

    async def test_channels_without_members(self):
        client = await self.make()
        await client.subscribe("other:1", info={"name": "Python"}).ready(PATIENCE)
        with self.assertRaises(RequestFailed) as caught:
            await client.presence("other:1")
        self.assertEqual(caught.exception.code, "INVALID_REQUEST")

    async def test_who_comes_back_over_a_killed_worker_is_a_member_with_its_info(self):
        client = await self.make()
        await client.subscribe("board:2", info={"name": "Python"}).ready(PATIENCE)
        before = client.welcome["connection_id"]
        worker, = [each["worker_id"] for each in await in_thread(
            self.server.wsctl_json, "connections", "list") if each["id"] == before]
        pid, = [each.pid for each in self.server.workers() if each.id == worker]
        self.server.kill(pid)
        await eventually(lambda: client.state == "connected"
                         and client.welcome["connection_id"] != before, "the new connection")

        async def until_listed():
            while client.welcome["connection_id"] not in {
                    each.connection_id: each for each in await client.presence("board:2")}:
                await asyncio.sleep(0.05)
        await asyncio.wait_for(until_listed(), PATIENCE)
        info = {each.connection_id: each.info for each in await client.presence("board:2")}
        self.assertEqual(info[client.welcome["connection_id"]], {"name": "Python"})
        await in_thread(self.server.wait_ready)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
