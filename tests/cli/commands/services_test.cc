#include "cli/commands/services.h"

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

class ServicesTest : public testing::Test {
 protected:
  ServicesTest() {
    wsctl_.admin.services = {
        {.name = "session-buddy",
         .listeners = {{.host = "127.0.0.1", .port = 8765, .dialect = "session_buddy"},
                       {.host = "::1",
                        .port = 8688,
                        .dialect = "common",
                        .tls = true,
                        .auth_required = true}},
         .max_connections = 1000,
         .message_rate_limit = 100,
         .sessions = 3,
         .subscriptions = 4,
         .channels = 5,
         .publications = 6}};
  }
  CliRunner wsctl_;
};

TEST_F(ServicesTest, ListForPeople) {
  EXPECT_EQ(wsctl_.Run({"services", "list"}).out,
            "SERVICE        SESSIONS   MAX  SUBSCRIPTIONS  CHANNELS  PUBLICATIONS  LISTENERS\n"
            "session-buddy         3  1000              4         5             6  "
            "127.0.0.1:8765 (session_buddy)  [::1]:8688 (tls, auth)\n");
}

TEST_F(ServicesTest, ListAsJson) {
  EXPECT_EQ(nlohmann::json::parse(wsctl_.Run({"services", "list", "--output", "json"}).out),
            nlohmann::json::parse(R"([{"name": "session-buddy", "listeners": [
                {"host": "127.0.0.1", "port": 8765, "dialect": "session_buddy", "tls": false,
                 "auth_required": false},
                {"host": "::1", "port": 8688, "dialect": "common", "tls": true,
                 "auth_required": true}],
                "max_connections": 1000, "message_rate_limit": 100.0, "sessions": 3,
                "subscriptions": 4, "channels": 5, "publications": 6}])"));
}

}  // namespace
}  // namespace fanwire::cli
