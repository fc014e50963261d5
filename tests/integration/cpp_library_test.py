"""A project of its own is built against the installed C++ library, in C++17 too, and runs; so is
the code of docs/publishing-cpp.md."""
import asyncio
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import harness.server
from harness import Case, main, service, shipped_config
from harness.config import ROOT
from harness.documents import blocks

BUILD = harness.server.BIN.parent
VERSION = re.search(r"VERSION (\d+\.\d+)\.\d+", (ROOT / "CMakeLists.txt").read_text()).group(1)
EXAMPLE = ROOT / "docs/examples/publish/cpp"

# The least that a project needs.
CXX17 = """\
#include <fanwire/catalog/session_buddy.h>
#include <fanwire/publisher.h>
#include <fanwire/responder.h>
#ifdef GRPC_ARG_ENABLE_CENSUS
#error "the headers bring gRPC"
#endif
#ifdef GOOGLE_PROTOBUF_VERSION
#error "the headers bring Protobuf"
#endif
int main() {
  fanwire::client::PublisherOptions options;
  options.target = "://";
  fanwire::client::Publisher publisher(options);
  fanwire::client::Event event;
  event.service = "s";
  return publisher.Publish(event).code() == fanwire::client::Code::kInvalidArgument ? 0 : 1;
}
"""


# A catalog of its own.
BILLING_PROTO = """\
syntax = "proto3";
package acme.billing;
import "fanwire/catalog/v1/options.proto";
// An invoice left.
message InvoiceSent {
  option (fanwire.catalog.v1.event) = {
    service: "billing" name: "invoice.sent" channels: "invoice:{invoice_id}"
  };
  string invoice_id = 1;
  int64 cents = 2;
  repeated Line lines = 3;
  optional string note = 4;
}
message Line { string text = 1; }
"""
BILLING = """\
#include <fanwire/catalog/billing.h>
int main() {
  fanwire::client::Publisher publisher;
  fanwire::client::BillingBroadcaster billing(&publisher);
  fanwire::client::billing::InvoiceSentOptions options;
  options.note = "thanks";
  fanwire::client::billing::Line line;
  line.text = "one";
  const bool sent = billing.InvoiceSent("i1", 9007199254740993, {line}, options).ok() &&
                    publisher.Flush(std::chrono::seconds(60)).ok();
  return sent ? 0 : 1;
}
"""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class CppLibrary(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        event = {"name": "invoice.sent", "channels": ["invoice:{invoice_id}"],
                 "data": {"invoice_id": "s", "cents": "i", "lines": "l", "note": "s?"}}
        config["services"].append(service("billing", events=[event], catalog_check="enforce"))
        return config

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # With a space, as in the paths of some users.
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire cpp-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        run("cmake", "--install", BUILD, "--prefix", cls.folder / "prefix")

    def build(self, source, name, *options):
        tree = self.folder / f"build-{name}"
        run("cmake", "-S", source, "-B", tree, "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={self.folder / 'prefix'}", *options)
        run("cmake", "--build", tree)
        return tree / name

    async def test_the_example_publishes_and_answers(self):
        program = self.build(EXAMPLE, "workflow")
        client = await self.connect()
        await client.subscribe("workflow:wf_7")
        process = subprocess.Popen([str(program), "wf_7"], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, "FANWIRE_SERVER": self.server.address})
        self.addCleanup(process.kill)
        events = await client.events(3)
        self.assertEqual([event["event"] for event in events],
                         ["workflow.started", "workflow.stage_completed", "workflow.note"])
        self.assertEqual({**events[0]["data"], "timestamp": ""},
                         {"workflow_id": "wf_7", "adapter": "prefect", "total_stages": 2,
                          "timestamp": ""})
        while True:
            reply = await client.request("get_progress")
            if reply["type"] == "response":
                break
            self.assertIn(reply["error_code"], ("UNKNOWN_REQUEST", "UNAVAILABLE"))
            await asyncio.sleep(0.02)  # it does not serve yet
        self.assertEqual(reply["data"], {"workflow_id": "wf_7", "percent": 50})
        out, error = await asyncio.get_running_loop().run_in_executor(
            None, process.communicate, "\n")
        self.assertEqual((process.returncode, error), (0, ""))
        self.assertIn("note has offset 3\n", out)
        self.assertEqual((await client.event("workflow.completed"))["data"]["result"],
                         {"answer": 42})

    async def test_a_catalog_of_its_own_has_a_broadcaster(self):
        source = self.folder / "own"
        source.mkdir()
        (source / "main.cc").write_text(BILLING)
        (source / "billing.proto").write_text(BILLING_PROTO)
        (source / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(own CXX)\n"
            "set(CMAKE_CXX_STANDARD 17)\nset(CMAKE_CXX_EXTENSIONS OFF)\n"
            f"find_package(Fanwire {VERSION} REQUIRED)\n"
            "add_executable(own main.cc)\n"
            "target_compile_options(own PRIVATE -Wall -Wextra -Wpedantic -Werror)\n"
            "fanwire_add_broadcaster(own billing.proto)\n")
        program = self.build(source, "own")
        client = await self.connect("billing")
        await client.subscribe("invoice:i1")
        process = await asyncio.create_subprocess_exec(
            program, env={**os.environ, "FANWIRE_SERVER": self.server.address})
        self.assertEqual(await process.wait(), 0)
        data = (await client.event("invoice.sent"))["data"]
        self.assertEqual(data, {"invoice_id": "i1", "cents": 9007199254740993,
                                "lines": [{"text": "one"}], "note": "thanks"})
        # What control reads as `catalog_files`.
        said = run(harness.server.BIN / "wsctl", "catalog", "validate",
                   self.folder / "build-own/fanwire/billing.binpb")
        self.assertIn("invoice.sent", said)
        # An event that does not say whose it is has no broadcaster.
        (source / "billing.proto").write_text(BILLING_PROTO.replace('service: "billing"', ""))
        with self.assertRaisesRegex(AssertionError, "InvoiceSent.*has no service"):
            run("cmake", "--build", self.folder / "build-own")

    async def test_the_code_of_the_document(self):
        """Each block in a function of its own; the events of docs/events.md."""
        document = blocks("docs/publishing-cpp.md")
        codes = [block.code for block in document if block.language == "cpp"]
        includes = {line for code in codes for line in code.splitlines() if line.startswith("#")}
        text = "".join(f"{line}\n" for line in sorted(includes)) + "#include <chrono>\n"
        text += '#include "fanwire/catalog/billing.h"\n'
        for number, code in enumerate(codes):
            body = "\n".join(line for line in code.splitlines() if not line.startswith("#"))
            if "Publisher publisher;" not in code:
                body = f"fanwire::client::Publisher publisher;\n{body}"
            text += (f"void Block{number}() {{\n{body}\n"
                     "publisher.Flush(std::chrono::seconds(60));\n}\n")
        calls = "".join(f"Block{number}();" for number in range(len(codes)))
        source = self.folder / "document"
        source.mkdir()
        (source / "main.cc").write_text(f"{text}int main() {{ {calls} }}\n")
        [proto] = [block.code for block in blocks("docs/events.md") if block.language == "proto"]
        (source / "billing.proto").write_text(proto)
        link, make = [block.code for block in document if block.language == "cmake"]
        (source / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(document CXX)\n"
            f"set(CMAKE_CXX_STANDARD 20)\n{make}{link}")
        program = self.build(source, "my_service")
        client = await self.connect()
        await client.subscribe("workflow:wf_1")
        process = await asyncio.create_subprocess_exec(
            program, env={**os.environ, "FANWIRE_SERVER": self.server.address})
        self.assertEqual(await process.wait(), 0)
        self.assertEqual([event["event"] for event in await client.events(3)],
                         ["workflow.started", "workflow.started", "workflow.completed"])

    def test_headers_are_light_and_cxx17(self):
        source = self.folder / "cxx17"
        source.mkdir()
        (source / "main.cc").write_text(CXX17)
        (source / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(plain CXX)\n"
            "set(CMAKE_CXX_STANDARD 17)\nset(CMAKE_CXX_EXTENSIONS OFF)\n"
            f"find_package(Fanwire {VERSION} REQUIRED)\n"
            "add_executable(plain main.cc)\n"
            "target_compile_options(plain PRIVATE -Wall -Wextra -Wpedantic -Werror)\n"
            "target_link_libraries(plain PRIVATE Fanwire::publisher)\n")
        run(self.build(source, "plain"))


if __name__ == "__main__":
    main()
