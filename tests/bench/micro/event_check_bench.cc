// control/events/event_validation: checking an event, with the check of its catalog and without.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/events/event_validation.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

namespace {

std::shared_ptr<const ServiceTable> Table(const std::string& check) {
  const LoadedConfig loaded = LoadConfig(
      absl::StrCat("services: [{name: crackerjack, port: 8686, catalog_check: ", check, "}]"),
      "bench.yaml", {});
  FANWIRE_CHECK(loaded.ok());
  return ServiceTable::Make(*loaded.config);
}

// An event with 21 keys, 15 of them in an object, and 512 bytes of data.
std::string Data() {
  std::string data =
      R"({"project":"p","gate_name":"g","status":"passed","score":91.5,"threshold":80,)"
      R"("quality_gate_report":{"fast_hooks":true,"tests":true,"comprehensive":true,"passed":true,)"
      R"("all_passed":true,"blocking_failure":false,"coverage":84.2,"errors":[],"warnings":["w"],)"
      R"("required_check_failures":[],"checks":[{"name":"n"}],"repository":"r","profile":"p",)"
      R"("source":"s","generated_at":"2026"},"timestamp":"2026-02-10T20:00:00+00:00","text":")";
  return absl::StrCat(data, std::string(512 - data.size() - 2, 'x'), "\"}");
}

void Check(benchmark::State& state, const std::string& check) {
  const auto table = Table(check);
  const std::string data = Data();
  Event event;
  event.service = "crackerjack";
  event.channel = "quality:p";
  event.event = "quality_gate.checked";
  event.json = data;
  CheckedEvent checked;
  const ServiceSpec& service = *table->Find("crackerjack");
  for (auto _ : state) {
    FANWIRE_CHECK(CheckEvent(event, service, &checked).ok() && checked.warnings.empty());
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_CheckEventWithoutCatalog(benchmark::State& state) { Check(state, "off"); }
BENCHMARK(BM_CheckEventWithoutCatalog);

void BM_CheckEventWithCatalog(benchmark::State& state) { Check(state, "enforce"); }
BENCHMARK(BM_CheckEventWithCatalog);

}  // namespace
}  // namespace fanwire::control
