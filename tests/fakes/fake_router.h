// A Router that routes nothing and keeps the frames it was given.
//
// Threading: confined to one thread.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/routing/router.h"
#include "proto/policies.h"

namespace fanwire::control {

class FakeRouter : public Router {
 public:
  // Frames by "service channel", whatever the dialect.
  std::map<std::string, std::vector<std::string>> frames;
  Dialect last_dialect = Dialect::kCommon;

  // Cannot be made.
  std::unique_ptr<PublishRun> MakeRun() override { std::abort(); }
  absl::StatusOr<Validation> Validate(const Event&) override { return Validation(); }
  void CountRefusal(absl::string_view, const absl::Status&) override {}
  void StopPublishing() override {}
  void PublishFrame(absl::string_view service, Dialect dialect, absl::string_view channel,
                    absl::string_view frame) override {
    last_dialect = dialect;
    frames[absl::StrCat(service, " ", channel)].emplace_back(frame);
  }
  void AddObserver(PublicationObserver*) override {}
  void RemoveObserver(PublicationObserver*) override {}
};

}  // namespace fanwire::control
