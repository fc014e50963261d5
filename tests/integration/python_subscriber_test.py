"""The Python library's subscriber against the real programs: channels, requests and tokens."""
import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap

from fanwire.subscriber import (
    Disconnected,
    Position,
    RequestFailed,
    SubscriptionEnded,
    TokenRefused,
)
from harness import eventually, main, service, small_config, token
from harness.config import ROOT
from harness.server import PATIENCE
from harness.subscriber import SubscriberCase, in_thread
from harness.token import SECRET


class Subscribing(SubscriberCase):
    @classmethod
    def config(cls):
        return small_config(service(status_requests=[{
            "request": "get_workflow_status", "argument": "workflow_id",
            "events": [{"event": "workflow.started", "key": "$workflow_id",
                        "set": {"status": "running"}}]}], max_channels_per_session=1200))

    async def test_the_quick_start_of_the_documentation(self):
        text = (ROOT / "docs/clients.md").read_text()
        code = re.search(r"## Python\n.*?```python\n(.*?)```", text, re.S)[1]
        self.assertLessEqual(len(code.strip().splitlines()), 10)
        self.assertIn("ws://127.0.0.1:8690", code)
        self.assertIn(code, (ROOT / "clients/python/README.md").read_text())
        process = subprocess.Popen(
            [sys.executable, "-c", code.replace("ws://127.0.0.1:8690", self.server.url())],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        await in_thread(self.server.wait, lambda: "workflow:wf_1" in self.server.wsctl_json(
            "list-rooms", "--service", "mahavishnu")["rooms"], "the subscriber")
        await in_thread(self.publish, "workflow:wf_1", "workflow.started", {"workflow_id": "wf_1"})
        self.assertEqual(await in_thread(process.stdout.readline),
                         "workflow:wf_1 workflow.started {'workflow_id': 'wf_1'}\n")
        process.send_signal(signal.SIGINT)

    async def test_the_state_of_the_documentation(self):
        text = (ROOT / "docs/clients.md").read_text()
        code, = [each for each in re.findall(r"```python\n(.*?)```", text, re.S)
                 if "state=True" in each]
        code = code.replace("workflow:wf_1", "workflow:wf_2")
        printed = []
        names = {"client": await self.make(), "print": lambda *items: printed.append(items)}
        exec("async def show():\n" + textwrap.indent(code, "    "), names)
        await in_thread(self.publish, "workflow:wf_2", "workflow.started", {"workflow_id": "wf_2"})
        showing = asyncio.create_task(names["show"]())
        self.addCleanup(showing.cancel)
        await eventually(lambda: printed, "the state")
        await in_thread(self.publish, "workflow:wf_2", "workflow.paused", {"n": 1})
        await eventually(lambda: len(printed) == 2, "the event")
        (text, state), event = printed
        self.assertEqual((text, state["status"]), ("the workflow is", "running"))
        self.assertEqual(event, ("workflow.paused", {"n": 1}))

    async def test_names_patterns_and_filters(self):
        client = await self.make()
        everything, some, exact = [], [], []
        client.subscribe("kind:**", everything.append)
        client.subscribe("kind:*:x", some.append, events=["wanted"])
        await client.subscribe("kind:a:x", exact.append).ready(PATIENCE)
        for channel, name in (("kind:a:x", "other"), ("kind:a:x", "wanted"),
                              ("kind:b:x", "wanted"), ("kind:c", "wanted"), ("else:c", "wanted")):
            await in_thread(self.publish, channel, name)
        await in_thread(self.publish, "kind:last", "other")
        await eventually(lambda: len(everything) == 5, "all events")
        told = [[(each.channel, each.event, each.position.offset) for each in items]
                for items in (everything, some, exact)]
        self.assertEqual(told, [
            [("kind:a:x", "other", 1), ("kind:a:x", "wanted", 2), ("kind:b:x", "wanted", 1),
             ("kind:c", "wanted", 1), ("kind:last", "other", 1)],
            [("kind:a:x", "wanted", 2), ("kind:b:x", "wanted", 1)],
            [("kind:a:x", "other", 1), ("kind:a:x", "wanted", 2)]])

    async def test_iterating_and_going_on_from_a_position(self):
        async with await self.make() as client:
            async with client.subscribe("iterate:a") as subscription:
                await subscription.ready(PATIENCE)
                self.publisher.publish_many("iterate:a", 10)
                async for publication in subscription:
                    if publication.data["n"] == 5:
                        break
                position = subscription.position
        self.assertEqual(position.offset, 4)
        async with await self.make() as client:
            numbers = []
            async for publication in client.subscribe("iterate:a", recover=position):
                numbers.append(publication.data["n"])
                if len(numbers) == 6:
                    break
            self.assertEqual(numbers, [5, 6, 7, 8, 9, 10])
            gap = await client.subscribe("iterate:b", recover=position).__anext__()
            self.assertEqual((gap.reason, gap.channel), ("epoch_changed", "iterate:b"))

    async def test_requests_and_history(self):
        client = await self.make()
        await in_thread(self.publish, "workflow:wf_1", "workflow.started", {"workflow_id": "wf_1"})
        status = await client.request("get_workflow_status", {"workflow_id": "wf_1"})
        self.assertEqual(status["status"], "running")
        with self.assertRaises(RequestFailed) as caught:
            await client.request("no_such")
        self.assertEqual(caught.exception.code, "UNKNOWN_REQUEST")
        self.publisher.publish_many("old:a", 5)
        history = await client.history("old:a", limit=2, reverse=True)
        self.assertEqual(([each.data["n"] for each in history], history.more,
                          history.position.offset), ([5, 4], True, 5))
        history = await client.history("old:a", since=history[-1].position)
        self.assertEqual(([each.data["n"] for each in history], history.complete), ([5], True))
        history = await client.history("old:a", since=Position("another", 3))
        self.assertEqual((len(history), history.complete, history.reason),
                         (5, False, "epoch_changed"))

    async def test_more_channels_than_a_message_takes_and_than_a_session_may_have(self):
        client = await self.make()
        subscriptions = [client.subscribe(f"many:{n}") for n in range(1201)]
        for subscription in subscriptions[:1200]:
            await subscription.ready(PATIENCE)
        with self.assertRaises(SubscriptionEnded) as caught:
            await subscriptions[1200].ready(PATIENCE)
        self.assertEqual(caught.exception.code, "LIMIT_EXCEEDED")
        await in_thread(self.publish, "many:1199", "test.event", {"n": 1})
        self.assertEqual((await subscriptions[1199].__anext__()).data, {"n": 1})

    async def test_an_operator_disconnects_for_good(self):
        client = await self.make()
        subscription = client.subscribe("operator:a")
        await subscription.ready(PATIENCE)
        await in_thread(self.server.wsctl, "connections", "disconnect",
                        client.welcome["connection_id"])
        with self.assertRaises(Disconnected) as caught:
            await asyncio.wait_for(subscription.__anext__(), PATIENCE)
        self.assertEqual(caught.exception.code, 4500)
        self.assertEqual((client.state, client.stats()["connections"]), ("disconnected", 1))

    async def test_events_that_exclude_this_connection_are_no_gap(self):
        client = await self.make()
        collector, = await self.collect(client, "own:a")
        for n in range(1, 7):
            await in_thread(lambda: self.publish(
                "own:a", data={"n": n},
                exclude_connection=client.welcome["connection_id"] if n % 2 else ""))
        await self.assert_all([collector], [2, 4, 6])
        self.assertEqual(client.stats()["gaps"], 0)


class Tokens(SubscriberCase):
    @classmethod
    def config(cls):
        return small_config(service(
            "mahavishnu", listener={"auth_required": True}, keys=[{"secret": SECRET}],
            permissions=[{"prefix": "workflow:", "any_of": ["workflow:read"]}]))

    async def test_refreshed_in_session(self):
        made = []

        def get_token():
            made.append(token("ana", ["workflow:read"], expires_in=4))
            return made[-1]
        client = await self.make(get_token=get_token)
        collector, = await self.collect(client, "workflow:refreshed")
        n = 0
        while len(made) < 4:  # longer than a token lives
            n += 1
            await in_thread(lambda: self.publish("workflow:refreshed", data={"n": n}))
            await asyncio.sleep(0.05)
        await self.assert_all([collector], list(range(1, n + 1)))
        self.assertEqual(client.stats()["connections"], 1)

    async def test_expired_and_connected_again_with_a_fresh_one(self):
        def get_token():
            if client.state == "connected":
                raise OSError("the token server is away")  # when it is asked for a refresh
            return token("ana", ["workflow:read"], expires_in=2)
        client = await self.make(get_token=get_token, token_in="first_frame")
        collector, = await self.collect(client, "workflow:expired")
        n = 0
        while client.stats()["connections"] < 3:
            n += 1
            await in_thread(lambda: self.publish("workflow:expired", data={"n": n}))
            await asyncio.sleep(0.05)
        await self.assert_all([collector], list(range(1, n + 1)))
        self.assertEqual(client.stats()["gaps"], 0)

    async def test_refused(self):
        for token_in in ("header", "first_frame"):
            client = await self.make(get_token=lambda: token("ana", expires_in=-60),
                                     token_in=token_in)
            with self.assertRaisesRegex(TokenRefused, "claim exp"):
                await client.connect(PATIENCE)
        client = await self.make(get_token=lambda: token("ana", ["workflow:read"]))
        allowed, refused = client.subscribe("workflow:a"), client.subscribe("pool:a")
        await allowed.ready(PATIENCE)
        with self.assertRaises(SubscriptionEnded) as caught:
            await refused.ready(PATIENCE)
        self.assertEqual(caught.exception.code, "FORBIDDEN")
        reply = await client.request("refresh_token", {"token": token("ana", [])})
        self.assertEqual(reply["status"], "refreshed")
        with self.assertRaises(SubscriptionEnded) as caught:
            await asyncio.wait_for(allowed.__anext__(), PATIENCE)
        self.assertEqual(caught.exception.code, "permissions_changed")


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
