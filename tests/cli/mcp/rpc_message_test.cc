#include "cli/mcp/rpc_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/utf8.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = RpcMessage::Kind;

RpcMessage Only(absl::string_view line) {
  const RpcLine read = ReadRpcLine(line);
  EXPECT_FALSE(read.batch);
  EXPECT_THAT(read.messages, SizeIs(1)) << line;
  return read.messages.empty() ? RpcMessage() : read.messages[0];
}

TEST(RpcMessageTest, ARequestHasIdMethodAndParams) {
  const RpcMessage message =
      Only(R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}})");
  EXPECT_EQ(message.kind, Kind::kRequest);
  EXPECT_EQ(message.id, "7");
  EXPECT_EQ(message.method, "tools/call");
  EXPECT_EQ(message.params, R"({"name":"a"})");
}

TEST(RpcMessageTest, WithoutIdItIsANotification) {
  const RpcMessage message = Only(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  EXPECT_EQ(message.kind, Kind::kNotification);
  EXPECT_THAT(message.params, IsEmpty());
}

TEST(RpcMessageTest, IdsKeepEveryDigitAndTheirType) {
  for (const char* id :
       {"12345678901234567890123", "1.50", "1e3", "1e400", "-0", R"("7")", R"("\u0061")"}) {
    const RpcMessage message =
        Only(absl::StrCat(R"({"jsonrpc":"2.0","id":)", id, R"(,"method":"ping"})"));
    EXPECT_EQ(message.kind, Kind::kRequest) << id;
    EXPECT_EQ(message.id, id);
  }
}

TEST(RpcMessageTest, ParamsKeepTheirDigitsAndTheirOrder) {
  constexpr char kParams[] = R"({"z":18446744073709551616,"b":1e400,"a":0.10})";
  EXPECT_EQ(
      Only(absl::StrCat(R"({"jsonrpc":"2.0","id":1,"method":"m","params":)", kParams, "}")).params,
      kParams);
}

TEST(RpcMessageTest, AResponseOfTheClientIsNoFault) {
  EXPECT_EQ(Only(R"({"jsonrpc":"2.0","id":1,"result":{}})").kind, Kind::kResponse);
  EXPECT_EQ(Only(R"({"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}})").kind,
            Kind::kResponse);
}

TEST(RpcMessageTest, ABlankLineHoldsNothing) {
  EXPECT_THAT(ReadRpcLine("").messages, IsEmpty());
  EXPECT_THAT(ReadRpcLine(" \t\r").messages, IsEmpty());
}

TEST(RpcMessageTest, FaultsNameWhatIsWrongAndKeepTheIdIfThereIsOne) {
  const struct {
    absl::string_view line;
    int code;
    const char* id;
    const char* message;
  } cases[] = {
      {"{", kRpcParseError, "", "not JSON"},
      {"{} {}", kRpcParseError, "", "not JSON"},
      {absl::string_view("{}\0", 3), kRpcParseError, "", "not JSON"},
      {absl::string_view("\0", 1), kRpcParseError, "", "not JSON"},
      {"\xEF\xBB\xBF{}", kRpcParseError, "", "not JSON"},
      {"{\"a\":\"\xFF\"}", kRpcParseError, "", "byte 0xFF (byte 7 of the line) is not UTF-8"},
      {"7", kRpcInvalidRequest, "", "a message is a JSON object"},
      {"{}", kRpcInvalidRequest, "", R"("jsonrpc")"},
      {R"({"jsonrpc":"1.0","id":3,"method":"m"})", kRpcInvalidRequest, "3", R"("jsonrpc")"},
      {R"({"jsonrpc":2.0,"id":3,"method":"m"})", kRpcInvalidRequest, "3", R"("jsonrpc")"},
      {R"({"jsonrpc":"2.0","id":3})", kRpcInvalidRequest, "3", R"("method" is missing)"},
      {R"({"jsonrpc":"2.0","id":3,"method":4})", kRpcInvalidRequest, "3",
       R"("method" is a string)"},
      {R"({"jsonrpc":"2.0","id":null,"method":"m"})", kRpcInvalidRequest, "", R"("id")"},
      {R"({"jsonrpc":"2.0","id":[1],"method":"m"})", kRpcInvalidRequest, "", R"("id")"},
      {R"({"jsonrpc":"2.0","id":true,"method":"m"})", kRpcInvalidRequest, "", R"("id")"},
      {R"({"jsonrpc":"2.0","id":3,"method":"m","params":[]})", kRpcInvalidParams, "3",
       R"("params" is an object)"},
      {"[]", kRpcInvalidRequest, "", "at least one"},
  };
  for (const auto& each : cases) {
    const RpcMessage message = Only(each.line);
    EXPECT_EQ(message.kind, Kind::kFault) << each.line;
    EXPECT_EQ(message.fault.code, each.code) << each.line;
    EXPECT_EQ(message.id, each.id) << each.line;
    EXPECT_THAT(message.fault.message, HasSubstr(each.message)) << each.line;
  }
}

TEST(RpcMessageTest, DeepNestingIsRefusedWithTheIdHoweverDeepItIs) {
  for (const int depth : {65, 1'000'000}) {
    const std::string deep(static_cast<size_t>(depth), '[');
    const std::string line =
        absl::StrCat(R"({"jsonrpc":"2.0","id":"x","method":"m","params":{"a":)", deep,
                     std::string(deep.size(), ']'), "}}");
    const RpcMessage message = Only(line);
    EXPECT_EQ(message.kind, Kind::kFault);
    EXPECT_EQ(message.id, R"("x")");
    EXPECT_THAT(message.fault.message, HasSubstr("nested deeper than 64"));
  }
  EXPECT_EQ(Only(std::string(1'000'000, '[')).fault.code, kRpcParseError);
}

TEST(RpcMessageTest, ABatchHoldsItsMessagesInOrder) {
  const RpcLine read =
      ReadRpcLine(R"([{"jsonrpc":"2.0","id":1,"method":"a"}, 5 ,{"jsonrpc":"2.0","method":"b"}])");
  EXPECT_TRUE(read.batch);
  ASSERT_THAT(read.messages, SizeIs(3));
  EXPECT_EQ(read.messages[0].method, "a");
  EXPECT_EQ(read.messages[1].kind, Kind::kFault);
  EXPECT_EQ(read.messages[2].kind, Kind::kNotification);
}

TEST(RpcMessageTest, ABatchOverTheLimitIsOneFault) {
  std::string line = "[0";
  for (size_t i = 1; i <= kMaxRpcBatch; ++i) absl::StrAppend(&line, ",0");
  EXPECT_THAT(Only(line + "]").fault.message, HasSubstr("at most 100"));
}

TEST(RpcMessageTest, KeysOfIdsTellTextsFromNumbers) {
  EXPECT_EQ(RpcIdKey(R"("a")"), RpcIdKey(R"("\u0061")"));
  EXPECT_NE(RpcIdKey(R"("7")"), RpcIdKey("7"));
  EXPECT_NE(RpcIdKey("7"), RpcIdKey("70"));
}

TEST(RpcMessageTest, WhatIsWrittenIsOneLine) {
  EXPECT_EQ(RpcResult("1", "{\n\"a\":\r\n2}"), R"({"jsonrpc":"2.0","id":1,"result":{ "a":  2}})");
  EXPECT_EQ(RpcFailure(R"("x")", {.code = -1, .message = "a\nb", .data = "{}"}),
            R"({"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"a\nb","data":{}}})");
  EXPECT_EQ(RpcFailure("", {.code = -1, .message = "\xFF"}),
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":\"\xEF\xBF\xBD\"}}");
  EXPECT_EQ(RpcNotification("n", "{}"), R"({"jsonrpc":"2.0","method":"n","params":{}})");
}

TEST(RpcMessageTest, MembersAreAddedBehindTheObjectsOwn) {
  EXPECT_EQ(WithMembers("{}", R"("a":1)"), R"({"a":1})");
  EXPECT_EQ(WithMembers(R"({"b":{}})", R"("a":1)"), R"({"b":{},"a":1})");
  EXPECT_EQ(WithMembers(R"({"b":2})", ""), R"({"b":2})");
}

// Whatever comes, the reader gives messages that can be answered.
TEST(RpcMessageTest, MutatedMessagesAreReadOrAreFaults) {
  const std::string seeds[] = {
      R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","a":{"b":[]}}})",
      R"([{"jsonrpc":"2.0","id":"\u00e9","method":"ping"},{"jsonrpc":"2.0","method":"n"}])",
      R"({"jsonrpc":"2.0","id":1.0e5,"result":{"a":"\ud800"}})"};
  std::mt19937 random(7);  // NOLINT: the same texts in every run
  for (int round = 0; round < 20'000; ++round) {
    std::string line = seeds[random() % 3];
    for (unsigned i = 0; i <= random() % 3; ++i) {
      const size_t at = random() % line.size();
      switch (random() % 3) {
        case 0:
          line[at] = static_cast<char>(random());
          break;
        case 1:
          line.erase(at, random() % 5);
          break;
        default:
          line.insert(at, 1, "{}[]\",:\\0"[random() % 9]);
      }
      if (line.empty()) line = "x";
    }
    for (const RpcMessage& message : ReadRpcLine(line).messages) {
      const std::string answer = message.kind == Kind::kFault
                                     ? RpcFailure(message.id, message.fault)
                                     : RpcResult(message.id.empty() ? "0" : message.id, "{}");
      ASSERT_TRUE(nlohmann::json::accept(answer)) << line << "\n" << answer;
      ASSERT_EQ(answer.find('\n'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace fanwire::cli
