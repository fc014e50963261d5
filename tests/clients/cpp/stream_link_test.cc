#include "clients/cpp/src/stream_link.h"

#include "clients/cpp/src/target.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/cpp/fake_control.h"
#include "tests/testing/wait_for.h"

namespace fanwire::client {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// Sends an empty hello, and remembers why streams ended.
class Handler : public StreamHandler {
 public:
  void MakeHello(OutMessage* message) override { message->head = std::string("\x0a\x00", 2); }
  Status OnMessage(std::string_view /*message*/) override { return {}; }
  bool MakeMessage(OutMessage* /*message*/) override { return false; }
  void OnWake() override {}
  void OnEnd(const Status& status) override {
    MutexLock lock(&mu_);
    ends_.push_back(status);
  }

  std::vector<Status> ends() {
    MutexLock lock(&mu_);
    return ends_;
  }

 private:
  Mutex mu_;
  std::vector<Status> ends_ ABSL_GUARDED_BY(mu_);
};

class StreamLinkTest : public testing::Test {
 protected:
  StreamLink::Options Options() {
    PublisherOptions options;
    options.target = control_.target();
    StreamLink::Options link;
    EXPECT_TRUE(MakeChannel(options, &link.channel).ok());
    link.address = control_.target();
    link.method = "/fanwire.v1.Publisher/PublishStream";
    link.reconnect_first = link.reconnect_last = milliseconds(1);
    return link;
  }

  FakePublishControl control_;
  Handler handler_;
};

TEST_F(StreamLinkTest, AControlThatDoesNotAnswerIsLeft) {
  control_.Set({.silent = true});
  StreamLink::Options options = Options();
  options.greeting_timeout = milliseconds(10);
  StreamLink link(options, &handler_);
  link.Start();
  ASSERT_TRUE(WaitFor([&] { return handler_.ends().size() >= 2; }));
  EXPECT_EQ(handler_.ends()[0].code(), Code::kDeadlineExceeded);
  EXPECT_THAT(handler_.ends()[0].message(), HasSubstr("does not answer"));
  link.Stop(milliseconds(0));
}

TEST_F(StreamLinkTest, StopsInEveryState) {
  for (const bool started : {true, false}) {
    for (const bool silent : {false, true}) {
      if (!started) control_.Stop();
      control_.Set({.silent = silent});
      for (int i = 0; i < 20; ++i) {
        StreamLink link(Options(), &handler_);
        link.Start();
        if (i % 2 == 0) link.Wake();
        if (i % 3 == 0) WaitFor([&] { return !handler_.ends().empty(); }, absl::Milliseconds(i));
        link.Stop(milliseconds(i % 2));
        link.Wake();
      }
    }
  }
}

TEST_F(StreamLinkTest, UnknownMethodsAreTold) {
  StreamLink::Options options = Options();
  options.method = "/fanwire.v1.Publisher/NoSuch";
  StreamLink link(options, &handler_);
  link.Start();
  ASSERT_TRUE(WaitFor([&] { return !handler_.ends().empty(); }));
  EXPECT_EQ(handler_.ends()[0].code(), Code::kUnimplemented);
  link.Stop(milliseconds(0));
}

}  // namespace
}  // namespace fanwire::client
