"""The catalog of events: typed and untyped events through to subscribers, and the documents that
wsctl makes of it."""
import asyncio
import json
import pathlib
import shutil
import subprocess
import tempfile

import grpc
from fanwire.v1 import publish_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness import Case, main, service, shipped_config, small_config
from harness.config import ROOT

NODE = pathlib.Path(__file__).parent / "node"
SERVICES = ["akosha", "crackerjack", "dhruva", "excalidraw", "fastblocks", "mahavishnu",
            "session-buddy"]
STRUCT = "google.protobuf.Struct"


class Messages:
    """Message classes made of descriptors, as a publisher without generated code makes them."""

    def __init__(self, *protos, folders=()):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "set"
            subprocess.run(["protoc", "-I", ROOT / "proto", *(f"-I{one}" for one in folders),
                            "--include_imports", f"--descriptor_set_out={path}", *protos],
                           check=True)
            self.bytes = path.read_bytes()
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(self.bytes).file:
            self._pool.Add(file)
        self._factory = message_factory.MessageFactory(self._pool)

    def make(self, name):
        return self._factory.GetPrototype(self._pool.FindMessageTypeByName(name))()


def fill(message):
    """Sets every field of a message.  Returns the JSON value of each."""
    values = {}
    for number, field in enumerate(message.DESCRIPTOR.fields, 1):
        repeated = field.label == field.LABEL_REPEATED
        target = getattr(message, field.name)
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            one = target.add() if repeated else target
            value = fill_message(one)
            if not repeated:
                one.SetInParent()
        else:
            value = {field.CPPTYPE_STRING: f"{field.name} ü\"{number}",
                     field.CPPTYPE_INT64: 2 ** 53 + number, field.CPPTYPE_DOUBLE: number + 0.25,
                     field.CPPTYPE_BOOL: True}[field.cpp_type]
            if field.name.endswith("_id") or field.name in ("repo", "room", "project"):
                value = f"{field.name}-{number}"
            if repeated:
                target.append(value)
            else:
                setattr(message, field.name, value)
        values[field.name] = [value] if repeated else value
    return values


def fill_message(message):
    kind = message.DESCRIPTOR.full_name
    if kind == STRUCT:
        message.fields["a"].number_value = 1.5
        message.fields["b"].struct_value.fields["c"].string_value = "d"
        return {"a": 1.5, "b": {"c": "d"}}
    if kind == "google.protobuf.Value":
        message.list_value.values.add().bool_value = False
        return [False]
    if kind == "google.protobuf.ListValue":
        message.values.add().string_value = "x"
        return ["x"]
    return fill(message)


class RoundTrip(Case):
    """Every event of the catalog, typed and untyped, from publisher to subscriber."""

    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
        return config

    def setUp(self):
        super().setUp()
        self.messages = Messages(*sorted(ROOT.glob("proto/fanwire/catalog/v1/*.proto")))

    async def subscriber(self, name):
        client = await self.connect(name, 1 if name == "session-buddy" else 0)
        await client.subscribe("**")
        return client

    async def copies(self, client, receipt, rooms):
        """The frames of a publication on these channels, in their order."""
        found = {}
        while not set(rooms) <= set(found):
            [frame] = await client.events(1)
            if frame["id"] == receipt.id:
                found[frame["room"]] = frame
        return [found[room] for room in rooms]

    async def test_every_event_typed_and_untyped(self):
        events = self.server.wsctl_json("catalog", "list")
        schemas = json.loads(self.export("jsonschema"))["$defs"]
        self.assertGreater(len(events), 80)
        clients = {name: await self.subscriber(name) for name in SERVICES}
        for event in events:
            with self.subTest(event["message"]):
                keys = schemas[event["message"].replace("fanwire.catalog.v1.", "")]["properties"]
                await self.round_trip(event, keys, clients[event["service"]])

    async def round_trip(self, event, keys, client):
        message = self.messages.make(event["message"])
        values = fill(message)
        rooms = [channel.format(**values) for channel in event["channels"]]
        data = {key: values[key] for key in keys}
        for field in message.DESCRIPTOR.fields:
            # What is no key is spread, or only for the channel.
            if field.name not in keys and field.message_type is not None:
                data = {**values[field.name], **data}
        typed = publish_pb2.Event(service=event["service"])
        typed.typed.type_url = f"type.googleapis.com/{event['message']}"
        typed.typed.value = message.SerializeToString()
        if not rooms:
            rooms = ["any:channel"]
            typed.channel = rooms[0]
        receipt = await self.send(typed)
        for frame in await self.copies(client, receipt, rooms):
            self.assertEqual((frame["event"], frame["data"]), (event["event"], data))
        for room in rooms:
            receipt = await self.send(publish_pb2.Event(
                service=event["service"], channel=room, event=event["event"],
                json=json.dumps(data).encode()))
            [frame] = await self.copies(client, receipt, [room])
            self.assertEqual((frame["event"], frame["data"]), (event["event"], data))

    async def send(self, event):
        request = publish_pb2.PublishRequest(event=event)
        response = await asyncio.to_thread(self.publisher.stub.Publish, request, timeout=30)
        return response.receipt

    async def test_a_typed_retry_is_a_duplicate_though_its_time_was_filled_in(self):
        message = self.messages.make("fanwire.catalog.v1.mahavishnu.WorkflowStarted")
        message.workflow_id = "retry"
        fill_message(message.metadata)
        event = publish_pb2.Event(service="mahavishnu", idempotency_key="typed-retry")
        event.typed.type_url = "type.googleapis.com/" + message.DESCRIPTOR.full_name
        event.typed.value = message.SerializeToString()
        first, again = await self.send(event), await self.send(event)
        self.assertTrue(again.duplicate)
        self.assertEqual(again.position, first.position)
        message.workflow_id = "other"
        event.typed.value = message.SerializeToString()
        with self.assertRaises(grpc.RpcError) as refused:
            await self.send(event)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.ALREADY_EXISTS)

    async def test_a_text_that_is_not_utf8_is_told_to_the_publisher_and_not_to_the_log(self):
        event = publish_pb2.Event(service="mahavishnu")
        event.typed.type_url = "type.googleapis.com/fanwire.catalog.v1.mahavishnu.PoolClosed"
        event.typed.value = b"\x0a\x01\xff"
        with self.assertRaises(grpc.RpcError) as refused:
            await self.send(event)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("not UTF-8", refused.exception.details())
        self.assertNotIn("libprotobuf", self.server.log())

    async def test_a_fault_names_event_path_and_both_types(self):
        with self.assertRaises(grpc.RpcError) as refused:
            self.publish("cursor:d", "cursor.moved",
                         {"diagram_id": "d", "user_id": "u", "position": {"x": "1", "y": 2},
                          "timestamp": "t"}, service="excalidraw")
        self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(refused.exception.details(),
                         'event "cursor.moved": data.position.x: expected a number, found a text')

    async def test_the_running_control_tells_its_catalog(self):
        built_in = self.server.wsctl_json("catalog", "list")
        running = self.server.wsctl_json("catalog", "list", "--running")
        key = lambda event: (event["service"], event["event"], event["message"])  # noqa: E731
        self.assertEqual(sorted(running, key=key), sorted(built_in, key=key))
        self.assertEqual(self.server.wsctl("catalog", "list", "--running", "--service", "none",
                                           check=False).returncode, 69)

    # ---------------------------------------------------------------------------- documents

    async def node(self, form, document, stdin=""):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / ("events.ts" if form == "typescript" else "events.json")
            path.write_text(document)
            process = await asyncio.create_subprocess_exec(
                "node", "catalog.mjs", form, path, cwd=NODE, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
            out, err = await process.communicate(stdin.encode())
            return process.returncode, out.decode(), err.decode()

    def export(self, form):
        return self.server.wsctl("catalog", "export", "--format", form).stdout

    async def test_asyncapis_own_parser_takes_the_document(self):
        code, out, err = await self.node("asyncapi", self.export("asyncapi"))
        self.assertEqual((code, err), (0, ""))
        told = json.loads(out)
        self.assertEqual((told["version"], told["messages"]), ("3.0.0", len(self.server.wsctl_json("catalog", "list"))))
        broken = json.loads(self.export("asyncapi"))
        del broken["info"]["title"]
        code, _, err = await self.node("asyncapi", json.dumps(broken))
        self.assertEqual(code, 1)
        self.assertIn("info", err)

    async def test_the_json_schema_takes_frames_and_refuses_wrong_ones(self):
        client = await self.subscriber("mahavishnu")
        self.publish("pool:p", "pool.scaled",
                     {"pool_id": "p", "worker_count": 3, "timestamp": "t"})
        frame = await client.event("pool.scaled")
        wrong = {**frame, "data": {**frame["data"], "worker_count": "3"}}
        code, out, err = await self.node("jsonschema", self.export("jsonschema"),
                                         f"{json.dumps(frame)}\n{json.dumps(wrong)}\n")
        self.assertEqual((code, out, err), (0, "true\nfalse\n", ""))

    async def test_the_typescript_types_compile(self):
        use = """
        function check(event: EventOf<"mahavishnu">): string {
          switch (event.event) {
            case "workflow.failed": return event.data.error;
            case "pool.scaled": return event.data.worker_count.toFixed();
            default: return event.room;
          }
        }
        check({} as EventOf<"mahavishnu">);
        """
        types = self.export("typescript")
        self.assertEqual(await self.node("typescript", types + use), (0, "", ""))
        code, _, err = await self.node("typescript",
                                       types + use.replace("data.error", "data.worker_count"))
        self.assertEqual(code, 1)
        self.assertIn("is not assignable", err)


class OwnEvents(Case):
    """Events of a user's own descriptor file."""

    PROTO = """
    syntax = "proto3";
    package billing;
    import "fanwire/catalog/v1/options.proto";
    message InvoiceSent {
      option (fanwire.catalog.v1.event) = {
        name: "invoice.sent" channels: "invoice:{invoice_id}"
      };
      string invoice_id = 1;
      int64 cents = 2;
    }
    """

    @classmethod
    def config(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-catalog-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.write(cls.PROTO)
        return small_config(service("billing", catalog_files=[str(cls.folder / "billing.binpb")],
                                    catalog_check="enforce"))

    @classmethod
    def write(cls, text):
        (cls.folder / "billing.proto").write_text(text)
        cls.messages = Messages("billing.proto", folders=[cls.folder])
        (cls.folder / "billing.binpb").write_bytes(cls.messages.bytes)

    def typed(self, **fields):
        message = self.messages.make("billing.InvoiceSent")
        for name, value in fields.items():
            setattr(message, name, value)
        event = publish_pb2.Event(service="billing")
        event.typed.type_url = "type.googleapis.com/billing.InvoiceSent"
        event.typed.value = message.SerializeToString()
        return self.publisher.stub.Publish(publish_pb2.PublishRequest(event=event), timeout=30)

    async def test_it_is_published_typed_and_a_reload_reads_the_file_again(self):
        client = await self.connect("billing")
        await client.subscribe("invoice:i1")
        self.typed(invoice_id="i1", cents=2 ** 60)
        self.assertEqual((await client.event("invoice.sent"))["data"],
                         {"invoice_id": "i1", "cents": 2 ** 60})
        self.assertEqual(self.server.wsctl_json("config", "reload")["applied"], [])
        self.write(self.PROTO.replace("int64 cents = 2;", "int64 cents = 2; string note = 3;"))
        self.assertEqual(self.server.wsctl_json("config", "reload")["applied"],
                         ["services[billing].catalog_files"])
        self.typed(invoice_id="i1", cents=1, note="late")
        self.assertEqual((await client.event("invoice.sent"))["data"],
                         {"invoice_id": "i1", "cents": 1, "note": "late"})

    async def test_wsctl_reads_it_from_the_file_and_from_control(self):
        file = str(self.folder / "billing.binpb")
        self.assertEqual(self.server.wsctl("catalog", "validate", file).stdout,
                         f"{file}: invoice.sent\n")
        for source in (["--config", str(self.server.config_file)], ["--running"]):
            [event] = self.server.wsctl_json("catalog", "list", *source)
            self.assertEqual((event["service"], event["event"], event["message"]),
                             ("billing", "invoice.sent", "billing.InvoiceSent"))

    async def test_a_faulty_file_stops_a_reload(self):
        (self.folder / "billing.binpb").write_text("services: []")
        try:
            done = self.server.wsctl("config", "reload", check=False)
        finally:
            self.write(self.PROTO)
        self.assertEqual(done.returncode, 67)
        self.assertIn("not a set of descriptors", done.stderr)


if __name__ == "__main__":
    main()
