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
      "{ \"g\" : \"}\\\",{\",\n\"a\":1 ,\t\"b\":{\"c\":\"x\",\"d\":[ 1 , 2,{\"f\":true,\"e\":null} "
      "] } }",
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

}  // namespace
}  // namespace fanwire::control
