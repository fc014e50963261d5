#include "control/events/fingerprint.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

TEST(FingerprintTest, TheOrderOfMembersDoesNotCountInATypedPayload) {
  const char* same[] = {
      R"({"a":1,"b":{"c":"x","d":[1,2,{"e":null,"f":true}]},"g":"}\",{"})",
      R"({"b":{"d":[1,2,{"f":true,"e":null}],"c":"x"},"g":"}\",{","a":1})",
      R"({"g":"}\",{","a":1,"b":{"c":"x","d":[1,2,{"f":true,"e":null}]}})",
      R"({ "g" : "}\",{",
"a":1 ,   "b":{"c":"x","d":[ 1 , 2,{"f":true,"e":null} ] } })",
  };
  for (const char* json : same) EXPECT_EQ(JsonFingerprint(json), JsonFingerprint(same[0])) << json;
}

TEST(FingerprintTest, WhatDiffersInAnyOtherWayIsAnother) {
  const char* different[] = {
      "{}",
      "[]",
      "null",
      R"("")",
      R"({"a":{}})",
      R"({"a":[]})",
      R"({"a":1})",
      R"({"a":1.0})",
      R"({"a":"1"})",
      R"({"b":1})",
      R"({"a":1,"b":2})",
      R"({"a":2,"b":1})",
      R"({"a":{"b":1}})",
      R"({"a":{"b":1},"c":2})",
      R"({"a":{"b":1,"c":2}})",
      R"({"a":[1,2]})",
      R"({"a":[2,1]})",
      R"({"a":[1,[2]]})",
      R"({"a":[[1],2]})",
      R"({"a":[1,2,null]})",
      R"({"a":"x","b":"y"})",
      R"({"a":"y","b":"x"})",
      R"({"a":"\"","b":"x"})",
      R"({"a":"\\","b":"x"})",
      R"({"a":true})",
      R"({"a":false})",
      R"({"a":null})",
  };
  std::set<uint64_t> seen;
  for (const char* json : different) {
    EXPECT_TRUE(seen.insert(JsonFingerprint(json)).second) << json;
  }
}

TEST(FingerprintTest, TextThatIsNoJsonHasAnEnd) {
  for (const char* text : {"", "{", "[", "\"", "{\"", "{\"a", "{\"a\"", "{\"a\":", "[1", "[1,", "}",
                           "]", ",", "{,", "[,,", "{1", "[}", "{]", "\"\\"}) {
    JsonFingerprint(text);
    JsonFingerprint(absl::StrCat("[", text, "]"));
  }
}

TEST(FingerprintTest, ChannelNameTypeAndPayloadCount) {
  Event first;
  first.channel = "x";
  first.event = "e";
  first.json = R"({"a":1,"b":2})";
  Event other = first;
  EXPECT_EQ(Fingerprint(first), Fingerprint(other));
  other.id = "id";
  other.idempotency_key = "key";
  EXPECT_EQ(Fingerprint(first), Fingerprint(other));
  other.channel = "y";
  EXPECT_NE(Fingerprint(first), Fingerprint(other));
  other = first;
  other.event = "f";
  EXPECT_NE(Fingerprint(first), Fingerprint(other));
  other = first;
  other.json = R"({"b":2,"a":1})";  // JSON counts as it is
  EXPECT_NE(Fingerprint(first), Fingerprint(other));
  Event typed = first;
  typed.typed_url = "type.googleapis.com/google.protobuf.Struct";
  EXPECT_NE(Fingerprint(first), Fingerprint(typed));
  other.typed_url = typed.typed_url;
  EXPECT_EQ(Fingerprint(typed), Fingerprint(other));
}

TEST(FingerprintTest, WhereATextEndsCounts) {
  std::set<uint64_t> seen;
  for (const auto& [channel, event, url, json] : std::vector<std::array<const char*, 4>>{
           {"ab", "c", "", "1"},
           {"a", "bc", "", "1"},
           {"", "abc", "", "1"},
           {"abc", "", "", "1"},
           {"ab", "", "c", "1"},
           {"ab", "", "", "c1"},
           {"", "ab", "", "c1"},
       }) {
    Event parts;
    parts.channel = channel;
    parts.event = event;
    parts.typed_url = url;
    parts.json = json;
    EXPECT_TRUE(seen.insert(Fingerprint(parts)).second)
        << channel << "|" << event << "|" << url << "|" << json;
  }
}

// A length-delimited field.
std::string MessageField(int number, const std::string& value) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(value.size())) + value;
}

TEST(MessageFingerprintTest, TheOrderOfFieldsAndEntriesDoesNotCount) {
  const std::string one = MessageField(1, MessageField(1, "key") + MessageField(2, "value"));
  const std::string two = MessageField(1, MessageField(1, "other") + MessageField(2, "value"));
  const std::string number("\x18\x07", 2), fixed("\x25\x01\x02\x03\x04", 5);
  const uint64_t hash = MessageFingerprint(one + two + number + fixed);
  EXPECT_EQ(MessageFingerprint(fixed + two + one + number), hash);
  EXPECT_EQ(MessageFingerprint(MessageField(9, one + two)),
            MessageFingerprint(MessageField(9, two + one)));
  EXPECT_NE(MessageFingerprint(one + two + number), hash);
  EXPECT_NE(MessageFingerprint(one + one + number + fixed), hash);
}

TEST(MessageFingerprintTest, WhatDiffersIsAnother) {
  std::set<uint64_t> seen;
  for (const std::string& bytes :
       {std::string(), MessageField(1, "a"), MessageField(2, "a"), MessageField(1, "b"),
        MessageField(1, "a") + MessageField(1, "a"), std::string("\x08\x01", 2),
        std::string("\x08\x02", 2), std::string("\xff\xff", 2), std::string("\x0a", 1)}) {
    EXPECT_NE(MessageFingerprint(bytes), 0u);
    EXPECT_TRUE(seen.insert(MessageFingerprint(bytes)).second);
  }
}

TEST(MessageFingerprintTest, ADeepMessageIsReadInBoundedTime) {
  std::string deep;
  for (int i = 0; i < 2000; ++i) {
    std::string size;
    for (size_t left = deep.size(); left > 0 || size.empty(); left >>= 7) {
      size.push_back(static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0)));
    }
    deep = "\x0a" + size + deep;
  }
  EXPECT_EQ(MessageFingerprint(deep), MessageFingerprint(deep));
}

// Known answers, which another program computed from the definition.  Fingerprints may be stored
// and compared by a later process.  A change of these values makes control forget what it has
// remembered of events: an event that is sent again is then taken for another one and refused.

TEST(KnownFingerprintTest, TextsOfAllLengths) {
  // XXH3 hashes texts of up to 3, 8, 16, 128, 240 and more bytes in different ways.
  const std::pair<size_t, uint64_t> known[] = {
      {1, 0x1982e3a7bb241055},    {3, 0x946bd01b2b4d5acf},    {4, 0xa5b95d4c860945f5},
      {8, 0xf43ab78f097f5132},    {9, 0x4765d871e160ebf4},    {16, 0xbdc3f150c934e96f},
      {17, 0x719e08d5758b55a0},   {128, 0xb1d80651609e33f3},  {129, 0x3a23b87c9483c420},
      {240, 0x58bf8ad2d340a32d},  {241, 0x57897c263656fb47},  {512, 0xe93484c4bdf914e3},
      {1024, 0x74152f6dd76bee64}, {1025, 0x4f65fe274d25056b}, {4096, 0x08986db5758f21ce},
  };
  for (const auto& [size, hash] : known) {
    std::string digits;
    for (size_t i = 0; i < size; ++i) {
      digits.push_back(static_cast<char>('0' + (7 * i + i / 10) % 10));
    }
    EXPECT_EQ(JsonFingerprint(digits), hash) << size;
  }
}

TEST(KnownFingerprintTest, Json) {
  const std::pair<const char*, uint64_t> known[] = {
      {"", 0},
      {"null", 0xb785b6ec423c44e1},
      {"-1.5e3", 0x99396982b5684b75},
      {R"("")", 0xa10276e838f45d34},
      {R"("wf_123")", 0xbb2323c7c27758a2},
      {"{}", 0x892d6ae346d9f759},
      {"[]", 0xfb9f54eebdada660},
      {R"({"a":1})", 0x65522d4092f4196b},
      {"[1,2]", 0x2d4b67bbdfdbc2e4},
      {R"({"a":{},"b":[[]]})", 0x4a3e5c76513f998c},
      {R"({"workflow_id":"wf_123","done":true,"stages":[{"name":"build","seconds":1.5},null]})",
       0xb74a221dbe33c983},
      {R"( { "b" : "\"}" , "a" : [ "\u00e9" ] } )", 0xb760674ab6a447d8},
      {"{\"name\":\"gr\xc3\xb6\xc3\x9f\x65r\"}", 0x6c1125a5ad58fb1c},
  };
  for (const auto& [json, hash] : known) EXPECT_EQ(JsonFingerprint(json), hash) << json;
}

TEST(KnownFingerprintTest, Messages) {
  std::string deep;  // deeper than messages are read
  for (int i = 0; i < 40; ++i) deep = MessageField(1, deep);
  const std::pair<std::string, uint64_t> known[] = {
      {"", 0xcc38a6429a913601},
      {MessageField(1, "wf_123"), 0xd4f3118690853b45},
      {std::string("\x08\x96\x01", 3), 0x1e6e35bcb4aa36f1},
      {std::string("\x11\x01\x02\x03\x04\x05\x06\x07\x08", 9), 0xb4adb3b32e4e0ad9},
      {std::string("\x1d\x01\x02\x03\x04", 5), 0x23d065f214544c3b},
      {MessageField(1, MessageField(1, "key") + MessageField(2, "value")) + "\x18\x07",
       0x73fc97c641eb054b},
      {std::string("\xff\xff", 2), 0xb25805c594dec06b},  // no message
      {deep, 0x02a05e61e2f8dd35},
  };
  for (const auto& [bytes, hash] : known) {
    EXPECT_EQ(MessageFingerprint(bytes), hash) << absl::CHexEscape(bytes);
  }
}

TEST(KnownFingerprintTest, Events) {
  Event event;
  EXPECT_EQ(Fingerprint(event), 0xe733e7d18c2bbd64);
  event.channel = "workflow:wf_123";
  event.event = "workflow.stage_completed";
  event.json = R"({"stage":"build","done":true})";
  EXPECT_EQ(Fingerprint(event), 0x14aaa214927aae78);
  event.typed_url = "type.googleapis.com/google.protobuf.Struct";
  EXPECT_EQ(Fingerprint(event), 0x731fbd127206afad);
  event.json = R"({"done":true,"stage":"build"})";
  EXPECT_EQ(Fingerprint(event), 0x731fbd127206afad);
  event.json = "";
  event.typed_url = "type.googleapis.com/fanwire.catalog.v1.WorkflowStageCompleted";
  event.typed_hash = MessageFingerprint(MessageField(1, "wf_123"));
  EXPECT_EQ(Fingerprint(event), 0x20cca454b017007f);
}

}  // namespace
}  // namespace fanwire::control
