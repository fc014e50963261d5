#include "fanout/port_holders.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fanout/listening_process.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<pid_t> HoldersOf(absl::string_view host, uint16_t port) {
  std::vector<pid_t> pids;
  for (const PortHolder& holder : PortHolders(host, port)) pids.push_back(holder.pid);
  return pids;
}

TEST(PortHoldersTest, TheProcessThatListensIsFound) {
  const ListeningProcess other("127.0.0.1");
  EXPECT_THAT(HoldersOf("127.0.0.1", other.port()), ElementsAre(other.pid()));
  EXPECT_THAT(HoldersOf("localhost", other.port()), ElementsAre(other.pid()));
  EXPECT_THAT(PortHolders("127.0.0.1", other.port())[0].command, HasSubstr("fanout_test"));
}

TEST(PortHoldersTest, AllAddressesOverlapWithEachOne) {
  const ListeningProcess v4("0.0.0.0"), both("::");
  EXPECT_THAT(HoldersOf("127.0.0.1", v4.port()), ElementsAre(v4.pid()));
  EXPECT_THAT(HoldersOf("::", v4.port()), ElementsAre(v4.pid()));
  EXPECT_THAT(HoldersOf("::1", v4.port()), IsEmpty());
  EXPECT_THAT(HoldersOf("127.0.0.1", both.port()), ElementsAre(both.pid()));
  EXPECT_THAT(HoldersOf("::1", both.port()), ElementsAre(both.pid()));
  const ListeningProcess one("127.0.0.1"), one_v6("::1");
  EXPECT_THAT(HoldersOf("0.0.0.0", one.port()), ElementsAre(one.pid()));
  EXPECT_THAT(HoldersOf("::", one.port()), ElementsAre(one.pid()));
  EXPECT_THAT(HoldersOf("::", one_v6.port()), ElementsAre(one_v6.pid()));
  EXPECT_THAT(HoldersOf("0.0.0.0", one_v6.port()), IsEmpty());
}

TEST(PortHoldersTest, OtherAddressesAndPortsHaveNoHolder) {
  const ListeningProcess other("127.0.0.1");
  EXPECT_THAT(HoldersOf("127.0.0.2", other.port()), IsEmpty());
  EXPECT_THAT(HoldersOf("::1", other.port()), IsEmpty());
  EXPECT_THAT(HoldersOf("127.0.0.1", 0), IsEmpty());
  EXPECT_THAT(HoldersOf("nowhere", other.port()), IsEmpty());
}

TEST(PortHoldersTest, OnlyThoseThatShareAreLetIn) {
  const ListeningProcess other("127.0.0.1");
  EXPECT_THAT(CheckPortHolders("127.0.0.1", other.port(), nullptr),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr(absl::StrCat("held by process ", other.pid(), " (")),
                             HasSubstr("), which is not a worker of this control; end that process "
                                       "or choose another port"))));
  EXPECT_OK(
      CheckPortHolders("127.0.0.1", other.port(), [&](pid_t pid) { return pid == other.pid(); }));
}

}  // namespace
}  // namespace fanwire::fanout
