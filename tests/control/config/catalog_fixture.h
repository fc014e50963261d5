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

// The catalog of service "s" with the messages of a file (tests/testing/descriptor_set.h).
inline Catalog CatalogOf(absl::string_view text) {
  const std::string bytes = DescriptorSetOf(text);
  auto descriptors = CatalogDescriptors::Read(bytes);
  EXPECT_TRUE(descriptors.ok()) << descriptors.status();
  v1::ServiceConfig service;
  service.set_name("s");
  service.set_catalog("none");
  service.set_catalog_check(v1::CATALOG_CHECK_ENFORCE);
  service.add_catalog_files("file");
  CatalogFiles files;
  if (descriptors.ok()) files.Add("file", {.bytes = bytes, .descriptors = *descriptors});
  return MakeCatalog(service, files);
}

// The built-in catalog of a service.
inline Catalog BuiltInCatalogOf(const std::string& name) {
  v1::ServiceConfig service;
  service.set_name(name);
  service.set_catalog(name);
  return MakeCatalog(service, {});
}

}  // namespace fanwire::control
