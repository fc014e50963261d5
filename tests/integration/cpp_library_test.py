"""A project of its own is built against the installed C++ library, in C++17 too, and runs."""
import asyncio
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import harness.server
from harness import Case, main
from harness.config import ROOT

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


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class CppLibrary(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-cpp-", dir="/tmp"))
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
