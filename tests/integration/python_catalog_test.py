"""Messages of the catalog, published through the Python library."""
import logging

from google.protobuf.descriptor import FieldDescriptor

from fanwire import catalog
from fanwire.catalog.akosha import PatternDetected
from fanwire.catalog.mahavishnu import TeamCreated, WorkflowStageCompleted, WorkflowStarted
from fanwire.publisher import AsyncPublisher, EventRefused
from harness import Case, main, shipped_config
from harness.server import PATIENCE

SAMPLES = {"google.protobuf.Struct": {"key": [1, "a", None]}, "google.protobuf.Value": ["a"],
           "google.protobuf.ListValue": ["a", "b"]}


def sample(descriptor):
    """Returns a value for each field of a message, as EventType takes them."""
    values = {}
    for field in descriptor.fields:
        if field.message_type is None:
            value = {FieldDescriptor.CPPTYPE_STRING: f"{field.name}1",
                     FieldDescriptor.CPPTYPE_INT64: 2**53 + 1, FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
                     FieldDescriptor.CPPTYPE_BOOL: True}[field.cpp_type]
        else:
            kind = field.message_type.full_name
            value = SAMPLES.get(kind) or sample(field.message_type)
        values[field.name] = [value] if field.label == field.LABEL_REPEATED else value
    return values


class Typed(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
        return config

    async def asyncSetUp(self):
        self.publisher = AsyncPublisher(self.server.address)
        self.addAsyncCleanup(self.publisher.close)

    async def test_control_computes_channel_name_and_keys(self):
        client = await self.connect()
        await client.subscribe("workflow:wf_1")
        receipt = await self.publisher.publish(
            WorkflowStarted(workflow_id="wf_1", prompt="p", total_stages=2**60,
                            metadata={"extra": [1, "ü"]}), id="mine")
        frame = await client.event("workflow.started")
        self.assertEqual((frame["id"], frame["room"], frame["offset"]),
                         ("mine", "workflow:wf_1", receipt.offset))
        self.assertRegex(frame["data"].pop("timestamp"), r"\+00:00$")
        self.assertEqual(frame["data"], {"workflow_id": "wf_1", "prompt": "p",
                                         "total_stages": 2**60, "extra": [1, "ü"]})

    async def test_an_event_of_several_channels(self):
        client = await self.connect()
        await client.subscribe("goal-teams")
        await client.subscribe("goal-teams:ana")
        await self.publisher.publish(TeamCreated(team_id="t", team_name="n", goal="g",
                                                 mode="route", user_id="ana"))
        frames = await client.events(2)
        self.assertEqual({frame["room"] for frame in frames}, {"goal-teams", "goal-teams:ana"})
        self.assertNotIn("user_id", frames[0]["data"])

    async def test_refusals(self):
        for message, arguments in (
                (WorkflowStageCompleted(stage_name="s"), ()),        # no id for the channel
                (PatternDetected(pattern_id="p"), ("mahavishnu",)),  # of another service
                (WorkflowStarted(workflow_id="a"), ("mahavishnu", "workflow:b"))):
            with self.assertRaises(EventRefused) as caught:
                if arguments:
                    await self.publisher.publish(*arguments, data=message)
                else:
                    await self.publisher.publish(message)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT", caught.exception)

    async def test_every_event_of_the_catalog_is_accepted(self):
        published = []
        for kind in catalog.events():
            message = kind(**sample(kind.message_class.DESCRIPTOR))
            channel = "" if kind.channels else "any:channel"
            published.append((kind, await self.publisher.enqueue(kind.service, channel,
                                                                 data=message)))
        await self.publisher.flush(PATIENCE)
        refused = [f"{kind}: {pending.exception()}" for kind, pending in published
                   if pending.exception()]
        self.assertEqual(refused, [])
        self.assertGreater(len(published), 70)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
