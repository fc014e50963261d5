#include "cli/batch_line.h"

#include <simdjson.h>

#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

absl::Status Wrong(absl::string_view key, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(EscapeControls(key), ": ", what));
}

absl::Status NoJson(simdjson::error_code error) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a JSON object: ", simdjson::error_message(error)));
}

absl::Status TakeText(absl::string_view key, simdjson::ondemand::value value, std::string* out) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return Wrong(key, "not a string");
  out->assign(text.data(), text.size());
  return absl::OkStatus();
}

absl::Status TakeData(simdjson::ondemand::value value, std::string* out) {
  simdjson::ondemand::object object;
  std::string_view raw;
  if (value.get_object().get(object) != simdjson::SUCCESS ||
      object.raw_json().get(raw) != simdjson::SUCCESS) {
    return Wrong("data", "not a JSON object");
  }
  // simdjson's view includes the white space up to the next token.
  *out = std::string(absl::StripTrailingAsciiWhitespace(Absl(raw)));
  return absl::OkStatus();
}

absl::Status TakeTtl(simdjson::ondemand::value value, std::optional<absl::Duration>* out) {
  simdjson::ondemand::json_type type;
  std::string_view text;
  const bool number =
      value.type().get(type) == simdjson::SUCCESS && type == simdjson::ondemand::json_type::number;
  if (number) {
    text = value.raw_json_token();
  } else if (value.get_string().get(text) != simdjson::SUCCESS) {
    return Wrong("ttl", "neither a number of seconds nor a duration such as \"30s\"");
  }
  const absl::StatusOr<absl::Duration> ttl = ParseDuration(absl::StripAsciiWhitespace(Absl(text)));
  if (!ttl.ok()) return Wrong("ttl", ttl.status().message());
  *out = *ttl;
  return absl::OkStatus();
}

absl::Status TakeField(absl::string_view key, simdjson::ondemand::value value, Event* event) {
  if (key == "service") return TakeText(key, value, &event->service);
  if (key == "channel") return TakeText(key, value, &event->channel);
  if (key == "event") return TakeText(key, value, &event->event);
  if (key == "id") return TakeText(key, value, &event->id);
  if (key == "idempotency_key") return TakeText(key, value, &event->idempotency_key);
  if (key == "data") return TakeData(value, &event->json);
  if (key == "ttl") return TakeTtl(value, &event->ttl);
  if (key == "skip_history") {
    if (value.get_bool().get(event->skip_history) != simdjson::SUCCESS) {
      return Wrong(key, "neither true nor false");
    }
    return absl::OkStatus();
  }
  return Wrong(key,
               "no such key; known are service, channel, event, data, id, idempotency_key, "
               "ttl, skip_history");
}

}  // namespace

struct BatchLineParser::Impl {
  simdjson::dom::parser whole;          // validates the whole line
  simdjson::ondemand::parser by_field;  // gives the bytes of each value
};

BatchLineParser::BatchLineParser() : impl_(std::make_unique<Impl>()) {}
BatchLineParser::~BatchLineParser() = default;

absl::StatusOr<Event> BatchLineParser::Parse(const std::string& line) {
  const simdjson::padded_string padded(line);
  simdjson::dom::element checked;
  if (const auto error = impl_->whole.parse(padded).get(checked); error != simdjson::SUCCESS) {
    return NoJson(error);
  }
  if (!checked.is_object()) return absl::InvalidArgumentError("not a JSON object");
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (const auto error = impl_->by_field.iterate(padded).get(document);
      error != simdjson::SUCCESS) {
    return NoJson(error);
  }
  if (const auto error = document.get_object().get(object); error != simdjson::SUCCESS) {
    return NoJson(error);
  }
  Event event;
  std::set<std::string> seen;
  for (auto field : object) {
    std::string_view key;
    simdjson::ondemand::value value;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(value) != simdjson::SUCCESS) {
      return absl::InvalidArgumentError("not a JSON object");
    }
    const std::string name(key);
    if (!seen.insert(name).second) return Wrong(name, "duplicate key");
    bool null = false;
    if (value.is_null().get(null) == simdjson::SUCCESS && null) {  // null means absent
      seen.erase(name);
      continue;
    }
    const absl::Status status = TakeField(name, value, &event);
    if (!status.ok()) return status;
  }
  for (const char* needed : {"service", "channel", "event"}) {
    if (seen.count(needed) == 0) return Wrong(needed, "missing");
  }
  return event;
}

}  // namespace fanwire::cli
