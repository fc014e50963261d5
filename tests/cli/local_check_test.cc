// Tests the local check: what the program is given, and how its answer is read.
#include "cli/local_check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "fanwire/v1/admin.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LocalCheckTest : public testing::Test {
 protected:
  ~LocalCheckTest() override { unlink(program_.c_str()); }

  // Makes the program a shell script with these lines.
  void Write(const std::string& script) {
    std::ofstream(program_) << "#!/bin/sh\n" << script;
    ASSERT_EQ(chmod(program_.c_str(), 0700), 0);
  }

  const std::string program_ = testing::TempDir() + "local_check_" + std::to_string(getpid());
};

TEST_F(LocalCheckTest, TheProgramIsGivenTheTextAndItsVerdictIsTaken) {
  Write(R"sh(test "$*" = "--config /dev/stdin --check-config --json --config-folder conf" || exit 1
test "$(cat /dev/stdin)" = "log: {}" || exit 1
echo '{"ok": true, "errors": [], "warnings": ["careful"], "resolved_yaml": "log: {level: info}"}'
)sh");
  const auto verdict = CheckConfigWith(program_, "log: {}\n", "conf/f.yaml");
  ASSERT_OK(verdict);
  EXPECT_TRUE(verdict->ok);
  EXPECT_THAT(verdict->errors, IsEmpty());
  EXPECT_THAT(verdict->warnings, ElementsAre("careful"));
  EXPECT_EQ(verdict->resolved_yaml, "log: {level: info}");
}

TEST_F(LocalCheckTest, FaultsCallTheFileByItsName) {
  Write(R"sh(echo '{"ok": false, "errors": ["/dev/stdin:3:5: bad", "other"], "warnings": []}'
exit 2
)sh");
  const auto verdict = CheckConfigWith(program_, "x", "f.yaml");
  ASSERT_OK(verdict);
  EXPECT_FALSE(verdict->ok);
  EXPECT_THAT(verdict->errors, ElementsAre("f.yaml:3:5: bad", "other"));
  EXPECT_EQ(verdict->resolved_yaml, "");
}

TEST_F(LocalCheckTest, ALongTextIsNoProblem) {
  Write(R"sh(echo "{\"ok\": true, \"errors\": [], \"warnings\": [\"$(wc -c)\"]}"
)sh");
  const auto verdict = CheckConfigWith(program_, std::string(2'000'000, '#'), "f.yaml");
  ASSERT_OK(verdict);
  EXPECT_THAT(verdict->warnings, ElementsAre("2000000"));
}

TEST_F(LocalCheckTest, AProgramThatIsNotThereOrSaysNothingIsNoVerdict) {
  EXPECT_THAT(CheckConfigWith("/nonexistent/fanwire-control", "x", "f.yaml"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("/nonexistent")));
  Write("exit 1\n");
  EXPECT_THAT(CheckConfigWith(program_, "x", "f.yaml"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ended without a result")));
}

TEST_F(LocalCheckTest, ControlsProgramIsNamed) {
  EXPECT_THAT(ControlProgram(), HasSubstr("fanwire-control"));
}

TEST_F(LocalCheckTest, CatalogsAreReadFromTheProgramsAnswer) {
  v1::GetCatalogResponse response;
  v1::ServiceCatalog* const catalog = response.add_services();
  catalog->set_service("orders");
  catalog->set_check(v1::CATALOG_CHECK_WARN);
  v1::EventDescription* const event = catalog->add_events();
  event->set_name("order.placed");
  event->set_message("m.M");
  event->set_status(v1::EventDescription::STATUS_PLANNED);
  event->add_channels("c");
  event->add_routing_keys()->set_name("r");
  v1::KeyDescription* const key = event->add_keys();
  key->set_name("lines");
  key->set_type(v1::KeyDescription::TYPE_LIST);
  key->set_optional(true);
  key->add_keys()->set_type(static_cast<v1::KeyDescription::Type>(99));  // of a later version
  const std::string answer = program_ + ".answer";
  std::ofstream(answer, std::ios::binary) << response.SerializeAsString();
  Write("test \"$*\" = \"--config conf/f.yaml --print-catalog\" || exit 1\ncat " + answer + "\n");
  const auto catalogs = ReadCatalogWith(program_, "conf/f.yaml");
  unlink(answer.c_str());
  ASSERT_OK(catalogs);
  ASSERT_EQ(catalogs->size(), 1u);
  const ServiceCatalog& read = catalogs->front();
  EXPECT_EQ(read.service, "orders");
  EXPECT_EQ(read.check, "warn");
  ASSERT_EQ(read.events.size(), 1u);
  EXPECT_EQ(read.events[0].name, "order.placed");
  EXPECT_EQ(read.events[0].message, "m.M");
  EXPECT_EQ(read.events[0].status, CatalogEvent::Status::kPlanned);
  EXPECT_THAT(read.events[0].channels, ElementsAre("c"));
  EXPECT_EQ(read.events[0].routing_keys[0].name, "r");
  ASSERT_EQ(read.events[0].keys.size(), 1u);
  EXPECT_EQ(read.events[0].keys[0].type, CatalogType::kList);
  EXPECT_TRUE(read.events[0].keys[0].optional);
  EXPECT_EQ(read.events[0].keys[0].keys[0].type, CatalogType::kAny);
}

TEST_F(LocalCheckTest, AConfigurationWithFaultsHasNoCatalogs) {
  Write("exit 2\n");
  EXPECT_THAT(ReadCatalogWith(program_, "f.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f.yaml: ")));
  EXPECT_THAT(ReadCatalogWith("/no/such/program", "f.yaml"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("/no/such/program")));
}

}  // namespace
}  // namespace fanwire::cli
