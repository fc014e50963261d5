#include "cli/mcp/resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/cli/mcp/mcp_fixture.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

class McpResourcesTest : public McpFixture {};

TEST_F(McpResourcesTest, TheDocumentsAreTheFilesByteForByte) {
  ASSERT_FALSE(Documents().empty());
  for (const Document& document : Documents()) {
    const std::string name(document.name);
    const bool at_the_top = name == "README.md" || name == "CHANGELOG.md";
    std::ifstream file(absl::StrCat(FANWIRE_SOURCE_DIR, at_the_top ? "/" : "/docs/", name),
                       std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(document.text, text.str()) << name;
  }
}

TEST_F(McpResourcesTest, TheyAreSortedByName) {
  const auto& documents = Documents();
  EXPECT_TRUE(std::is_sorted(documents.begin(), documents.end(),
                             [](const Document& a, const Document& b) { return a.name < b.name; }));
}

TEST_F(McpResourcesTest, EveryListedResourceCanBeRead) {
  Initialize();
  const Json list = Request("resources/list")["result"]["resources"];
  EXPECT_EQ(list.size(), Documents().size());
  for (const Json& resource : list) {
    const Json contents =
        Request("resources/read",
                absl::StrCat(R"({"uri":)", resource["uri"].dump(), "}"))["result"]["contents"];
    ASSERT_EQ(contents.size(), 1u);
    EXPECT_EQ(contents[0]["uri"], resource["uri"]);
    EXPECT_EQ(contents[0]["mimeType"], "text/markdown");
    EXPECT_EQ(std::string(contents[0]["text"]).size(), resource["size"]);
  }
}

TEST_F(McpResourcesTest, TheTitleIsTheFirstHeading) {
  Initialize();
  const Json list = Request("resources/list");
  for (const Json& resource : list["result"]["resources"]) {
    if (resource["name"] == "cli.md") {
      EXPECT_EQ(resource["title"], "wsctl");
    }
  }
}

TEST_F(McpResourcesTest, AnUnknownOneIsAnErrorOfTheVersion) {
  Initialize();
  for (const char* uri :
       {"fanwire://docs/nope.md", "fanwire://docs/../README.md", "file:///etc/passwd", "cli.md"}) {
    const Json error = Request("resources/read", absl::StrCat(R"({"uri":")", uri, "\"}"))["error"];
    EXPECT_EQ(error["code"], -32002);
    EXPECT_EQ(error["data"]["uri"], uri);
  }
  EXPECT_EQ(Request("resources/read")["error"]["code"], -32602);
  EXPECT_EQ(Request("resources/read",
                    R"({"uri":"fanwire://docs/nope.md","_meta":{)"
                    R"("io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                    R"("io.modelcontextprotocol/clientCapabilities":{}}})")["error"]["code"],
            -32602);
}

}  // namespace
}  // namespace fanwire::cli
