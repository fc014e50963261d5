#include "cli/commands/catalog.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/catalog_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/built_in_catalog.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class CatalogTest : public testing::Test {
 protected:
  static ServiceCatalog Orders() {
    return {
        .service = "orders",
        .check = "warn",
        .events = {{.service = "orders",
                    .name = "order.placed",
                    .comment = "An order | was placed.",
                    .channels = {"order:{order_id}", "orders"},
                    .status = CatalogEvent::Status::kPlanned,
                    .spread = true,
                    .keys = {{.name = "order_id", .type = CatalogType::kText},
                             {.name = "lines",
                              .type = CatalogType::kList,
                              .optional = true,
                              .keys = {{.type = CatalogType::kObject,
                                        .keys = {{.name = "cents",
                                                  .comment = "The price.",
                                                  .type = CatalogType::kInt64}}}}},
                             {.name = "kind", .type = CatalogType::kText, .values = {"A", "B"}}}},
                   {.service = "orders", .name = "order.closed", .closed = true}}};
  }

  nlohmann::json Export(const std::string& format) {
    const Outcome outcome = wsctl_.Run({"catalog", "export", "--running", "--format", format});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }

  CliRunner wsctl_;
};

// ------------------------------------------------------------------------------- where from

TEST_F(CatalogTest, TheBuiltInOneNeedsNoControl) {
  wsctl_.admin.failure = absl::UnavailableError("away");
  const Outcome all = wsctl_.Run({"catalog", "list", "-o", "plain"});
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(all.out, HasSubstr("mahavishnu\tworkflow.started\tbuilt\tworkflow:{workflow_id}\t"
                                 "A workflow begins.\n"));
  EXPECT_THAT(all.out, HasSubstr("excalidraw\ttest.event\ttest\tany\t"));
  const Outcome one = wsctl_.Run({"catalog", "--service", "akosha", "-o", "plain"});
  EXPECT_THAT(one.out, StartsWith("akosha\tpattern.detected\tbuilt\t"));
  EXPECT_THAT(one.out, Not(HasSubstr("mahavishnu")));
  const Outcome none = wsctl_.Run({"catalog", "list", "--service", "akoscha"});
  EXPECT_EQ(none.code, 69);
  EXPECT_EQ(none.err,
            "wsctl: NOT_FOUND: no catalog of service \"akoscha\"; did you mean \"akosha\"?\n");
}

TEST_F(CatalogTest, ItMayComeFromAConfigurationOrFromTheRunningControl) {
  wsctl_.catalog_here = std::vector<ServiceCatalog>{Orders(), {.service = "silent"}};
  EXPECT_EQ(wsctl_.Run({"catalog", "list", "--config", "f.yaml", "-o", "plain"}).out,
            "orders\torder.placed\tplanned\torder:{order_id} orders\tAn order | was placed.\n"
            "orders\torder.closed\t\tany\t\n");
  EXPECT_EQ(wsctl_.catalog_asked, "f.yaml");
  wsctl_.admin.catalogs = {Orders()};
  EXPECT_THAT(wsctl_.Run({"catalog", "list", "--running", "--service", "orders"}).out,
              HasSubstr("order.placed"));
  EXPECT_EQ(wsctl_.admin.catalog_service, "orders");
  const Outcome both = wsctl_.Run({"catalog", "list", "--running", "--config", "f.yaml"});
  EXPECT_EQ(both.code, 2);
  wsctl_.catalog_here = absl::InvalidArgumentError("f.yaml: bad");
  EXPECT_EQ(wsctl_.Run({"catalog", "list", "--config", "f.yaml"}).code, 67);
}

// ------------------------------------------------------------------------------- show

TEST_F(CatalogTest, AnEventIsShownWithItsKeys) {
  wsctl_.admin.catalogs = {Orders()};
  EXPECT_EQ(wsctl_.Run({"catalog", "show", "order.placed", "--running"}).out,
            "event         order.placed\n"
            "service       orders\n"
            "channels      order:{order_id} orders\n"
            "status        planned\n"
            "meaning       An order | was placed.\n"
            "further keys  usual\n"
            "KEY            TYPE          OPTIONAL  MEANING\n"
            "order_id       text                    \n"
            "lines          list: object  optional  \n"
            "lines[].cents  whole number            The price.\n"
            "kind           A, B                    \n");
  const auto json = nlohmann::json::parse(
      wsctl_.Run({"catalog", "show", "order.placed", "--running", "-o", "json"}).out);
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["keys"][1]["keys"][0]["keys"][0]["key"], "cents");
  EXPECT_EQ(json[0]["message"], nullptr);
  const Outcome none = wsctl_.Run({"catalog", "show", "order.place", "--running"});
  EXPECT_EQ(none.code, 69);
  EXPECT_THAT(none.err, HasSubstr("no event \"order.place\" in the catalog of service \"orders\"; "
                                  "did you mean \"order.placed\"?"));
}

TEST_F(CatalogTest, EveryFormOfAnEventIsShown) {
  const auto json = nlohmann::json::parse(
      wsctl_.Run({"catalog", "show", "adapter.health_changed", "-o", "json"}).out);
  EXPECT_EQ(json.size(), 2u);
}

// ------------------------------------------------------------------------------- validate

TEST_F(CatalogTest, FilesOfDescriptorsAreChecked) {
  std::string folder = testing::TempDir() + "catalog-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string good = folder + "/good", bad = folder + "/bad";
  const absl::string_view bytes = BuiltInCatalog();
  std::ofstream(good, std::ios::binary) << std::string(bytes);
  std::ofstream(bad) << "services: []\n";
  const Outcome fine = wsctl_.Run({"catalog", "validate", good});
  EXPECT_EQ(fine.code, 0);
  EXPECT_THAT(fine.out, AllOf(StartsWith(good + ": "), HasSubstr("workflow.started, ")));
  const Outcome both = wsctl_.Run({"catalog", "validate", bad, good, folder + "/none"});
  EXPECT_EQ(both.code, 67);
  EXPECT_THAT(both.out, AllOf(HasSubstr(bad + ": not a set of descriptors"), HasSubstr("/none: ")));
  EXPECT_THAT(both.err, HasSubstr("2 files cannot be used as catalog_files"));
  const auto json =
      nlohmann::json::parse(wsctl_.Run({"catalog", "validate", bad, good, "-o", "json"}).out);
  EXPECT_THAT(json[0]["error"].get<std::string>(), HasSubstr("not a set"));
  EXPECT_EQ(json[1]["error"], nullptr);
  EXPECT_FALSE(json[1]["events"].empty());
  std::filesystem::remove_all(folder);
}

// ------------------------------------------------------------------------------- export

TEST_F(CatalogTest, JsonSchemaDescribesEnvelopesAndTheDataOfEachEvent) {
  wsctl_.admin.catalogs = {Orders()};
  const nlohmann::json schema = Export("jsonschema");
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["properties"]["type"]["const"], "event");
  const nlohmann::json& placed = schema["$defs"]["orders.order.placed"];
  EXPECT_EQ(placed["required"], nlohmann::json({"order_id", "kind"}));
  EXPECT_FALSE(placed.contains("additionalProperties"));
  EXPECT_EQ(placed["properties"]["lines"]["type"], nlohmann::json({"array", "null"}));
  EXPECT_EQ(placed["properties"]["lines"]["items"]["properties"]["cents"],
            nlohmann::json({{"type", "integer"}, {"description", "The price."}}));
  EXPECT_EQ(placed["properties"]["kind"]["enum"], nlohmann::json({"A", "B"}));
  EXPECT_EQ(schema["$defs"]["orders.order.closed"]["additionalProperties"], false);
  EXPECT_EQ(schema["anyOf"][0]["properties"]["event"]["const"], "order.placed");
  EXPECT_EQ(schema["anyOf"][0]["properties"]["data"]["$ref"], "#/$defs/orders.order.placed");
}

TEST_F(CatalogTest, AsyncApiHasAChannelForEachTemplateOfAService) {
  wsctl_.admin.catalogs = {Orders()};
  const nlohmann::json api = Export("asyncapi");
  EXPECT_EQ(api["asyncapi"], "3.0.0");
  const nlohmann::json& channel = api["channels"]["orders.order.order_id"];
  EXPECT_EQ(channel["address"], "order:{order_id}");
  EXPECT_TRUE(channel["parameters"].contains("order_id"));
  EXPECT_EQ(channel["messages"]["orders.order.placed"]["$ref"],
            "#/components/messages/orders.order.placed");
  EXPECT_EQ(api["channels"]["orders.orders"]["address"], "orders");
  EXPECT_TRUE(api["channels"]["orders.any"]["address"].is_null());
  EXPECT_EQ(api["operations"]["orders.orders.send"]["action"], "send");
  EXPECT_EQ(api["components"]["messages"]["orders.order.placed"]["name"], "order.placed");
}

// Every reference within a document leads somewhere.
void ExpectNoDanglingReference(const nlohmann::json& document, const nlohmann::json& at) {
  if (at.is_object() && at.contains("$ref") && at["$ref"].is_string()) {
    const std::string pointer = at["$ref"].get<std::string>().substr(1);
    EXPECT_TRUE(document.contains(nlohmann::json::json_pointer(pointer))) << pointer;
  }
  if (at.is_structured()) {
    for (const nlohmann::json& inner : at) ExpectNoDanglingReference(document, inner);
  }
}

TEST_F(CatalogTest, NoReferenceOfADocumentDangles) {
  for (const char* format : {"asyncapi", "jsonschema"}) {
    const auto document = nlohmann::json::parse(
        wsctl_.Run({"catalog", "export", "--format", format}).out, nullptr, false);
    ASSERT_TRUE(document.is_object()) << format;
    ExpectNoDanglingReference(document, document);
  }
}

TEST_F(CatalogTest, TypeScriptHasATypeForEachEvent) {
  wsctl_.admin.catalogs = {Orders()};
  const std::string text =
      wsctl_.Run({"catalog", "export", "--running", "--format", "typescript"}).out;
  EXPECT_THAT(text, HasSubstr("export namespace orders {\n"
                              "  /** An order | was placed. */\n"
                              "  export interface OrderPlaced {\n"
                              "    order_id: string;\n"
                              "    lines?: Array<{\n"
                              "      /** The price. */\n"
                              "      cents: number;\n"
                              "      [key: string]: unknown;\n"
                              "    }> | null;\n"
                              "    kind: \"A\" | \"B\";\n"
                              "    [key: string]: unknown;\n"
                              "  }\n"
                              "  export interface OrderClosed {\n"
                              "  }\n"
                              "}\n"));
  EXPECT_THAT(text, HasSubstr("  \"orders\": {\n"
                              "    \"order.closed\": orders.OrderClosed;\n"
                              "    \"order.placed\": orders.OrderPlaced;\n"
                              "  };\n"));
}

TEST_F(CatalogTest, MarkdownEscapesWhatWouldEndACell) {
  const std::string text = MarkdownOf({Orders()});
  EXPECT_THAT(text, HasSubstr("\n## orders\n\n### order.placed\nAn order | was placed. "
                              "On `order:{order_id}` and `orders`. *Planned.*\n"));
  EXPECT_THAT(text, HasSubstr("| `lines[].cents` | whole number |  | The price. |\n"));
  EXPECT_THAT(text, HasSubstr("\nData has no further keys.\n"));
}

// ------------------------------------------------------------------------------- docs/events.md

TEST_F(CatalogTest, ThePageOfEventsIsInStepWithTheCatalog) {
  std::ifstream file(FANWIRE_SOURCE_DIR "/docs/events.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::string begin = "<!-- events: begin -->\n", end = "<!-- events: end -->\n";
  const size_t from = page.find(begin), to = page.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  EXPECT_EQ(page.substr(from + begin.size(), to - from - begin.size()),
            wsctl_.Run({"catalog", "export", "--format", "markdown"}).out)
      << "run tests/scripts/event_docs";
}

}  // namespace
}  // namespace fanwire::cli
