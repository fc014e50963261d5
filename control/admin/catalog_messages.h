// Puts the catalogs of services into messages.
//
// Threading: pure functions.
#pragma once

namespace fanwire::v1 {
class Config;
class GetCatalogResponse;
class ServiceCatalog;
}  // namespace fanwire::v1

namespace fanwire::control {

class Catalog;
class CatalogFiles;
struct ServiceSpec;

void ToProto(const ServiceSpec& service, v1::ServiceCatalog* out);

// The catalogs of a configuration that is resolved.
void ToProto(const v1::Config& config, const CatalogFiles& files, v1::GetCatalogResponse* out);

}  // namespace fanwire::control
