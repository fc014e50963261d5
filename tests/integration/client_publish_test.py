"""Events that clients publish: who may, what they and the others get, rates, sizes, conflation."""
import asyncio
import json
import urllib.request

from harness import Case, Client, eventually, main, service, shipped_config, small_config, token
from harness.documents import blocks, describes
from harness.ports import free_port
from harness.token import SECRET

RULES = [
    {"pattern": "diagram:*", "events": ["diagram.updated"], "any_of": ["excalidraw:write"],
     "anonymous": True},
    {"pattern": "cursor:*", "events": ["cursor.moved"], "any_of": ["excalidraw:write"],
     "anonymous": True, "conflate_interval": "200ms", "skip_history": True,
     "copies": ["diagram:*"]},
    {"pattern": "slow:*", "events": ["cursor.moved"], "anonymous": True,
     "conflate_interval": "1m"},
    {"pattern": "notes:*", "events": ["note.*"], "any_of": ["note:write"]},
]


def excalidraw(name="excalidraw", **keys):
    return service(name, **{"catalog": "excalidraw", "client_publish": RULES,
                            "keys": [{"secret": SECRET}],
                            "admin_permissions": ["excalidraw:admin"],
                            "permissions": [{"prefix": "*", "any_of": ["excalidraw:read"]}],
                            **keys})


def publish_data(channel, event, data=None, **more):
    return {"channel": channel, "event": event, "data": data or {}, **more}


class Publishing(Case):
    async def publish_as(self, client, *arguments, **more):
        return await client.request("publish", publish_data(*arguments, **more))

    def counted(self, result, name="excalidraw"):
        total = 0
        for worker in self.server.workers():
            with urllib.request.urlopen(f"http://{worker.ops_address}/metrics") as page:
                for line in page.read().decode().splitlines():
                    if (line.startswith("fanwire_worker_client_publications_total{")
                            and f'service="{name}"' in line and f'result="{result}"' in line):
                        total += int(float(line.split()[-1]))
        return total

    async def assert_counted(self, count, result, name="excalidraw"):
        await eventually(lambda: self.counted(result, name) == count, f"{count} {result}")


class ClientPublish(Publishing):
    @classmethod
    def config(cls):
        beyond = excalidraw("beyond")
        beyond["listeners"] = [{"host": "0.0.0.0", "port": free_port()}]
        return small_config(
            service(), excalidraw(), excalidraw("strict", catalog_check="enforce"), beyond,
            workers=2, default_service="excalidraw",
            auth={"allow_anonymous_beyond_loopback": True},
            limits={"client_publish_rate": 1000, "max_client_event_bytes": "1KiB"})

    async def on_each_worker(self, name="excalidraw", path=""):
        """Two clients, on different workers."""
        first = await self.connect(name, path=path)
        while True:
            other = await self.connect(name, path=path)
            workers = {connection["id"]: connection["worker_id"]
                       for connection in self.server.wsctl_json("connections", "list")}
            if workers[other.connection_id] != workers[first.connection_id]:
                return first, other

    async def test_the_documents_show_what_comes(self):
        """The blocks of docs/protocol.md that name this file."""
        request, answer = (json.loads(block.code) for block in blocks("docs/protocol.md")
                           if block.detail and block.detail in __file__)
        frame = await (await self.connect("excalidraw")).reply(request)
        self.assertTrue(describes(answer, frame), frame)

    async def assert_refused(self, client, code, *arguments, **more):
        reply = await self.publish_as(client, *arguments, **more)
        self.assertEqual((reply["type"], reply["error_code"]), ("error", code), reply)
        return reply["error_message"]

    # ------------------------------------------------------------------------- receipts and echo

    async def test_the_sender_gets_a_receipt_and_others_on_any_worker_the_event(self):
        sender, other = await self.on_each_worker()
        await other.subscribe("diagram:a")
        await sender.subscribe("diagram:a")
        text = '{"diagram_id":"a","n":123456789012345678901234567890,"f":1.50}'
        await sender.send('{"type":"request","id":"p1","event":"publish","data":{"channel":'
                          '"diagram:a","event":"diagram.updated","data":%s}}' % text)
        receipt = await sender.next_reply()
        self.assertEqual((receipt["type"], receipt["event"], receipt["correlation_id"]),
                         ("response", "publish", "p1"))
        received = json.loads(await other.recv_text())
        self.assertEqual((received["event"], received["room"], received["offset"]),
                         ("diagram.updated", "diagram:a", 1))
        self.assertEqual(receipt["data"], {"status": "published", "channel": "diagram:a",
                                           "epoch": received["epoch"], "offset": 1})
        self.assertEqual(received["publisher"],
                         {"connection_id": sender.connection_id, "user_id": None})
        self.assertEqual(received, await sender.event())  # echo
        history = await other.request("history", {"channel": "diagram:a"})
        self.assertEqual(history["data"]["events"], [received])
        later = await self.connect("excalidraw")
        await later.subscribe("diagram:a", recover={"epoch": received["epoch"], "offset": 0})
        frame = await later.recv_text()
        self.assertIn(f'"data":{text}', frame)

    async def test_without_echo_the_own_session_gets_nothing(self):
        sender, other = await self.on_each_worker()
        for client in (sender, other):
            await client.subscribe("diagram:e")
        reply = await self.publish_as(sender, "diagram:e", "diagram.updated", {"n": 1}, echo=False)
        self.assertEqual(reply["data"]["offset"], 1)
        await self.publish_as(sender, "diagram:e", "diagram.updated", {"n": 2}, echo=True)
        self.assertEqual(await other.numbers(2), [1, 2])
        self.assertEqual(await sender.numbers(1), [2])
        self.assertEqual(await sender.until_quiet(), [])

    async def test_publications_of_a_session_keep_their_order(self):
        sender, other = await self.on_each_worker()
        await other.subscribe("diagram:o")
        for n in range(25):
            await sender.send({"type": "request", "id": str(n), "event": "publish",
                               "data": publish_data("diagram:o", "diagram.updated", {"n": n})})
        replies = [await sender.next_reply() for _ in range(25)]
        self.assertEqual([(reply["correlation_id"], reply["data"]["offset"]) for reply in replies],
                         [(str(n), n + 1) for n in range(25)])
        self.assertEqual(await other.numbers(25), list(range(25)))

    async def test_the_form_of_an_event_is_answered_too(self):
        sender = await self.connect("excalidraw")
        reply = await sender.reply({"type": "event", "id": "x", "event": "publish",
                                    "data": publish_data("diagram:f", "diagram.updated")})
        self.assertEqual((reply["data"]["status"], reply["correlation_id"]), ("published", "x"))

    # ------------------------------------------------------------------------- who may

    async def test_rules_and_permissions_decide(self):
        anonymous = await self.connect("excalidraw")
        message = await self.assert_refused(anonymous, "FORBIDDEN", "diagram:p", "diagram.saved")
        self.assertEqual(message, "Not authorized to publish diagram.saved to diagram:p")
        await self.assert_refused(anonymous, "FORBIDDEN", "other:p", "diagram.updated")
        await self.assert_refused(anonymous, "FORBIDDEN", "notes:p", "note.added")
        reader = await self.connect("excalidraw",
                                    path=f"?token={token(permissions=['excalidraw:read'])}")
        await self.assert_refused(reader, "FORBIDDEN", "diagram:p", "diagram.updated")
        writer = await self.connect(
            "excalidraw", path=f"?token={token('bo', ['excalidraw:write', 'note:write'])}")
        for event in (("diagram:p", "diagram.updated"), ("notes:p", "note.added")):
            reply = await self.publish_as(writer, *event)
            self.assertEqual(reply["data"].get("status"), "published", reply)
        admin = await self.connect("excalidraw",
                                   path=f"?token={token(permissions=['excalidraw:admin'])}")
        reply = await self.publish_as(admin, "notes:p", "note.added")
        self.assertEqual(reply["data"]["offset"], 2)
        history = await admin.request("history", {"channel": "notes:p"})
        self.assertEqual(history["data"]["events"][0]["publisher"]["user_id"], "bo")

    async def test_another_token_changes_what_a_session_may(self):
        client = await self.connect("excalidraw", path=f"?token={token(permissions=[])}")
        await self.assert_refused(client, "FORBIDDEN", "diagram:t", "diagram.updated")
        await client.request("refresh_token", {"token": token(permissions=["excalidraw:write"])})
        reply = await self.publish_as(client, "diagram:t", "diagram.updated")
        self.assertEqual(reply["data"]["status"], "published")

    async def test_without_a_token_only_on_a_port_of_a_loopback_address(self):
        client = await self.connect("beyond")
        await self.assert_refused(client, "FORBIDDEN", "diagram:b", "diagram.updated")
        writer = await self.connect(
            "beyond", path=f"?token={token(permissions=['excalidraw:write'])}")
        reply = await self.publish_as(writer, "diagram:b", "diagram.updated")
        self.assertEqual(reply["data"]["offset"], 1)

    async def test_a_service_without_rules_answers_as_ever(self):
        client = await self.connect("mahavishnu")
        self.assertNotIn("publish", client.welcome["capabilities"])
        self.assertIn("publish", (await self.connect("excalidraw")).welcome["capabilities"])
        await client.subscribe("diagram:m")
        message = await self.assert_refused(client, "UNKNOWN_REQUEST", "diagram:m",
                                            "diagram.updated")
        self.assertEqual(message, "Unknown request event: publish")
        for event in ("publish", "diagram.updated", "workflow.started"):
            await client.send({"type": "event", "event": event, "room": "diagram:m",
                               "data": publish_data("diagram:m", "workflow.started")})
        self.assertEqual(await client.until_quiet(), [])

    # ------------------------------------------------------------------------- events themselves

    async def test_an_event_of_the_catalog_is_a_publication_without_an_answer(self):
        sender, other = await self.on_each_worker()
        await other.subscribe("diagram:d1")
        send = [{"data": {"diagram_id": "d1", "elements": [{"type": "rectangle"}],
                          "timestamp": 12.5}},
                {"data": {"diagram_id": "diagram:d1"}},
                {"data": {"diagram_id": "elsewhere", "channel": "diagram:d1"}},
                {"data": {"n": 4}, "room": "diagram:d1"}]
        for message in send:
            await sender.send({"type": "event", "event": "diagram.updated", **message})
        frames = await other.events(len(send))
        self.assertEqual([frame["data"] for frame in frames], [message["data"] for message in send])
        self.assertEqual([frame["offset"] for frame in frames], [1, 2, 3, 4])
        self.assertEqual(await sender.until_quiet(), [])

    async def test_what_existing_clients_send_and_may_not_publish_is_ignored(self):
        client = await self.connect("excalidraw")
        await client.subscribe("diagram:i")
        forbidden = self.counted("forbidden")
        for message in ({"event": "user.joined", "data": {"diagram_id": "i"}},
                        {"event": "no.such", "room": "diagram:i"},
                        {"event": "note.added", "room": "notes:i"},  # of no catalog
                        {"event": "diagram.updated", "data": {"channel": "other:i"}},
                        {"event": "diagram.updated", "data": {}},
                        {"event": None}):
            await client.send({"type": "event", **message})
        self.assertEqual(await client.until_quiet(), [])
        await self.assert_counted(forbidden + 1, "forbidden")

    async def test_a_client_that_leaves_at_once_has_published(self):
        other = await self.connect("excalidraw")
        await other.subscribe("diagram:l")
        sender = await Client.connect(self.server.url("excalidraw"))
        await sender.send({"type": "event", "event": "diagram.updated",
                           "data": {"diagram_id": "l", "n": 1}})
        await sender.close()
        self.assertEqual(await other.numbers(1), [1])

    # ------------------------------------------------------------------------- cursors

    async def test_cursors_are_conflated_and_reach_both_rooms(self):
        sender, other = await self.on_each_worker()
        await other.subscribe("cursor:c")
        await sender.subscribe("diagram:c")
        moves = 40
        async def move():
            for n in range(moves):
                await sender.send({"type": "event", "event": "cursor.moved",
                                   "data": {"diagram_id": "c", "user_id": "u", "n": n}})
        began = asyncio.get_running_loop().time()
        await move()
        numbers = []
        while not numbers or numbers[-1] < moves - 1:
            frame = await other.event("cursor.moved")
            self.assertEqual(frame["room"], "cursor:c")
            self.assertNotIn("offset", frame)
            numbers.append(frame["data"]["n"])
        took = asyncio.get_running_loop().time() - began
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(numbers[0], 0)
        # The first at once, then one each 200 ms and the last when its interval is over.
        self.assertLessEqual(len(numbers), took / 0.2 + 2)
        self.assertLess(len(numbers), moves)
        copies = await sender.events(len(numbers))
        self.assertEqual([(frame["room"], frame["data"]["n"]) for frame in copies],
                         [("diagram:c", n) for n in numbers])
        self.assertEqual(await other.until_quiet(), [])

    async def test_the_answer_says_what_was_conflated(self):
        client = await self.connect("excalidraw")
        other = await self.connect("excalidraw")
        await other.subscribe("slow:s")
        for n in range(4):
            await client.send({"type": "request", "id": str(n), "event": "publish",
                               "data": publish_data("slow:s", "cursor.moved", {"n": n})})
        answers = {}
        for _ in range(3):
            reply = await client.next_reply()
            answers[reply["correlation_id"]] = reply["data"]["status"]
        self.assertEqual(answers, {"0": "published", "1": "conflated", "2": "conflated"})
        self.assertEqual(await other.numbers(1), [0])
        await client.close()  # what waits is sent when the session ends
        self.assertEqual(await other.numbers(1), [3])

    # ------------------------------------------------------------------------- limits and faults

    async def test_large_data_is_refused(self):
        client = await self.connect("excalidraw")
        message = await self.assert_refused(client, "LIMIT_EXCEEDED", "diagram:z",
                                            "diagram.updated", {"x": "y" * 1100})
        self.assertEqual(message, "data: 1108 bytes, at most 1024 allowed for a client's event")
        reply = await self.publish_as(client, "diagram:z", "diagram.updated", {"x": "y" * 1000})
        self.assertEqual(reply["data"]["offset"], 1)

    async def test_faults_are_named(self):
        client = await self.connect("excalidraw")
        cases = [
            ({"event": "diagram.updated"}, "INVALID_CHANNEL", "data.channel is missing"),
            ({"channel": 1, "event": "diagram.updated"}, "INVALID_CHANNEL", "not a text"),
            ({"channel": "diagram:*", "event": "diagram.updated"}, "INVALID_CHANNEL", "wildcard"),
            ({"channel": "diagram:x"}, "INVALID_REQUEST", "data.event is missing"),
            ({"channel": "diagram:x", "event": 1}, "INVALID_REQUEST", "data.event is not a text"),
            ({"channel": "diagram:x", "event": "diagram.updated", "data": []}, "INVALID_REQUEST",
             "data.data is not an object"),
            ({"channel": "diagram:x", "event": "diagram.updated", "echo": 1}, "INVALID_REQUEST",
             "data.echo is neither true nor false")]
        for data, code, text in cases:
            reply = await client.request("publish", data)
            self.assertEqual(reply["error_code"], code, reply)
            self.assertIn(text, reply["error_message"])

    async def test_the_catalog_refuses_bad_data(self):
        client = await self.connect("strict")
        await client.subscribe("diagram:k")
        message = await self.assert_refused(client, "INVALID_REQUEST", "diagram:k",
                                            "diagram.updated", {"diagram_id": 1, "timestamp": "t"})
        self.assertIn("diagram_id", message)
        await client.send({"type": "event", "event": "diagram.updated",
                           "data": {"diagram_id": "k", "timestamp": 1}})
        self.assertEqual(await client.until_quiet(), [])
        reply = await self.publish_as(client, "diagram:k", "diagram.updated",
                                      {"diagram_id": "k", "timestamp": "2026-02-10T20:00:00Z"})
        self.assertEqual(reply["data"]["offset"], 1)
        await self.assert_counted(2, "invalid", "strict")
        await self.assert_counted(1, "published", "strict")


class Rate(Publishing):
    @classmethod
    def config(cls):
        return small_config(excalidraw(), default_service="excalidraw",
                            limits={"client_publish_rate": 1, "client_publish_burst": 5})

    async def test_what_is_over_the_rate_is_refused_and_counted(self):
        client = await self.connect("excalidraw")
        for n in range(60):
            await client.send({"type": "request", "id": str(n), "event": "publish",
                               "data": publish_data("diagram:r", "diagram.updated", {"n": n})})
        replies = [await client.next_reply() for _ in range(60)]
        refused = [reply for reply in replies if reply["type"] == "error"]
        self.assertGreater(len(refused), 10)
        self.assertLessEqual(len(refused), 55)
        for reply in refused:
            self.assertEqual(reply["error_code"], "RATE_LIMIT_EXCEEDED")
            self.assertRegex(reply["error_message"],
                             r"^Publish rate limit exceeded\. Retry after \d\.\d{3} seconds\.$")
        await self.assert_counted(len(refused), "rate_limited")
        offsets = [reply["data"]["offset"] for reply in replies if reply["type"] == "response"]
        self.assertEqual(offsets, list(range(1, 61 - len(refused))))


class Shipped(Publishing):
    """The shipped configuration, with what the examples of excalidraw's clients send."""

    @classmethod
    def config(cls):
        return shipped_config()

    @staticmethod
    async def published(client):
        """The next event that a client published."""
        while True:
            frame = await client.event()
            if "publisher" in frame:
                return frame

    async def test_collaborators_see_diagrams_and_cursors(self):
        watching = {}
        for kind in ("diagram", "cursor", "presence"):
            watching[kind] = await self.connect("excalidraw")
            await watching[kind].subscribe(f"{kind}:d1")
        sender = await self.connect("excalidraw")
        sends = [("diagram.updated", {"diagram_id": "d1", "elements": [{"type": "rectangle"}],
                                      "timestamp": 1234.5}),
                 ("cursor.moved", {"diagram_id": "d1", "user_id": "ana",
                                   "position": {"x": 150, "y": 150}}),
                 ("user.joined", {"diagram_id": "d1", "user_id": "ana",
                                  "user_info": {"name": "Ana"}})]
        for event, data in sends:
            await sender.send({"type": "event", "id": "i", "event": event, "data": data})
        for kind, count in (("diagram", 2), ("cursor", 1)):
            for event, data in sends[2 - count:2]:
                frame = await self.published(watching[kind])
                self.assertEqual((frame["event"], frame["room"], frame["data"]),
                                 (event, f"{kind}:d1", data))
                self.assertEqual(frame["publisher"]["connection_id"], sender.connection_id)
                self.assertEqual("offset" in frame, event == "diagram.updated")
        self.assertEqual(await sender.until_quiet(), [])
        for event in ("user.joined", "user.left", "diagram.created"):
            reply = await self.publish_as(sender, "presence:d1", event)
            self.assertEqual(reply["error_code"], "FORBIDDEN")
        for frame in await watching["presence"].until_quiet():
            self.assertNotIn("publisher", frame)
        # The state of the diagram follows what clients publish.
        async def known():
            answer = await sender.request("get_diagram_status", {"diagram_id": "d1"})
            return answer["data"]
        answer = await known()
        while answer["status"] == "not_found":
            answer = await known()
        self.assertEqual(answer["diagram"]["elements"], [{"type": "rectangle"}])

    async def test_a_cursor_addressed_to_the_diagram_reaches_its_cursor_room(self):
        other = await self.connect("excalidraw")
        await other.subscribe("cursor:d2")
        sender = await self.connect("excalidraw")
        reply = await self.publish_as(sender, "diagram:d2", "cursor.moved", {"n": 1})
        self.assertEqual(reply["data"], {"status": "published", "channel": "diagram:d2"})
        frame = await self.published(other)
        self.assertEqual((frame["event"], frame["room"], frame["data"]),
                         ("cursor.moved", "cursor:d2", {"n": 1}))

    async def test_no_other_services_clients_publish(self):
        for name in ("mahavishnu", "akosha", "crackerjack", "dhruva", "fastblocks"):
            client = await self.connect(name)
            reply = await self.publish_as(client, "a", "e")
            self.assertEqual(reply["error_code"], "UNKNOWN_REQUEST", name)


class ControlAway(Case):
    @classmethod
    def config(cls):
        return small_config(excalidraw(), default_service="excalidraw",
                            control={"adopt_window": "3s"}, limits={"control_wait": "20s"})

    async def test_what_waited_is_published_in_order_when_control_is_back(self):
        client = await self.connect("excalidraw")
        await client.subscribe("diagram:a")
        self.server.kill()
        for n in range(5):
            await client.send({"type": "request", "id": str(n), "event": "publish",
                               "data": publish_data("diagram:a", "diagram.updated", {"n": n})})
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)
        replies = [await client.next_reply() for _ in range(5)]
        codes = [reply["error_code"] for reply in replies]
        # One that was sent to the control that died may be lost: then the client is told.
        self.assertLessEqual(set(codes), {None, "UNAVAILABLE"})
        published = [reply for reply in replies if reply["error_code"] is None]
        self.assertEqual([reply["data"]["offset"] for reply in published],
                         list(range(1, len(published) + 1)))
        # An event may come later than its answer.
        numbers = []
        while len(numbers) < len(published):
            frame = await client.event()
            if frame["event"] == "diagram.updated":
                numbers.append(frame["data"]["n"])
        self.assertEqual(numbers, [int(reply["correlation_id"]) for reply in published])


if __name__ == "__main__":
    main()
