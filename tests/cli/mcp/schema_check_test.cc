#include "cli/mcp/schema_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/mcp/mcp_tool.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string FaultOf(const char* arguments) {
  static const Json schema = Json::parse(InputSchema(
      {{"channel", RequiredText("")},
       {"service", OptionalText("")},
       {"limit", WholeNumber(1, 1000, 100, "")},
       {"sort", Choice({"name", "recent"}, "")},
       {"slow", YesOrNo("")},
       {"events", R"({"type":"array","items":{"type":"string"},"maxItems":2})"},
       {"wait", R"({"anyOf":[{"type":"number","minimum":0},{"type":"null"}]})"},
       {"data", R"({"anyOf":[{"additionalProperties":true,"type":"object"},{"type":"null"}]})"}},
      {"channel"}));
  return SchemaFault(schema, Json::parse(arguments));
}

TEST(SchemaCheckTest, WhatFitsHasNoFault) {
  for (const char* arguments :
       {R"({"channel":"c"})", R"({"channel":"c","service":null,"limit":1,"sort":"recent"})",
        R"({"channel":"c","service":"s","limit":1000.0,"slow":true,"events":["a","b"]})",
        R"({"channel":"c","wait":0.5,"data":{"any":["thing"]}})",
        R"({"channel":"c","wait":null,"data":null})"}) {
    EXPECT_EQ(FaultOf(arguments), "") << arguments;
  }
}

TEST(SchemaCheckTest, FaultsNameTheArgumentAndWhatIsWanted) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "[] is an array; wanted is an object"},
      {"{}", "channel is missing"},
      {R"({"channel":""})", "channel: the text is empty"},
      {R"({"channel":5})", "channel: 5 is a number; wanted is a string"},
      {R"({"channel":"c","chanel":1})", R"("chanel" is no argument; did you mean "channel"?)"},
      {R"({"channel":"c","x":1})",
       R"("x" is no argument; there are channel, service, limit, sort, slow, events, wait, data)"},
      {R"({"channel":"c","limit":0})", "limit: 0 is less than 1"},
      {R"({"channel":"c","limit":5000})", "limit: 5000 is more than 1000"},
      {R"({"channel":"c","limit":1.5})", "limit: 1.5 is a number; wanted is an integer"},
      {R"({"channel":"c","limit":99999999999999999999})", "limit: 1e+20 is more than 1000"},
      {R"({"channel":"c","limit":"7"})", R"(limit: "7" is a string; wanted is an integer)"},
      {R"({"channel":"c","sort":"size"})", R"(sort: "size" is not one of "name", "recent")"},
      {R"({"channel":"c","slow":"yes"})", R"(slow: "yes" is a string; wanted is a boolean)"},
      {R"({"channel":"c","service":[]})", "service: [] is an array; wanted is a string or null"},
      {R"({"channel":"c","wait":-1})", "wait: -1 is less than 0"},
      {R"({"channel":"c","events":["a",1]})", "events[1]: 1 is a number; wanted is a string"},
      {R"({"channel":"c","events":["a","b","c"]})", "events: 3 items are more than 2"},
  };
  for (const auto& [arguments, fault] : cases) EXPECT_EQ(FaultOf(arguments), fault) << arguments;
}

TEST(SchemaCheckTest, AToolWithoutArgumentsSaysSo) {
  EXPECT_EQ(SchemaFault(Json::parse(InputSchema({})), Json::parse(R"({"a":1})")),
            R"("a" is no argument; there are none)");
}

TEST(SchemaCheckTest, LongValuesAreCut) {
  const std::string fault =
      SchemaFault(Json::parse(R"({"type":"object"})"), Json(std::string(1000, 'x')));
  EXPECT_LT(fault.size(), 120u);
}

}  // namespace
}  // namespace fanwire::cli
