#include "proto/catalog_descriptors.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/channel_name.h"
#include "proto/event_name.h"
#include "tests/testing/descriptor_set.h"
#include "tests/testing/status.h"

namespace fanwire {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kBad = absl::StatusCode::kInvalidArgument;

// The one event of a file with this text.
CatalogEvent Only(absl::string_view text) {
  const auto read = CatalogDescriptors::Read(DescriptorSetOf(text));
  EXPECT_OK(read);
  if (!read.ok() || (*read)->events().size() != 1) {
    ADD_FAILURE() << "not one event";
    return {};
  }
  return (*read)->events()[0];
}

absl::Status Fault(absl::string_view text) {
  return CatalogDescriptors::Read(DescriptorSetOf(text)).status();
}

const CatalogKey& KeyOf(const CatalogEvent& event, absl::string_view name) {
  for (const CatalogKey& key : event.keys) {
    if (key.name == name) return key;
  }
  ADD_FAILURE() << event.name << " has no key " << name;
  static const CatalogKey none;
  return none;
}

// ------------------------------------------------------------------------------- reading

TEST(CatalogDescriptorsTest, FieldsBecomeKeysWithTypes) {
  const CatalogEvent event = Only(R"(
message Point { double x = 1; optional int32 size = 2; }
message Everything {
  option (fanwire.catalog.v1.event) = {
    service: "s" name: "all.types" channels: "a:{text_id}" channels: "b:{extra}" status: PLANNED
  };
  enum Mode { ONE = 0; TWO = 1; }
  string text_id = 1;
  optional int64 whole = 2;
  uint64 natural = 3;
  int32 small = 4;
  uint32 small_natural = 5;
  float number = 6;
  bool flag = 7 [json_name = "is-flag"];
  Mode mode = 8;
  Point point = 9;
  google.protobuf.Struct object = 10;
  google.protobuf.ListValue list = 11;
  google.protobuf.Value anything = 12;
  repeated string texts = 13 [(fanwire.catalog.v1.key).optional = true];
  map<string, Point> points = 14;
  google.protobuf.Timestamp when = 15;
  oneof choice { string a = 16; string b = 17; }
  optional string note = 18 [(fanwire.catalog.v1.key).nullable = true];
  google.protobuf.Struct more = 19 [(fanwire.catalog.v1.key).spread = true];
  Point flat = 20 [(fanwire.catalog.v1.key).spread = true];
  string extra = 21 [(fanwire.catalog.v1.key).routing_only = true];
})");
  EXPECT_EQ(event.service, "s");
  EXPECT_EQ(event.name, "all.types");
  EXPECT_EQ(event.message, "test.Everything");
  EXPECT_THAT(event.channels, ElementsAre("a:{text_id}", "b:{extra}"));
  EXPECT_EQ(event.status, CatalogEvent::Status::kPlanned);
  EXPECT_FALSE(event.closed);
  EXPECT_TRUE(event.spread);
  const std::map<std::string, CatalogType> expected = {{"text_id", CatalogType::kText},
                                                       {"whole", CatalogType::kInt64},
                                                       {"natural", CatalogType::kUint64},
                                                       {"small", CatalogType::kInt32},
                                                       {"small_natural", CatalogType::kUint32},
                                                       {"number", CatalogType::kNumber},
                                                       {"is-flag", CatalogType::kBoolean},
                                                       {"mode", CatalogType::kText},
                                                       {"point", CatalogType::kObject},
                                                       {"object", CatalogType::kObject},
                                                       {"list", CatalogType::kList},
                                                       {"anything", CatalogType::kAny},
                                                       {"texts", CatalogType::kList},
                                                       {"points", CatalogType::kMap},
                                                       {"when", CatalogType::kText},
                                                       {"a", CatalogType::kText},
                                                       {"b", CatalogType::kText},
                                                       {"note", CatalogType::kText},
                                                       {"x", CatalogType::kNumber},
                                                       {"size", CatalogType::kInt32}};
  std::map<std::string, CatalogType> found;
  std::set<std::string> optional;
  for (const CatalogKey& key : event.keys) {
    found[key.name] = key.type;
    if (key.optional) optional.insert(key.name);
  }
  EXPECT_EQ(found, expected);
  EXPECT_THAT(optional, ElementsAre("a", "b", "note", "size", "texts", "whole"));
  EXPECT_TRUE(KeyOf(event, "note").nullable);
  EXPECT_THAT(KeyOf(event, "mode").values, ElementsAre("ONE", "TWO"));
  EXPECT_THAT(KeyOf(event, "point").keys, SizeIs(2));
  EXPECT_EQ(KeyOf(event, "point").message, "test.Point");
  EXPECT_THAT(KeyOf(event, "object").keys, IsEmpty());
  ASSERT_THAT(KeyOf(event, "texts").keys, SizeIs(1));
  EXPECT_EQ(KeyOf(event, "texts").keys[0].type, CatalogType::kText);
  ASSERT_THAT(KeyOf(event, "points").keys, SizeIs(1));
  EXPECT_THAT(KeyOf(event, "points").keys[0].keys, SizeIs(2));
  ASSERT_THAT(event.routing_keys, SizeIs(1));
  EXPECT_EQ(event.routing_keys[0].name, "extra");
}

TEST(CatalogDescriptorsTest, AMessageInItselfIsAnyObject) {
  const CatalogEvent event = Only(R"(
message Tree { string name = 1; repeated Tree children = 2; }
message Grown { option (fanwire.catalog.v1.event) = { name: "grown" }; Tree tree = 1; })");
  const CatalogKey& tree = KeyOf(event, "tree");
  ASSERT_THAT(tree.keys, SizeIs(2));
  ASSERT_THAT(tree.keys[1].keys, SizeIs(1));
  EXPECT_EQ(tree.keys[1].keys[0].type, CatalogType::kObject);
  EXPECT_THAT(tree.keys[1].keys[0].keys, IsEmpty());
}

size_t CountKeys(const std::vector<CatalogKey>& keys) {
  size_t count = keys.size();
  for (const CatalogKey& key : keys) count += CountKeys(key.keys);
  return count;
}

TEST(CatalogDescriptorsTest, MessagesThatHoldOthersManyTimesDoNotFillTheMemory) {
  std::string text = "message M15 { string a = 1; }\n";
  for (int i = 14; i > 0; --i) {
    absl::StrAppend(&text, "message M", i, " { ");
    for (int field = 1; field <= 9; ++field) {
      absl::StrAppend(&text, "M", i + 1, " f", field, " = ", field, "; ");
    }
    absl::StrAppend(&text, "}\n");
  }
  const CatalogEvent event =
      Only(text + "message E { option (fanwire.catalog.v1.event) = { name: \"e\" }; M1 m = 1; }");
  const size_t keys = CountKeys(event.keys);
  EXPECT_GE(keys, 10'000);
  EXPECT_LT(keys, 11'000);
}

TEST(CatalogDescriptorsTest, NestedMessagesDescribeEventsToo) {
  EXPECT_EQ(Only("message M { message N { option (fanwire.catalog.v1.event) = { name: \"n\" }; } }")
                .message,
            "test.M.N");
}

TEST(CatalogDescriptorsTest, EachMistakeIsNamed) {
  const auto fault = [](absl::string_view options, absl::string_view fields) {
    return Fault(absl::StrCat("message M { option (fanwire.catalog.v1.event) = { ", options,
                              " };\n", fields, "}"));
  };
  EXPECT_THAT(fault("", ""), StatusIs(kBad, HasSubstr("test.M: name: ")));
  EXPECT_THAT(fault("name: \"channel.skipped\"", ""),
              StatusIs(kBad, HasSubstr("\"channel.skipped\" is reserved")));
  EXPECT_THAT(fault("name: \"e\" channels: \"a:{b}\"", ""),
              StatusIs(kBad, HasSubstr("\"a:{b}\": no field \"b\"")));
  EXPECT_THAT(fault("name: \"e\" channels: \"a:{b}\"", "double b = 1;"),
              StatusIs(kBad, HasSubstr("no field \"b\" that is a text or a whole number")));
  for (const char* channel : {"a:{b", "a:b}", "a:}b{"}) {
    EXPECT_THAT(fault(absl::StrCat("name: \"e\" channels: \"", channel, "\""), "string b = 1;"),
                StatusIs(kBad, HasSubstr("do not pair")))
        << channel;
  }
  for (const char* channel : {"", "a:*", "**"}) {
    EXPECT_THAT(fault(absl::StrCat("name: \"e\" channels: \"", channel, "\""), ""),
                StatusIs(kBad, HasSubstr("is not a channel's name")))
        << channel;
  }
  std::string many = "name: \"e\"";
  for (int i = 0; i < 17; ++i) absl::StrAppend(&many, " channels: \"c", i, "\"");
  EXPECT_THAT(fault(many, ""), StatusIs(kBad, HasSubstr("17, at most 16 allowed")));
  EXPECT_THAT(fault("name: \"e\"", "bytes b = 1;"), StatusIs(kBad, HasSubstr("JSON has no bytes")));
  EXPECT_THAT(fault("name: \"e\"", "string b = 1 [(fanwire.catalog.v1.key).spread = true];"),
              StatusIs(kBad, HasSubstr("only a message can be spread")));
  EXPECT_THAT(fault("name: \"e\" closed: true",
                    "google.protobuf.Struct b = 1 [(fanwire.catalog.v1.key).spread = true];"),
              StatusIs(kBad, HasSubstr("it is closed")));
  EXPECT_THAT(fault("name: \"e\"",
                    "message P { string a = 1; } string a = 1;"
                    "P p = 2 [(fanwire.catalog.v1.key).spread = true];"),
              StatusIs(kBad, HasSubstr("two fields have the key \"a\"")));
  EXPECT_THAT(fault("name: \"e\"",
                    "message P { string a = 1 [(fanwire.catalog.v1.key).routing_only = true]; }"
                    "P p = 2;"),
              StatusIs(kBad, HasSubstr("for fields of the event")));
}

TEST(CatalogDescriptorsTest, WhatIsNoDescriptorSetIsRefused) {
  for (const char* bytes : {"", "services: []", "\xff\xff"}) {
    EXPECT_THAT(CatalogDescriptors::Read(bytes).status(),
                StatusIs(kBad, HasSubstr("protoc --include_imports --descriptor_set_out")));
  }
  // Without its imports: the first file of the set is one.
  const std::string whole = DescriptorSetOf("message M { google.protobuf.Struct s = 1; }");
  const size_t first = 2 + static_cast<unsigned char>(whole[1]);
  EXPECT_FALSE(CatalogDescriptors::Read(whole.substr(0, first)).ok());
}

// ------------------------------------------------------------------------------- the built-in one

TEST(BuiltInCatalogTest, HasTheSevenServices) {
  EXPECT_THAT(BuiltInCatalogNames(), ElementsAre("akosha", "crackerjack", "dhruva", "excalidraw",
                                                 "fastblocks", "mahavishnu", "session-buddy"));
}

TEST(BuiltInCatalogTest, EveryEventIsDocumentedAndCanBePublished) {
  for (const CatalogEvent& event : CatalogDescriptors::BuiltIn()->events()) {
    EXPECT_NE(event.status, CatalogEvent::Status::kUnknown) << event.message;
    EXPECT_TRUE(absl::EndsWith(event.comment, ".")) << event.message;
    EXPECT_FALSE(IsReservedEventName(event.name)) << event.message;
    EXPECT_NE(CatalogDescriptors::BuiltIn()->Prototype(event.message), nullptr);
    if (event.channels.empty()) {
      EXPECT_EQ(event.status, CatalogEvent::Status::kTest) << event.message;
    }
    // Each message of a service is of its package.
    std::string service = event.service;
    std::replace(service.begin(), service.end(), '-', '_');
    EXPECT_THAT(event.message, HasSubstr(absl::StrCat("fanwire.catalog.v1.", service, ".")));
  }
}

TEST(BuiltInCatalogTest, KeysAreWrittenAsTheServicesWriteThem) {
  for (const CatalogEvent& event : CatalogDescriptors::BuiltIn()->events()) {
    for (const CatalogKey& key : event.keys) {
      EXPECT_EQ(key.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
                std::string::npos)
          << event.message << ": " << key.name;
    }
  }
}

}  // namespace
}  // namespace fanwire
