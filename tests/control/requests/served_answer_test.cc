#include "control/requests/served_answer.h"

#include <string>

#include "control/events/json_document.h"
#include "control/requests/status_table.h"
#include "fanwire/v1/publish.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;

class ServedAnswerTest : public ::testing::Test {
 protected:
  ServedAnswer FromJson(const std::string& json) {
    v1::RequestAnswer answer;
    answer.set_json(json);
    return MakeServedAnswer(&answer, &document_);
  }
  ServedAnswer FromError(v1::RequestErrorCode code, const std::string& message) {
    v1::RequestAnswer answer;
    answer.mutable_error()->set_code(code);
    answer.mutable_error()->set_message(message);
    return MakeServedAnswer(&answer, &document_);
  }

  JsonDocument document_;
};

TEST_F(ServedAnswerTest, AnObjectIsTheAnswerByteForByte) {
  const std::string json =
      R"( {"big":18446744073709551616,"long":123456789012345678901234567890,"f":1.50,"e":1e400} )";
  const ServedAnswer answer = FromJson(json);
  EXPECT_EQ(answer.result, ServedResult::kAnswered);
  EXPECT_EQ(answer.json, json);
  EXPECT_EQ(answer.error_code, "");
  EXPECT_OK(answer.fault);
}

TEST_F(ServedAnswerTest, WhatIsNoObjectIsAnInternalErrorAndTheFaultSaysWhy) {
  for (const char* json : {"", "[]", "1", "{", R"({"a":})", "{} {}", "{\"a\":\"\xff\"}"}) {
    const ServedAnswer answer = FromJson(json);
    EXPECT_EQ(answer.result, ServedResult::kBadAnswer) << json;
    EXPECT_EQ(answer.error_code, "INTERNAL_ERROR");
    EXPECT_EQ(answer.error_message, "Internal server error");
    EXPECT_THAT(answer.fault, StatusIs(kInvalid, HasSubstr("data: "))) << json;
  }
  v1::RequestAnswer empty;
  EXPECT_THAT(MakeServedAnswer(&empty, &document_).fault,
              StatusIs(kInvalid, "the answer has neither json nor error"));
}

TEST_F(ServedAnswerTest, AnAnswerThatIsTooLongIsRefused) {
  const auto of_size = [](size_t bytes) {
    return R"({"a":")" + std::string(bytes - 8, 'x') + "\"}";
  };
  EXPECT_EQ(FromJson(of_size(StatusTable::kMaxAnswerBytes)).result, ServedResult::kAnswered);
  const ServedAnswer answer = FromJson(of_size(StatusTable::kMaxAnswerBytes + 1));
  EXPECT_EQ(answer.result, ServedResult::kBadAnswer);
  EXPECT_EQ(answer.error_code, "LIMIT_EXCEEDED");
  EXPECT_EQ(answer.error_message, "the answer has 1040385 bytes, at most 1040384 are allowed");
}

TEST_F(ServedAnswerTest, ErrorsBecomeTheWiresCodes) {
  const auto expect = [&](v1::RequestErrorCode code, const char* name, ServedResult result) {
    const ServedAnswer answer = FromError(code, "because");
    EXPECT_EQ(answer.error_code, name);
    EXPECT_EQ(answer.error_message, "because");
    EXPECT_EQ(answer.result, result);
    EXPECT_OK(answer.fault);
  };
  expect(v1::REQUEST_ERROR_CODE_NOT_FOUND, "NOT_FOUND", ServedResult::kNotFound);
  expect(v1::REQUEST_ERROR_CODE_INVALID_REQUEST, "INVALID_REQUEST", ServedResult::kInvalidRequest);
  expect(v1::REQUEST_ERROR_CODE_FORBIDDEN, "FORBIDDEN", ServedResult::kForbidden);
  expect(v1::REQUEST_ERROR_CODE_UNAVAILABLE, "UNAVAILABLE", ServedResult::kUnavailable);
}

TEST_F(ServedAnswerTest, OfAnInternalErrorOnlyTheLogHasTheMessage) {
  for (const int code : {0, 5, 77}) {
    const ServedAnswer answer =
        FromError(static_cast<v1::RequestErrorCode>(code), "password is hunter2");
    EXPECT_EQ(answer.error_code, "INTERNAL_ERROR");
    EXPECT_EQ(answer.error_message, "Internal server error");
    EXPECT_EQ(answer.result, ServedResult::kInternalError);
    EXPECT_THAT(answer.fault, StatusIs(absl::StatusCode::kInternal, "password is hunter2"));
  }
}

TEST_F(ServedAnswerTest, ALongMessageIsCutAtACharacter) {
  const ServedAnswer answer =
      FromError(v1::REQUEST_ERROR_CODE_NOT_FOUND, std::string(1023, 'x') + "ü and more");
  EXPECT_EQ(answer.error_message, std::string(1023, 'x'));
}

}  // namespace

}  // namespace fanwire::control
