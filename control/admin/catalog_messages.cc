#include "control/admin/catalog_messages.h"

#include "absl/strings/string_view.h"
#include "control/config/service_table.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

namespace {

void Fill(const CatalogKey& key, v1::KeyDescription* out) {
  out->set_name(key.name);
  out->set_description(key.comment);
  out->set_type(static_cast<v1::KeyDescription::Type>(key.type));
  out->set_optional(key.optional);
  out->set_nullable(key.nullable);
  for (const std::string& value : key.values) out->add_values(value);
  for (const CatalogKey& inner : key.keys) Fill(inner, out->add_keys());
  out->set_message(key.message);
}

void Fill(const CatalogEvent& event, v1::EventDescription* out) {
  out->set_name(event.name);
  out->set_message(event.message);
  out->set_description(event.comment);
  for (const std::string& channel : event.channels) out->add_channels(channel);
  out->set_status(static_cast<v1::EventDescription::Status>(event.status));
  out->set_closed(event.closed);
  out->set_spread(event.spread);
  for (const CatalogKey& key : event.keys) Fill(key, out->add_keys());
  for (const CatalogKey& key : event.routing_keys) Fill(key, out->add_routing_keys());
}

v1::CatalogCheck CheckOf(Catalog::Check check) {
  switch (check) {
    case Catalog::Check::kOff:
      return v1::CATALOG_CHECK_OFF;
    case Catalog::Check::kWarn:
      return v1::CATALOG_CHECK_WARN;
    case Catalog::Check::kEnforce:
      return v1::CATALOG_CHECK_ENFORCE;
  }
  return v1::CATALOG_CHECK_UNSPECIFIED;
}

}  // namespace

void ToProto(const ServiceSpec& service, v1::ServiceCatalog* out) {
  out->set_service(service.name);
  out->set_check(CheckOf(service.catalog.check()));
  for (const CatalogEvent& event : service.catalog.events()) Fill(event, out->add_events());
}

void ToProto(const v1::Config& config, const CatalogFiles& files, v1::GetCatalogResponse* out) {
  const auto table = ServiceTable::Make(config, files);
  for (const auto& service : table->services()) ToProto(*service, out->add_services());
}

}  // namespace fanwire::control
