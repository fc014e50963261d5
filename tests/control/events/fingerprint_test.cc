#include "control/events/fingerprint.h"

#include <set>
#include <string>

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

}  // namespace
}  // namespace fanwire::control
