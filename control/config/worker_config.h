// What workers need of the configuration, and how many there are.
//
// Threading: pure functions.
#pragma once

#include "control/config/service_catalog.h"

namespace fanwire::v1 {
class Config;
class WorkerConfig;
}  // namespace fanwire::v1

namespace fanwire::control {

// How many workers `workers` means on this machine: "auto" is one per core.
int WorkerCount(const v1::Config& config);

// Fills `out` from `config`, which is resolved: each service with its limits, keys and rules.
// `files` are the catalog files that it names.
void BuildWorkerConfig(const v1::Config& config, v1::WorkerConfig* out,
                       const CatalogFiles& files = {});

}  // namespace fanwire::control
