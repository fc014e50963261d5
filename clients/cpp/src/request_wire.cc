#include "clients/cpp/src/request_wire.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/publish_fields.h"
#include "clients/cpp/src/receipt_reader.h"
#include "proto/wire/wire_reader.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::client {

namespace {

struct ServeRequestField {  // ServeRequestsRequest
  static constexpr int kHello = 1, kAnswers = 2, kGoAway = 3;
};
struct ResponderHelloField {
  static constexpr int kService = 1, kRequests = 2, kMaxConcurrent = 3, kResponderId = 4;
};
struct AnswersField {
  static constexpr int kAnswer = 1;
};
struct AnswerField {
  static constexpr int kRequestId = 1, kJson = 2, kError = 3;
};
struct ServeResponseField {  // ServeRequestsResponse
  static constexpr int kWelcome = 1, kRequests = 2, kCancel = 3, kRefused = 4, kGoAway = 5;
};
struct IncomingRequestsField {
  static constexpr int kRequest = 1;
};
struct IncomingRequestField {
  static constexpr int kRequestId = 1, kRequest = 2, kData = 3, kRemaining = 4, kConnectionId = 5;
  static constexpr int kUserId = 6, kPermissions = 7, kAttempt = 8;
};
struct CancelField {
  static constexpr int kRequestIds = 1;
};
struct RefusedField {
  static constexpr int kStatus = 2;
};

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

// How many bytes the UTF-8 character at the beginning of `text` has; 0: there is none.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Too long for the character, half of a surrogate pair, or beyond U+10FFFF.
  const unsigned char second = byte(1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                   (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return bad ? 0 : size;
}

// Control ends a stream on which a text is not UTF-8.  Those of exceptions may be anything: what is
// wrong in them becomes U+FFFD.
void AppendText(int field, std::string_view text, std::string* out) {
  std::string good;
  while (!text.empty()) {
    const size_t size = CharacterBytes(text);
    good += size == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, size);
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  if (!good.empty()) AppendWireBytes(field, good, out);
}

void AppendNumber(int field, uint64_t number, std::string* out) {
  if (number == 0) return;
  AppendWireVarint(VarintTag(field), out);
  AppendWireVarint(number, out);
}

std::chrono::nanoseconds ReadDuration(absl::string_view bytes) {
  int64_t seconds = 0, nanos = 0;
  WireReader reader(bytes);
  while (reader.Next()) {
    if (reader.tag() == VarintTag(TimeField::kSeconds)) {
      seconds = static_cast<int64_t>(reader.Varint());
    } else if (reader.tag() == VarintTag(TimeField::kNanos)) {
      nanos = static_cast<int64_t>(reader.Varint());
    } else {
      reader.Skip();
    }
  }
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
}

// Numbers of a repeated field, packed or not.
bool ReadCancelled(absl::string_view bytes, std::vector<uint64_t>* ids) {
  WireReader reader(bytes);
  while (reader.Next()) {
    if (reader.tag() == VarintTag(CancelField::kRequestIds)) {
      ids->push_back(reader.Varint());
    } else if (reader.tag() == BytesTag(CancelField::kRequestIds)) {
      absl::string_view packed = reader.Bytes();
      while (!packed.empty()) {
        uint64_t id = 0;
        size_t used = 0;
        do {
          if (used == packed.size() || used == 10) return false;
          id |= static_cast<uint64_t>(packed[used] & 0x7f) << (7 * used);
        } while ((packed[used++] & 0x80) != 0);
        ids->push_back(id);
        packed.remove_prefix(used);
      }
    } else {
      reader.Skip();
    }
  }
  return reader.ok();
}

Status ReadRefusal(absl::string_view bytes) {
  Status status(Code::kUnknown, "");
  WireReader reader(bytes);
  while (reader.Next()) {
    if (reader.tag() != BytesTag(RefusedField::kStatus)) {
      reader.Skip();
      continue;
    }
    status = ReadStatus(ToStd(reader.Bytes()));
  }
  return status;
}

}  // namespace

bool RequestReader::Read(std::string_view bytes, std::chrono::steady_clock::time_point now) {
  WireReader reader(ToAbsl(bytes));
  while (reader.Next()) {
    switch (reader.tag()) {
      case VarintTag(IncomingRequestField::kRequestId):
        id = reader.Varint();
        break;
      case BytesTag(IncomingRequestField::kRequest):
        request.name_ = ToStd(reader.Bytes());
        break;
      case BytesTag(IncomingRequestField::kData):
        request.json_ = ToStd(reader.Bytes());
        break;
      case BytesTag(IncomingRequestField::kRemaining):
        request.deadline_ = now + ReadDuration(reader.Bytes());
        break;
      case BytesTag(IncomingRequestField::kConnectionId):
        request.connection_id_ = ToStd(reader.Bytes());
        break;
      case BytesTag(IncomingRequestField::kUserId):
        request.user_id_ = ToStd(reader.Bytes());
        break;
      case BytesTag(IncomingRequestField::kPermissions):
        request.permissions_.emplace_back(ToStd(reader.Bytes()));
        break;
      case VarintTag(IncomingRequestField::kAttempt):
        request.attempt_ = static_cast<uint32_t>(reader.Varint());
        break;
      default:
        reader.Skip();
    }
  }
  return reader.ok();
}

bool ReadServeAnswer(std::string_view message, std::chrono::steady_clock::time_point now,
                     ServeAnswer* answer) {
  *answer = ServeAnswer();
  WireReader reader(ToAbsl(message));
  while (reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(ServeResponseField::kWelcome):
        answer->kind = ServeAnswer::Kind::kWelcome;
        reader.Skip();
        break;
      case BytesTag(ServeResponseField::kRequests): {
        answer->kind = ServeAnswer::Kind::kRequests;
        WireReader requests(reader.Bytes());
        while (requests.Next()) {
          if (requests.tag() != BytesTag(IncomingRequestsField::kRequest)) {
            requests.Skip();
          } else if (!answer->requests.emplace_back().Read(ToStd(requests.Bytes()), now)) {
            return false;
          }
        }
        if (!requests.ok()) return false;
        break;
      }
      case BytesTag(ServeResponseField::kCancel):
        answer->kind = ServeAnswer::Kind::kCancel;
        if (!ReadCancelled(reader.Bytes(), &answer->cancelled)) return false;
        break;
      case BytesTag(ServeResponseField::kRefused):
        answer->kind = ServeAnswer::Kind::kRefused;
        answer->refusal = ReadRefusal(reader.Bytes());
        break;
      case BytesTag(ServeResponseField::kGoAway):
        answer->kind = ServeAnswer::Kind::kGoAway;
        if (!ReadGoAway(ToStd(reader.Bytes()), &answer->reason)) return false;
        break;
      default:
        reader.Skip();
    }
  }
  return reader.ok();
}

std::string WriteResponderHello(std::string_view service, const std::vector<std::string>& names,
                                uint32_t max_concurrent, std::string_view id) {
  std::string hello, message;
  AppendText(ResponderHelloField::kService, service, &hello);
  for (const std::string& name : names) {
    AppendWireBytes(ResponderHelloField::kRequests, ToAbsl(name), &hello);
  }
  AppendNumber(ResponderHelloField::kMaxConcurrent, max_concurrent, &hello);
  AppendText(ResponderHelloField::kResponderId, id, &hello);
  AppendWireBytes(ServeRequestField::kHello, hello, &message);
  return message;
}

std::string WriteResponderGoAway(std::string_view reason) {
  std::string go_away, message;
  AppendText(GoAwayField::kReason, reason, &go_away);
  AppendWireBytes(ServeRequestField::kGoAway, go_away, &message);
  return message;
}

std::string WriteAnswer(uint64_t id, const Response& response) {
  std::string answer, field;
  AppendNumber(AnswerField::kRequestId, id, &answer);
  if (response.ok()) {
    AppendWireBytes(AnswerField::kJson, response.text(), &answer);
  } else {
    std::string error;
    AppendNumber(StatusField::kCode, static_cast<uint64_t>(response.error()), &error);
    AppendText(StatusField::kMessage, response.text(), &error);
    AppendWireBytes(AnswerField::kError, error, &answer);
  }
  AppendWireBytes(AnswersField::kAnswer, answer, &field);
  return field;
}

std::string WriteAnswersHead(size_t bytes) {
  std::string head;
  AppendWireHead(ServeRequestField::kAnswers, bytes, &head);
  return head;
}

}  // namespace fanwire::client
