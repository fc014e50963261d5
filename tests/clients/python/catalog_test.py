"""The messages of the catalog, and how they are published."""
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from google.protobuf import json_format

from fake_control import PATIENCE, FakeControl
from fanwire import catalog
from fanwire.catalog.fastblocks import StateChanged
from fanwire.catalog.mahavishnu import TeamCreated, WorkflowStageCompleted, WorkflowStarted
from fanwire.publisher import Publisher

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Messages(unittest.TestCase):
    def test_each_file_of_the_catalog_is_a_module(self):
        for path in (ROOT / "proto/fanwire/catalog/v1").glob("*.proto"):
            if path.stem == "options":
                continue
            module = importlib.import_module(f"fanwire.catalog.{path.stem}")
            found = [each for each in vars(module).values() if isinstance(each, catalog.EventType)]
            self.assertTrue(found, path)
            self.assertEqual({each.service for each in found if each.service},
                             {path.stem.replace("_", "-")})

    def test_an_event_type_tells_about_itself(self):
        self.assertEqual((TeamCreated.service, TeamCreated.event, TeamCreated.channels,
                          TeamCreated.status),
                         ("mahavishnu", "team.created", ("goal-teams", "goal-teams:{user_id}"),
                          "built"))
        self.assertIn("workflow.started on workflow:{workflow_id}: workflow_id, prompt",
                      WorkflowStarted.__doc__)
        self.assertIn(WorkflowStarted, catalog.events())

    def test_fields_take_plain_values(self):
        message = WorkflowStageCompleted(workflow_id="wf", stage_name="s", progress=50,
                                         result={"ok": True, "items": [1, "a", None]})
        self.assertEqual(json_format.MessageToDict(message, preserving_proto_field_name=True), {
            "workflow_id": "wf", "stage_name": "s", "progress": 50.0,
            "result": {"ok": True, "items": [1.0, "a", None]}})
        self.assertEqual(StateChanged(new_value=[1]).new_value.list_value.values[0].number_value, 1)

    def test_wrong_fields_are_errors(self):
        with self.assertRaisesRegex(TypeError, 'WorkflowStarted: .*"workflow"'):
            WorkflowStarted(workflow="wf")
        with self.assertRaisesRegex(TypeError, "WorkflowStarted: .*workflow_id"):
            WorkflowStarted(workflow_id=5)

    def test_protobuf_in_pure_python(self):
        program = ("from fanwire.catalog.mahavishnu import WorkflowStarted\n"
                   "from google.protobuf.internal import api_implementation\n"
                   "print(api_implementation.Type(), WorkflowStarted.event,\n"
                   "      WorkflowStarted(workflow_id='wf').workflow_id)")
        found = subprocess.run(
            [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"})
        self.assertEqual(found.stdout, "python workflow.started wf\n")

    def test_a_catalog_of_ones_own(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "mine.proto")
            path.write_text('''syntax = "proto3"; package mine;
                import "fanwire/catalog/v1/options.proto";
                message Seen {
                  option (fanwire.catalog.v1.event) = {name: "thing.seen", channels: "things"};
                  int64 number = 1;
                }
                message Part { string name = 1; }''')
            subprocess.run(["protoc", "-I", folder, "-I", ROOT / "proto", "--include_imports",
                            f"--descriptor_set_out={folder}/mine.binpb", path], check=True)
            found = catalog.load(f"{folder}/mine.binpb")
        self.assertEqual(list(found), ["mine.Seen"])
        self.assertEqual((found["mine.Seen"].event, found["mine.Seen"](number=2**60).number),
                         ("thing.seen", 2**60))

    def test_a_catalog_as_the_documentation_writes_it_and_one_of_another_version(self):
        text = '''syntax = "proto3"; package NAME;
            import "fanwire/catalog/v1/options.proto";
            // A thing was seen.
            message Seen {
              option (fanwire.catalog.v1.event) = {name: "thing.seen", channels: "things"};
              string name = 1;
            }'''
        options = (ROOT / "proto/fanwire/catalog/v1/options.proto").read_text()
        newer = options.replace("bool closed = 5;", "bool closed = 5; string more = 6;")
        self.assertNotEqual(newer, options)
        for name, options, flags in (("documented", options, ["--include_source_info"]),
                                     ("newer", newer, [])):
            with tempfile.TemporaryDirectory() as folder:
                pathlib.Path(folder, "fanwire/catalog/v1").mkdir(parents=True)
                pathlib.Path(folder, "fanwire/catalog/v1/options.proto").write_text(options)
                path = pathlib.Path(folder, f"{name}.proto")
                path.write_text(text.replace("NAME", name))
                subprocess.run(["protoc", "-I", folder, "--include_imports", *flags,
                                f"--descriptor_set_out={folder}/mine.binpb", path], check=True)
                for _ in range(2):
                    found = catalog.load(f"{folder}/mine.binpb")
                    self.assertEqual(found[f"{name}.Seen"](name="a").name, "a")
                path.write_text(text.replace("NAME", name).replace("= 1", "= 2"))
                subprocess.run(["protoc", "-I", folder, "--include_imports",
                                f"--descriptor_set_out={folder}/other.binpb", path], check=True)
                with self.assertRaisesRegex(ValueError, f"other.binpb: {name}.proto: "):
                    catalog.load(f"{folder}/other.binpb")
                path.write_bytes(b"\xff")
                with self.assertRaisesRegex(ValueError, "not a set of descriptors"):
                    catalog.load(path)


class Publishing(unittest.TestCase):
    def publish(self, *arguments, **fields):
        with FakeControl() as control, Publisher(control.address) as publisher:
            publisher.publish(*arguments, **fields).result(PATIENCE)
            return control.accepted[0]

    def test_a_message_alone(self):
        event = self.publish(WorkflowStarted(workflow_id="wf"), ttl=5)
        self.assertEqual((event.service, event.channel, event.event, event.ttl.seconds),
                         ("mahavishnu", "", "", 5))
        self.assertEqual(event.typed.type_url,
                         "type.googleapis.com/fanwire.catalog.v1.mahavishnu.WorkflowStarted")
        self.assertEqual(WorkflowStarted.message_class.FromString(event.typed.value).workflow_id,
                         "wf")

    def test_a_message_by_keyword(self):
        event = self.publish(typed=WorkflowStarted(workflow_id="wf"))
        self.assertEqual((event.service, event.WhichOneof("payload")), ("mahavishnu", "typed"))
        with self.assertRaisesRegex(TypeError, "either data or a message"):
            self.publish(WorkflowStarted(workflow_id="wf"), data={})

    def test_a_message_with_a_service_and_a_channel(self):
        event = self.publish("other", "workflow:a", data=WorkflowStarted(workflow_id="wf"))
        self.assertEqual((event.service, event.channel, event.WhichOneof("payload")),
                         ("other", "workflow:a", "typed"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
