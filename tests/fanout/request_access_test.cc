#include "fanout/request_access.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/worker.pb.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::_;

class RequestAccessTest : public ::testing::Test {
 protected:
  RequestAccessTest() : verifier_(Service()), access_(Service()) {}

  static v1::WorkerService Service() {
    v1::WorkerService service;
    const auto rule = [&](const char* prefix, const char* permission) {
      auto* const added = service.add_permissions();
      added->set_prefix(prefix);
      added->add_any_of(permission);
    };
    rule("workflow:secret", "secret:read");
    rule("workflow:", "workflow:read");
    rule("patterns:", "akosha:read");
    rule("anomalies", "anomaly:read");
    service.add_admin_permissions("boss");
    const auto request = [&](const char* name, const char* argument) {
      v1::ServiceRequest* const added = service.add_requests();
      added->set_name(name);
      added->set_argument(argument);
      return added;
    };
    request("get_workflow_status", "workflow_id")->set_kind("workflow");
    request("get_patterns", "category")->add_feeds("patterns:**");
    v1::ServiceRequest* const both = request("get_both", "");
    both->add_feeds("patterns:**");
    both->add_feeds("anomalies");
    request("get_state", "state_path")->add_any_of("state:read");
    request("get_other", "id");
    request("get_own", "id")->set_kind("workflow");
    const auto served = [&](const char* name, const char* permission, int64_t seconds) {
      v1::ServiceRequest* const added = request(name, "");
      added->set_served(true);
      added->mutable_timeout()->set_seconds(seconds);
      if (*permission != '\0') added->add_any_of(permission);
    };
    served("get_own", "own:read", 1);
    served("job_*", "job:run", 2);
    served("get_*", "", 3);
    served("job_x", "job:x", 4);
    return service;
  }

  absl::Status Ask(const char* permission, absl::string_view request, absl::string_view data) {
    const Identity identity{.user = "u", .permissions = {permission}, .expires_at = {}};
    return access_.Check(verifier_, identity, request, data);
  }

  const TokenVerifier verifier_;
  const RequestAccess access_;
};

TEST_F(RequestAccessTest, HistoryAndPresenceAreAlwaysAnsweredAndOthersIfNamed) {
  EXPECT_TRUE(access_.HandlingOf("history", {}).answered);
  EXPECT_TRUE(access_.HandlingOf("presence", {}).answered);
  EXPECT_FALSE(access_.HandlingOf("presence", {}).served);
  EXPECT_TRUE(access_.HandlingOf("get_other", {}).answered);
  EXPECT_FALSE(access_.HandlingOf("put_nothing", {}).answered);
}

TEST_F(RequestAccessTest, ServedRequestsAreThoseOfTheConfigurationAndOfResponders) {
  RequestNames registered;
  registered.Add("run_*");
  registered.Add("get_workflow_status");
  const auto handling = [&](absl::string_view name) {
    const RequestAccess::Handling found = access_.HandlingOf(name, registered);
    return !found.answered ? std::string("nobody")
           : found.served  ? absl::StrCat("served ", absl::ToInt64Seconds(found.timeout))
                           : std::string("control");
  };
  EXPECT_EQ(handling("history"), "control");
  EXPECT_EQ(handling("get_own"), "served 1");
  EXPECT_EQ(handling("job_1"), "served 2");
  EXPECT_EQ(handling("job_x"), "served 4") << "exact before a pattern";
  EXPECT_EQ(handling("get_anything"), "served 3");
  EXPECT_EQ(handling("get_workflow_status"), "served 3");
  EXPECT_EQ(handling("run_it"), "served 10");
  EXPECT_EQ(handling("walk"), "nobody");
  EXPECT_EQ(handling("get_"), "served 3");
  EXPECT_EQ(handling("presence"), "control");
  EXPECT_EQ(handling("publish"), "nobody");
}

TEST_F(RequestAccessTest, AServedRequestNeedsOneOfItsPermissionsOrAnAdministrator) {
  // Exact, before the status request of the name.
  EXPECT_OK(Ask("own:read", "get_own", R"({"id":"x"})"));
  EXPECT_THAT(Ask("workflow:read", "get_own", R"({"id":"x"})"),
              StatusIs(absl::StatusCode::kPermissionDenied, "Not authorized to request get_own"));
  EXPECT_OK(Ask("job:run", "job_1", "{}"));
  EXPECT_FALSE(Ask("job:run", "job_x", "{}").ok());
  EXPECT_OK(Ask("job:x", "job_x", "{}"));
  // A status request before a pattern.
  EXPECT_OK(Ask("workflow:read", "get_workflow_status", R"({"workflow_id":"wf_1"})"));
  EXPECT_FALSE(Ask("job:run", "get_anything", "{}").ok());
  EXPECT_OK(Ask("boss", "get_anything", "{}"));
  // What responders serve and nothing names.
  EXPECT_FALSE(Ask("job:run", "run_it", "{}").ok());
  EXPECT_OK(Ask("boss", "run_it", "{}"));
  EXPECT_OK(Ask("admin", "run_it", "{}"));
}

TEST_F(RequestAccessTest, HistoryNeedsTheChannel) {
  EXPECT_OK(Ask("workflow:read", "history", R"({"channel":"workflow:1"})"));
  EXPECT_OK(Ask("workflow:read", "presence", R"({"channel":"workflow:1"})"));
  EXPECT_THAT(
      Ask("akosha:read", "presence", R"({"channel":"workflow:1"})"),
      StatusIs(absl::StatusCode::kPermissionDenied, "Not authorized to subscribe to workflow:1"));
  EXPECT_THAT(
      Ask("akosha:read", "history", R"({"channel":"workflow:1"})"),
      StatusIs(absl::StatusCode::kPermissionDenied, "Not authorized to subscribe to workflow:1"));
  // Of two channels the last one is what control reads.
  EXPECT_FALSE(
      Ask("akosha:read", "history", R"({"channel":"patterns:a","channel":"workflow:1"})").ok());
  EXPECT_FALSE(
      Ask("akosha:read", "history", R"({"channel":"patterns:a","\u0063hannel":"workflow:1"})")
          .ok());
}

TEST_F(RequestAccessTest, AnEntityNeedsItsChannel) {
  const char* const kStatus = "get_workflow_status";
  EXPECT_OK(Ask("workflow:read", kStatus, R"({"workflow_id":"wf_1"})"));
  EXPECT_OK(Ask("workflow:read", kStatus, R"({"workflow_id":"workflow:wf_1"})"));
  EXPECT_OK(Ask("workflow:read", kStatus, R"({"workflow_id":12345678901234567890123})"));
  EXPECT_OK(Ask("boss", kStatus, R"({"workflow_id":"wf_1"})"));
  for (const char* data :
       {R"({"workflow_id":"wf_1"})", R"({"workflow_id":"workflow:wf_1"})", R"({"workflow_id":42})",
        R"({"workflow_id":12345678901234567890123})", R"({"x":1,"workflow_id" : "*"})"}) {
    EXPECT_THAT(Ask("akosha:read", kStatus, data), StatusIs(absl::StatusCode::kPermissionDenied, _))
        << data;
  }
  EXPECT_EQ(Ask("akosha:read", kStatus, R"({"workflow_id":"workflow:wf_1"})").message(),
            "Not authorized to subscribe to workflow:wf_1");
  // A stricter rule for some of the kind's channels holds for their entities.
  EXPECT_FALSE(Ask("workflow:read", kStatus, R"({"workflow_id":"secret"})").ok());
  EXPECT_FALSE(Ask("workflow:read", kStatus, R"({"workflow_id":"workflow:secret"})").ok());
  EXPECT_OK(Ask("secret:read", kStatus, R"({"workflow_id":"secret"})"));
  // What names nothing is control's to refuse.
  for (const char* data : {"{}", R"({"workflow_id":null})", R"({"workflow_id":""})",
                           R"({"workflow_id":1.5})", R"({"workflow_id":["wf_1"]})"}) {
    EXPECT_OK(Ask("akosha:read", kStatus, data)) << data;
  }
}

TEST_F(RequestAccessTest, AListNeedsAllChannelsThatFeedIt) {
  EXPECT_OK(Ask("akosha:read", "get_patterns", "{}"));
  EXPECT_OK(Ask("akosha:read", "get_patterns", R"({"category":"x"})"));
  EXPECT_THAT(
      Ask("workflow:read", "get_patterns", "{}"),
      StatusIs(absl::StatusCode::kPermissionDenied, "Not authorized to subscribe to patterns:**"));
  EXPECT_EQ(Ask("akosha:read", "get_both", "{}").message(),
            "Not authorized to subscribe to anomalies");
  EXPECT_OK(Ask("boss", "get_both", "{}"));
}

TEST_F(RequestAccessTest, AnyOtherNeedsOneOfItsPermissionsOrAnAdministrator) {
  EXPECT_OK(Ask("state:read", "get_state", "{}"));
  EXPECT_THAT(Ask("workflow:read", "get_state", "{}"),
              StatusIs(absl::StatusCode::kPermissionDenied, "Not authorized to request get_state"));
  EXPECT_OK(Ask("boss", "get_state", "{}"));
  EXPECT_FALSE(Ask("state:read", "get_other", "{}").ok());
  EXPECT_OK(Ask("boss", "get_other", "{}"));
  EXPECT_OK(Ask("admin", "get_other", "{}"));
}

TEST_F(RequestAccessTest, AChannelsStateIsToldByTheFirstStatusRequestOfItsKind) {
  const auto state = access_.StateRequestOf("workflow:wf:1\"");
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->name, "get_workflow_status");
  EXPECT_EQ(state->data, R"({"workflow_id":"wf:1\""})");
  for (const char* none : {"pool:1", "workflow", "patterns:a", ""}) {
    EXPECT_FALSE(access_.StateRequestOf(none).has_value()) << none;
  }
}

}  // namespace

}  // namespace fanwire::fanout
