#include "cli/batch.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/exit_code.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kGood[] = R"({"service": "s", "channel": "c", "event": "e"})"
                         "\n";

// A sink that other threads may read.
class WatchedSink : public Sink {
 public:
  absl::Status Write(absl::string_view bytes) override {
    MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    text_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  std::string text() {
    MutexLock lock(&mu_);
    return text_;
  }
  void Fail(const absl::Status& status) {
    MutexLock lock(&mu_);
    failure_ = status;
  }

 private:
  Mutex mu_{LockRank::kLog};  // the batch writes while it holds its own
  std::string text_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

// Runs a batch on its own thread, so that the test can feed its input and act as control.
class BatchTest : public testing::Test {
 protected:
  BatchTest() { EXPECT_EQ(pipe(ends_), 0); }
  ~BatchTest() override {
    EndInput();
    if (thread_.joinable()) thread_.join();
    close(ends_[0]);
  }

  void Start(const BatchOptions& options = {}) {
    thread_ = std::thread([this, options] {
      Output out({}, &results_, &notes_, &clock_);
      status_ = RunBatch(options, ends_[0], client_, out);
    });
  }
  void Feed(const std::string& text) {
    ASSERT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void EndInput() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  absl::Status Join() {
    thread_.join();
    return status_;
  }
  // Runs a batch whose input is `text`.
  absl::Status Run(const std::string& text, const BatchOptions& options = {}) {
    Feed(text);
    EndInput();
    Start(options);
    return Join();
  }

  // The offset or the status code of each receipt.
  std::vector<std::string> Receipts() {
    std::vector<std::string> shown;
    for (const absl::string_view line : absl::StrSplit(results_.text(), '\n', absl::SkipEmpty())) {
      const auto receipt = nlohmann::json::parse(line);
      shown.push_back(receipt.contains("status") ? receipt["status"]["code"].get<std::string>()
                                                 : receipt["position"]["offset"].dump());
    }
    return shown;
  }

  // The line numbers of the refusals' receipts.
  std::vector<int> Lines() {
    std::vector<int> lines;
    for (const absl::string_view line : absl::StrSplit(results_.text(), '\n', absl::SkipEmpty())) {
      const auto receipt = nlohmann::json::parse(line);
      EXPECT_EQ(receipt.contains("line"), receipt.contains("status"));
      if (receipt.contains("line")) lines.push_back(receipt["line"].get<int>());
    }
    return lines;
  }

  // Sends the receipts of the items in reverse order.
  static void AnswerBackwards(const std::vector<StreamItem>& items, PublishStreamHandler* handler) {
    for (auto item = items.rbegin(); item != items.rend(); ++item) {
      handler->OnReceipts({{item->seq, FakePublishClient::Accepted(item->seq)}});
    }
  }

  int ends_[2];
  FakePublishClient client_;
  WatchedSink results_;
  StringSink notes_;
  FixedClock clock_;
  absl::Status status_;
  std::thread thread_;
};

TEST_F(BatchTest, AReceiptIsAJsonObjectWithItsPosition) {
  EXPECT_OK(Run(kGood));
  EXPECT_EQ(results_.text(),
            "{\"position\":{\"epoch\":\"e1\",\"offset\":1},\"level\":\"accepted\",\"id\":\"id-1\","
            "\"duplicate\":false,\"timed_out\":false}\n");
  EXPECT_EQ(notes_.text, "");
}

TEST_F(BatchTest, ALineIsAnsweredWhileTheInputIsStillOpen) {
  Start();
  for (int number = 1; number <= 3; ++number) {
    Feed(kGood);
    EXPECT_TRUE(WaitFor([&] { return Receipts().size() == static_cast<size_t>(number); }));
  }
  EndInput();
  EXPECT_OK(Join());
  EXPECT_THAT(Receipts(), ElementsAre("1", "2", "3"));
}

TEST_F(BatchTest, ReceiptsAreInTheOrderOfTheLinesRefusalsAsWell) {
  client_.on_items = [](const std::vector<StreamItem>& items, PublishStreamHandler* handler) {
    for (auto item = items.rbegin(); item != items.rend(); ++item) {
      Receipt receipt = FakePublishClient::Accepted(item->seq);
      if (item->event.service == "nobody") receipt.status = absl::NotFoundError("no service");
      handler->OnReceipts({{item->seq, receipt}});
    }
  };
  const absl::Status status = Run(absl::StrCat(
      kGood, "\n{nonsense\n", kGood, R"({"service": "nobody", "channel": "c", "event": "e"})",
      "\n\n  \n", R"({"service": "s"})", "\n", kGood));
  EXPECT_EQ(ExitCode(status), 67);
  EXPECT_TRUE(IsTold(status));
  EXPECT_THAT(Receipts(),
              ElementsAre("1", "INVALID_ARGUMENT", "2", "NOT_FOUND", "INVALID_ARGUMENT", "4"));
  EXPECT_THAT(results_.text(),
              HasSubstr(R"({"status":{"code":"NOT_FOUND","message":"no service"},"line":5})"));
  EXPECT_THAT(Lines(), ElementsAre(3, 5, 8));
  EXPECT_THAT(notes_.text, StartsWith("3 of 6 refused, first at line 3: not a JSON object: "));
  EXPECT_THAT(notes_.text, EndsWith("\n"));
}

TEST_F(BatchTest, TheFirstRefusalIsThatOfTheFirstLineNotOfTheFirstReceipt) {
  client_.on_items = [](const std::vector<StreamItem>& items, PublishStreamHandler* handler) {
    for (auto item = items.rbegin(); item != items.rend(); ++item) {
      Receipt receipt;
      receipt.status = absl::NotFoundError(absl::StrCat("seq ", item->seq, "\x1b[2J"));
      handler->OnReceipts({{item->seq, receipt}});
    }
  };
  EXPECT_EQ(ExitCode(Run(absl::StrCat(kGood, kGood, kGood))), 67);
  EXPECT_EQ(notes_.text, "3 of 3 refused, first at line 1: seq 1\\x1b[2J\n");
}

TEST_F(BatchTest, RefusedLinesAreToldAlsoWhenControlGoesAway) {
  client_.on_items = [](const std::vector<StreamItem>&, PublishStreamHandler* handler) {
    handler->OnEnd(absl::UnavailableError("control is not reachable"));
  };
  client_.on_closed = [](PublishStreamHandler*) {};
  const absl::Status status = Run(absl::StrCat("{\n", kGood));
  EXPECT_EQ(ExitCode(status), 78);
  EXPECT_FALSE(IsTold(status));
  EXPECT_THAT(notes_.text, StartsWith("1 of 2 refused, first at line 1: "));
}

TEST_F(BatchTest, LinesThatComeTogetherTravelTogether) {
  std::string text;
  for (int i = 0; i < 600; ++i) absl::StrAppend(&text, kGood);
  client_.credit = 1000;
  EXPECT_OK(Run(text));
  EXPECT_THAT(client_.message_sizes, ElementsAre(256, 256, 88));
  EXPECT_THAT(Receipts(), SizeIs(600));
}

TEST_F(BatchTest, AMessageStaysSmallHoweverLargeTheEvents) {
  const std::string line =
      absl::StrCat(R"({"service": "s", "channel": "c", "event": "e", "data": {"x": ")",
                   std::string(10'000, 'x'), "\"}}\n");
  std::string text;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&text, line);
  Start();
  Feed(text.substr(0, 60'000));
  Feed(text.substr(60'000));
  EndInput();
  EXPECT_OK(Join());
  EXPECT_THAT(client_.message_sizes, Each(Le(26u)));  // 256 KiB
  EXPECT_THAT(Receipts(), SizeIs(60));
}

TEST_F(BatchTest, NeverMoreUnansweredEventsThanCredit) {
  client_.credit = 3;
  client_.on_items = AnswerBackwards;
  std::string text;
  for (int i = 0; i < 10; ++i) absl::StrAppend(&text, kGood);
  EXPECT_OK(Run(text));
  EXPECT_THAT(client_.message_sizes, Each(Le(3u)));
  EXPECT_THAT(Receipts(), SizeIs(10));
}

TEST_F(BatchTest, MoreCreditLetsMoreGo) {
  client_.credit = 0;
  std::atomic<PublishStreamHandler*> handler{nullptr};
  client_.on_open = [&](PublishStreamHandler* opened) { handler = opened; };
  Feed(kGood);
  EndInput();
  Start();
  ASSERT_TRUE(WaitFor([&] { return handler != nullptr; }));
  handler.load()->OnCredit(1);
  EXPECT_OK(Join());
  EXPECT_THAT(Receipts(), ElementsAre("1"));
}

TEST_F(BatchTest, UnansweredBytesAreLimitedButOneEventAlwaysGoes) {
  client_.on_items = AnswerBackwards;
  EXPECT_OK(Run(absl::StrCat(kGood, kGood, kGood), {.max_unanswered_bytes = 10}));
  EXPECT_THAT(client_.message_sizes, ElementsAre(1, 1, 1));
}

TEST_F(BatchTest, RefusedLinesBehindAnUnsentEventDoNotStopEverything) {
  std::string text = kGood;
  for (int i = 0; i < 20; ++i) absl::StrAppend(&text, "{\n");
  EXPECT_EQ(ExitCode(Run(text, {.max_waiting_lines = 5})), 67);
  EXPECT_THAT(Receipts(), SizeIs(21));
  EXPECT_THAT(notes_.text, StartsWith("20 of 21 refused, first at line 2: "));
}

TEST_F(BatchTest, ALineOverTheLimitIsRefusedUnread) {
  EXPECT_EQ(
      ExitCode(Run(absl::StrCat(std::string(200, ' '), kGood, kGood), {.max_line_bytes = 100})),
      67);
  EXPECT_THAT(Receipts(), ElementsAre("INVALID_ARGUMENT", "1"));
  EXPECT_THAT(results_.text(), HasSubstr("line longer than 100 bytes"));
  EXPECT_EQ(notes_.text, "1 of 2 refused, first at line 1: line longer than 100 bytes\n");
}

TEST_F(BatchTest, NoLineAtAllIsFine) {
  EXPECT_OK(Run(""));
  EXPECT_EQ(results_.text(), "");
}

TEST_F(BatchTest, TheLevelIsAskedForOnce) {
  EXPECT_OK(Run(kGood, {.receipt = {.level = ReceiptLevel::kWritten, .wait = absl::Seconds(2)}}));
  EXPECT_EQ(client_.request.level, ReceiptLevel::kWritten);
  EXPECT_EQ(client_.request.wait, absl::Seconds(2));
}

TEST_F(BatchTest, AnUnknownReceiptAndASecondOneAreIgnored) {
  client_.on_items = [](const std::vector<StreamItem>& items, PublishStreamHandler* handler) {
    handler->OnReceipts({{99, FakePublishClient::Accepted(99)}});
    AnswerBackwards(items, handler);
    AnswerBackwards(items, handler);
  };
  EXPECT_OK(Run(absl::StrCat(kGood, kGood)));
  EXPECT_THAT(Receipts(), ElementsAre("1", "2"));
}

TEST_F(BatchTest, ControlGoingAwayEndsTheBatchWhileTheInputIsOpen) {
  client_.on_items = [](const std::vector<StreamItem>&, PublishStreamHandler* handler) {
    handler->OnEnd(absl::UnavailableError("control is not reachable"));
  };
  client_.on_closed = [](PublishStreamHandler*) {};
  Start();
  Feed(absl::StrCat(kGood, kGood));
  EXPECT_THAT(Join(), StatusIs(absl::StatusCode::kUnavailable,
                               "control is not reachable\n2 events have no receipt; publishing "
                               "again is safe with an idempotency_key"));
}

TEST_F(BatchTest, ControlThatEndsTheStreamTooEarlyIsAFailure) {
  client_.on_items = [](const std::vector<StreamItem>& items, PublishStreamHandler* handler) {
    AnswerBackwards(items, handler);
    handler->OnEnd(absl::OkStatus());
  };
  client_.on_closed = [](PublishStreamHandler*) {};
  Start();
  Feed(kGood);
  EXPECT_THAT(Join(), StatusIs(absl::StatusCode::kUnavailable, "control ended the stream"));
  EXPECT_THAT(Receipts(), ElementsAre("1"));
}

TEST_F(BatchTest, AfterGoAwayNothingIsSentAndReceiptsStillCome) {
  std::vector<StreamItem> sent;
  client_.credit = 1;
  client_.on_items = [&](const std::vector<StreamItem>& items, PublishStreamHandler* handler) {
    sent.insert(sent.end(), items.begin(), items.end());
    handler->OnGoAway("restart");
    handler->OnCredit(100);
  };
  client_.on_closed = [&](PublishStreamHandler* handler) {
    AnswerBackwards(sent, handler);
    handler->OnEnd(absl::OkStatus());
  };
  Start();
  Feed(absl::StrCat(kGood, kGood, kGood));
  EXPECT_THAT(Join(), StatusIs(absl::StatusCode::kUnavailable, "control is stopping: restart"));
  EXPECT_THAT(sent, SizeIs(1));
  EXPECT_THAT(Receipts(), ElementsAre("1"));
}

TEST_F(BatchTest, NoReceiptForTheLastLineIsAFailureEvenAtTheEndOfTheInput) {
  client_.on_items = [](const std::vector<StreamItem>&, PublishStreamHandler*) {};
  EXPECT_THAT(Run(kGood), StatusIs(absl::StatusCode::kUnavailable,
                                   HasSubstr("control ended the stream\n1 event has no receipt")));
}

TEST_F(BatchTest, HowTheStreamEndsIsNoMatterOnceAllIsAnswered) {
  client_.on_closed = [](PublishStreamHandler* handler) {
    handler->OnEnd(absl::UnavailableError("socket closed"));
  };
  EXPECT_OK(Run(kGood));
}

TEST_F(BatchTest, WithoutControlEvenAnEmptyBatchFails) {
  client_.welcomes = false;
  client_.on_closed = [](PublishStreamHandler* handler) {
    handler->OnEnd(absl::UnavailableError("control is not reachable"));
  };
  EXPECT_THAT(Run(""), StatusIs(absl::StatusCode::kUnavailable, "control is not reachable"));
}

TEST_F(BatchTest, WhenNobodyReadsTheReceiptsPublishingEndsAndSaysSo) {
  Start();
  Feed(kGood);
  ASSERT_TRUE(WaitFor([&] { return Receipts().size() == 1; }));
  results_.Fail(BrokenPipe());
  Feed(kGood);
  EXPECT_THAT(Join(), StatusIs(absl::StatusCode::kCancelled, "nobody reads the receipts any more"));
  EXPECT_TRUE(client_.cancelled);
}

TEST_F(BatchTest, AFullDiskIsSaid) {
  results_.Fail(absl::DataLossError("cannot write the output: No space left on device"));
  Start();
  Feed(kGood);
  EXPECT_THAT(Join(), StatusIs(absl::StatusCode::kDataLoss, EndsWith("No space left on device")));
}

TEST_F(BatchTest, AnInputThatCannotBeReadIsAnError) {
  const int folder = open("/", O_RDONLY | O_CLOEXEC);
  Output out({}, &results_, &notes_, &clock_);
  EXPECT_THAT(RunBatch({}, folder, client_, out),
              StatusIs(absl::StatusCode::kNotFound, "cannot read the input: Is a directory"));
  close(folder);
}

}  // namespace
}  // namespace fanwire::cli
