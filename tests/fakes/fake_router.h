// A Router that routes nothing and keeps what it was given.
//
// Threading: confined to one thread.
#pragma once

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
  // Notices and publications, in their order: "publish excalidraw presence:1 user.joined DATA".
  std::vector<std::string> events;

  // Frames by "service channel", whatever the dialect.
  std::map<std::string, std::vector<std::string>> frames;
  Dialect last_dialect = Dialect::kCommon;

  // What publications end with.
  absl::Status outcome;

  std::unique_ptr<PublishRun> MakeRun() override { return std::make_unique<Run>(this); }
  absl::StatusOr<Validation> Validate(const Event&) override { return Validation(); }
  void CountRefusal(absl::string_view, const absl::Status&) override {}
  void StopPublishing() override {}
  void PublishFrame(absl::string_view service, Dialect dialect, absl::string_view channel,
                    absl::string_view frame) override {
    last_dialect = dialect;
    frames[absl::StrCat(service, " ", channel)].emplace_back(frame);
  }
  void PublishNotice(const Notice& notice) override {
    events.push_back(absl::StrCat("notice ", notice.service, " ", notice.channel, " ", notice.event,
                                  " ", notice.data, " without ", notice.exclude_connection));
  }
  void AddObserver(PublicationObserver*) override {}
  void RemoveObserver(PublicationObserver*) override {}

 private:
  class Run final : public PublishRun {
   public:
    explicit Run(FakeRouter* router) : router_(router) {}

    void Publish(const Event& event, const PublishParams&, ReceiptSink* sink,
                 uint64_t tag) override {
      router_->events.push_back(absl::StrCat("publish ", event.service, " ", event.channel, " ",
                                             event.event, " ", event.json));
      PublishOutcome outcome;
      outcome.status = router_->outcome;
      sink->OnReceipt(tag, outcome);
    }
    void Refuse(const Event&, const absl::Status&, ReceiptSink*, uint64_t) override {}
    void CountDuplicate(const Event&) override {}
    void Flush() override {}

   private:
    FakeRouter* const router_;
  };
};

}  // namespace fanwire::control
