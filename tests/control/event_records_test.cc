#include "control/event_records.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/publish/publish_service.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;

// Has kept these records.
class RecordsEngine final : public FakeEngine {
 public:
  absl::Status VisitRecords(absl::FunctionRef<void(const KeptRecord&)> visit) override {
    for (const auto& [record, received] : records) {
      visit({.event = record.view(), .received = received});
    }
    return status;
  }

  std::vector<std::pair<OwnedRecord, absl::Duration>> records;
  absl::Status status;
};

// Notes the publishers that it is to remember, as "ID first-last".
class NotingPublishers final : public PublishService {
 public:
  grpc::Service* service() override { return nullptr; }
  void GoAway(const std::string& /*reason*/) override {}
  void Restore(absl::Span<const PublisherSeqs::Restored> publishers) override {
    for (const PublisherSeqs::Restored& publisher : publishers) {
      notes.push_back(absl::StrCat(publisher.id, " ", publisher.seqs.front().seq, "-",
                                   publisher.seqs.back().seq, " (", publisher.seqs.size(), ")"));
    }
  }
  void ReleaseIdle(absl::Duration /*now*/) override {}

  std::vector<std::string> notes;
};

class EventRecordsTest : public RouterFixture {
 protected:
  void AddKey(const std::string& key, absl::Duration received, const std::string& service = "s") {
    engine_kept_.records.emplace_back(
        OwnedRecord({.service = service, .channel = "x", .idempotency_key = key}), received);
  }
  void AddSeq(const std::string& publisher, uint64_t seq, absl::Duration received) {
    engine_kept_.records.emplace_back(OwnedRecord({.publisher_id = publisher, .seq = seq}),
                                      received);
  }
  absl::Status Restore() {
    return RestoreEventRecords(&engine_kept_, &routing_->directory, &publishers_, &clock_,
                               {.keys = 3, .publishers = 2, .seqs = 4, .all_seqs = 6});
  }
  int64_t Keys() { return routing_->directory.FindService("s")->idempotency.size(); }

  RecordsEngine engine_kept_;
  NotingPublishers publishers_;
};

TEST_F(EventRecordsTest, OfEachServiceTheLatestKeysAreRemembered) {
  for (int i = 0; i < 50; ++i) {
    // In no order of time; those of 40 s and later are the latest.
    AddKey(absl::StrCat("k", i), clock_.Now() - absl::Seconds(i * 7 % 50));
  }
  AddKey("elsewhere", clock_.Now(), "not configured");
  ASSERT_OK(Restore());
  EXPECT_EQ(Keys(), 3);
  FakeReceiptSink sink;
  Event event = MakeEvent("x");
  event.idempotency_key = "k0";  // of now
  routing_->router->MakeRun()->Publish(event, {}, &sink, 1);
  // Another event, as its fingerprint says.
  EXPECT_THAT(sink.last().outcome.status, StatusIs(absl::StatusCode::kAlreadyExists, ::testing::_));
}

TEST_F(EventRecordsTest, TheLatestPublishersAreRememberedWithTheirLatestSeqs) {
  for (int id = 0; id < 10; ++id) {
    for (uint64_t seq = 1; seq <= 20; ++seq) {
      AddSeq(absl::StrCat("p", id), seq, clock_.Now() - absl::Minutes((id + 5) % 10));
    }
  }
  ASSERT_OK(Restore());
  EXPECT_THAT(publishers_.notes, ElementsAre("p6 18-20 (3)", "p5 18-20 (3)"));
}

TEST_F(EventRecordsTest, SeqsThatTheEngineMayHaveDroppedBesideDoNotCount) {
  for (const uint64_t seq : {3, 10, 12}) AddSeq("p", seq, clock_.Now());
  ASSERT_OK(Restore());
  EXPECT_THAT(publishers_.notes, ElementsAre("p 10-12 (2)"));
}

TEST_F(EventRecordsTest, AnEngineThatCannotBeReadIsTold) {
  engine_kept_.status = absl::UnavailableError("the disk does not answer");
  EXPECT_THAT(Restore(),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("does not answer")));
}

}  // namespace

}  // namespace fanwire::control
