// What publishers hand in as data: what passes the check makes an envelope that is JSON, with the
// data in it byte for byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/string_view.h"
#include "control/events/envelope.h"
#include "control/events/json_document.h"
#include "control/events/publication.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fanwire::control;
  const absl::string_view data(reinterpret_cast<const char*>(bytes), size);
  JsonDocument document;
  if (!document.Parse(data).ok()) return 0;
  document.TextField("id");
  document.FieldHash("id");
  document.TypeOf("id");
  // Of several fields with one name Find() means the first and All() has the last.
  const OrderedJson all = document.All();
  if (document.Find({"id"}).has_value() != all.contains("id")) abort();
  // The texts around it are hostile as well, as far as they are UTF-8.
  const absl::string_view name =
      IsUtf8(data.substr(0, 40)) ? data.substr(0, 40) : absl::string_view("x");
  const EnvelopeParts parts{.id = name,
                            .event = name,
                            .data = data,
                            .timestamp = "2026-02-10T20:00:00.123456+00:00",
                            .room = name};
  const size_t room = MaxEnvelopeBytes(parts);
  const PublicationPtr publication = Publication::Make({.max_envelope_bytes = room});
  WriteEnvelope(parts, publication.get());
  publication->Seal(Epoch{.value = 1}, INT64_MAX);
  if (publication->envelope().size() > room || publication->data() != data) abort();
  const auto parsed =
      nlohmann::json::parse(publication->envelope().begin(), publication->envelope().end(), nullptr,
                            /*allow_exceptions=*/false);
  // Numbers beyond a double's range are JSON, which this parser refuses.
  if (parsed.is_discarded() &&
      !nlohmann::json::parse(data.begin(), data.end(), nullptr, false).is_discarded()) {
    abort();
  }
  return 0;
}
