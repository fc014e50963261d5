// What publishers send as a message of the catalog: the event that is made of it is as the catalog
// says, and its data is JSON.  The first byte of an input chooses the message, one of mahavishnu's.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "control/config/service_catalog.h"
#include "control/events/catalog_check.h"
#include "control/events/json_document.h"
#include "control/events/typed_event.h"
#include "fanwire/v1/config.pb.h"
#include "google/protobuf/stubs/logging.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

// Protobuf complains aloud of every text that is no UTF-8.
[[maybe_unused]] auto* const silenced = google::protobuf::SetLogHandler(nullptr);

void MustBe(bool condition) {
  if (!condition) abort();
}

const Catalog& TheCatalog() {
  static const auto* const kCatalog = [] {
    v1::ServiceConfig service;
    service.set_name("mahavishnu");
    service.set_catalog("mahavishnu");
    return new Catalog(MakeCatalog(service, {}));
  }();
  return *kCatalog;
}

void MakeOne(absl::string_view input) {
  const Catalog& catalog = TheCatalog();
  const size_t choice = static_cast<unsigned char>(input[0]) % catalog.events().size();
  const std::string url = absl::StrCat("x/", catalog.events()[choice].message);
  Event event;
  event.service = "mahavishnu";
  event.typed_url = url;
  event.typed_bytes = input.substr(1);
  event.typed_message = true;
  TypedEvent typed;
  if (!MakeTypedEvent(catalog, event, "2026-02-10T20:00:00.123456+00:00", &typed).ok()) return;
  JsonDocument data;
  if (const absl::Status status = data.Parse(typed.json); !status.ok()) {
    MustBe(absl::StrContains(status.message(), "nested deeper"));
    return;
  }
  // A field may have made a text that is no channel's name, and keys that are spread may be those
  // of optional fields.
  if (!CheckChannelName(typed.channel).ok() || catalog.events()[choice].spread) return;
  MustBe(CatalogFaults(catalog, AsPublished(event, typed), data).empty());
}

}  // namespace
}  // namespace fanwire::control

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) {
    fanwire::control::MakeOne(absl::string_view(reinterpret_cast<const char*>(data), size));
  }
  return 0;
}
