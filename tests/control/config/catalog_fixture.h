// Catalogs for tests.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "control/config/catalog.h"
#include "control/config/service_catalog.h"
#include "fanwire/v1/config.pb.h"
#include "gtest/gtest.h"
#include "proto/catalog_descriptors.h"
#include "tests/testing/descriptor_set.h"

namespace fanwire::control {

// An object of an event, whose keys are repeated; without an event there is none.
struct RepeatedObject {
  std::string event = {};
  std::string field = {};
};

inline void Repeat(const RepeatedObject& object, v1::ServiceConfig* service) {
  if (object.event.empty()) return;
  v1::RepeatedKeys* const keys = service->add_repeat_keys();
  keys->set_event(object.event);
  keys->set_field(object.field);
}

// The catalog of service "s" with the messages of a file (tests/testing/descriptor_set.h).
inline Catalog CatalogOf(absl::string_view text, const RepeatedObject& repeated = {}) {
  const std::string bytes = DescriptorSetOf(text);
  auto descriptors = CatalogDescriptors::Read(bytes);
  EXPECT_TRUE(descriptors.ok()) << descriptors.status();
  v1::ServiceConfig service;
  service.set_name("s");
  service.set_catalog("none");
  service.set_catalog_check(v1::CATALOG_CHECK_ENFORCE);
  service.add_catalog_files("file");
  Repeat(repeated, &service);
  CatalogFiles files;
  if (descriptors.ok()) files.Add("file", {.bytes = bytes, .descriptors = *descriptors});
  return MakeCatalog(service, files);
}

// The built-in catalog of a service.
inline Catalog BuiltInCatalogOf(const std::string& name, const RepeatedObject& repeated = {}) {
  v1::ServiceConfig service;
  service.set_name(name);
  service.set_catalog(name);
  Repeat(repeated, &service);
  return MakeCatalog(service, {});
}

}  // namespace fanwire::control
