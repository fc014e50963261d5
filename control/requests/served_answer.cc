#include "control/requests/served_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/utf8.h"
#include "control/events/json_document.h"
#include "control/requests/status_table.h"
#include "fanwire/v1/publish.pb.h"

namespace fanwire::control {

namespace {

// What clients are told of a fault that is not theirs.
constexpr const char* kInternalErrorText = "Internal server error";

ServedAnswer BadAnswer(const char* code, absl::string_view message, absl::Status fault) {
  return {.result = ServedResult::kBadAnswer,
          .json = {},
          .error_code = code,
          .error_message = std::string(message),
          .fault = std::move(fault)};
}

ServedAnswer FromJson(std::string json, JsonDocument* document) {
  constexpr size_t kMax = StatusTable::kMaxAnswerBytes;
  if (json.size() > kMax) {
    const std::string message =
        absl::StrCat("the answer has ", json.size(), " bytes, at most ", kMax, " are allowed");
    return BadAnswer("LIMIT_EXCEEDED", message, absl::InvalidArgumentError(message));
  }
  if (absl::Status status = document->Parse(json); !status.ok()) {
    return BadAnswer("INTERNAL_ERROR", kInternalErrorText, std::move(status));
  }
  ServedAnswer answer;
  answer.json = std::move(json);
  return answer;
}

ServedAnswer FromError(const v1::RequestError& error) {
  ServedAnswer answer;
  answer.error_message = ToUtf8(error.message(), kMaxRequestErrorBytes);
  switch (error.code()) {
    case v1::REQUEST_ERROR_CODE_NOT_FOUND:
      answer.result = ServedResult::kNotFound;
      answer.error_code = "NOT_FOUND";
      return answer;
    case v1::REQUEST_ERROR_CODE_INVALID_REQUEST:
      answer.result = ServedResult::kInvalidRequest;
      answer.error_code = "INVALID_REQUEST";
      return answer;
    case v1::REQUEST_ERROR_CODE_FORBIDDEN:
      answer.result = ServedResult::kForbidden;
      answer.error_code = "FORBIDDEN";
      return answer;
    case v1::REQUEST_ERROR_CODE_UNAVAILABLE:
      answer.result = ServedResult::kUnavailable;
      answer.error_code = "UNAVAILABLE";
      return answer;
    default:
      answer.result = ServedResult::kInternalError;
      answer.error_code = "INTERNAL_ERROR";
      answer.fault = absl::InternalError(answer.error_message);
      answer.error_message = kInternalErrorText;
      return answer;
  }
}

}  // namespace

absl::string_view ServedResultName(ServedResult result) {
  switch (result) {
    case ServedResult::kAnswered:
      return "answered";
    case ServedResult::kNotFound:
      return "not_found";
    case ServedResult::kInvalidRequest:
      return "invalid_request";
    case ServedResult::kForbidden:
      return "forbidden";
    case ServedResult::kInternalError:
      return "internal_error";
    case ServedResult::kBadAnswer:
      return "bad_answer";
    case ServedResult::kUnavailable:
      return "unavailable";
    case ServedResult::kLate:
      return "late";
    case ServedResult::kCancelled:
      return "cancelled";
  }
  return "";
}

ServedAnswer MakeServedAnswer(v1::RequestAnswer* answer, JsonDocument* document) {
  switch (answer->result_case()) {
    case v1::RequestAnswer::kJson:
      return FromJson(std::move(*answer->mutable_json()), document);
    case v1::RequestAnswer::kError:
      return FromError(answer->error());
    default:
      return BadAnswer("INTERNAL_ERROR", kInternalErrorText,
                       absl::InvalidArgumentError("the answer has neither json nor error"));
  }
}

}  // namespace fanwire::control
