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
  ASSERT_EQ(list.size(), Documents().size() + 1);
  EXPECT_EQ(list.back()["uri"], "fanwire://catalog");
  for (const Json& resource : list) {
    if (!resource.contains("size")) continue;
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

TEST_F(McpResourcesTest, TheCatalogIsAskedOfControl) {
  Initialize();
  control_.admin.catalogs = {
      {.service = "s", .events = {{.service = "s", .name = "thing.made", .channels = {"thing"}}}}};
  const Json all = Request("resources/read", R"({"uri":"fanwire://catalog"})");
  const Json contents = all["result"]["contents"][0];
  EXPECT_EQ(contents["mimeType"], "application/json");
  EXPECT_EQ(Json::parse(std::string(contents["text"]))[0]["event"], "thing.made");
  EXPECT_FALSE(all["result"].contains("ttlMs"));
  const Json one = Request("resources/read", R"({"uri":"fanwire://catalog/s"})");
  const Json schema = one["result"]["contents"][0];
  EXPECT_EQ(schema["mimeType"], "application/schema+json");
  EXPECT_TRUE(Json::parse(std::string(schema["text"])).contains("$defs"));
  End();
  EXPECT_EQ(control_.admin.catalog_service, "s");
}

TEST_F(McpResourcesTest, ACatalogThatCannotBeReadSaysWhy) {
  Initialize();
  control_.admin.failure = absl::NotFoundError("service \"x\" is not configured");
  const Json missing = Request("resources/read", R"({"uri":"fanwire://catalog/x"})");
  EXPECT_EQ(missing["error"]["code"], -32002);
  EXPECT_EQ(missing["error"]["message"], "Resource not found: service \"x\" is not configured");
  End();
  Initialize();
  control_.admin.failure = absl::UnavailableError("away");
  const Json away = Request("resources/read", R"({"uri":"fanwire://catalog"})");
  EXPECT_EQ(away["error"]["code"], -32603);
  EXPECT_EQ(away["error"]["message"], "UNAVAILABLE: away");
}

TEST_F(McpResourcesTest, AnUnknownOneIsAnErrorOfTheVersion) {
  Initialize();
  for (const char* uri : {"fanwire://docs/nope.md", "fanwire://docs/../README.md",
                          "file:///etc/passwd", "cli.md", "fanwire://catalog/"}) {
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
