// deploy/config/fanwire.yaml, the configuration that is shipped.
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/config/worker_config.h"
#include "control/events/catalog_check.h"
#include "control/events/event.h"
#include "control/events/json_document.h"
#include "fanout/publish_rules.h"
#include "fanout/token_verifier.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using fanout::TokenVerifier;

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Property;

using Environment = std::map<std::string, std::string>;

LoadedConfig LoadShipped(const Environment& environment = {}) {
  static const absl::StatusOr<std::string> text =
      ReadConfigFile(FANWIRE_SOURCE_DIR "/deploy/config/fanwire.yaml");
  EXPECT_OK(text);
  ConfigOverrides overrides;
  overrides.environment = [&](const std::string& name) -> const char* {
    const auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  };
  return LoadConfig(text.value_or(""), "fanwire.yaml", overrides);
}

const v1::ServiceConfig& Service(const LoadedConfig& loaded, const std::string& name) {
  for (const v1::ServiceConfig& service : loaded.config->services()) {
    if (service.name() == name) return service;
  }
  ADD_FAILURE() << "no service " << name;
  static const v1::ServiceConfig none;
  return none;
}

nlohmann::json Sample(const CatalogKey& key) {
  switch (key.type) {
    case CatalogType::kText:
      return key.values.empty() ? "text" : key.values[0];
    case CatalogType::kInt32:
    case CatalogType::kInt64:
    case CatalogType::kUint32:
    case CatalogType::kUint64:
      return 7;
    case CatalogType::kNumber:
      return 0.5;
    case CatalogType::kBoolean:
      return true;
    case CatalogType::kObject: {
      nlohmann::json object = {{"key", "value"}};
      for (const CatalogKey& inner : key.keys) object[inner.name] = Sample(inner);
      return object;
    }
    case CatalogType::kList:
      return nlohmann::json::array(
          {key.keys.empty() ? nlohmann::json("one") : Sample(key.keys[0])});
    case CatalogType::kMap:
      return {{"key", Sample(key.keys[0])}};
    case CatalogType::kAny:
      return nullptr;
  }
  return nullptr;
}

// `channel_template` with each "{field}" filled.
std::string Fill(std::string channel_template) {
  for (size_t open; (open = channel_template.find('{')) != std::string::npos;) {
    channel_template.replace(open, channel_template.find('}', open) + 1 - open, "x1");
  }
  return channel_template;
}

// What the workers of this configuration decide by, by service.
std::map<std::string, TokenVerifier> Verifiers(const LoadedConfig& loaded) {
  v1::WorkerConfig worker;
  BuildWorkerConfig(*loaded.config, &worker);
  std::map<std::string, TokenVerifier> verifiers;
  for (const v1::WorkerService& service : worker.services()) {
    verifiers.emplace(service.name(), service);
  }
  return verifiers;
}

bool May(const std::map<std::string, TokenVerifier>& verifiers, const std::string& service,
         const std::string& permission, const std::string& channel) {
  return verifiers.at(service).MaySubscribe(
      {.user = "ana", .permissions = {permission}, .expires_at = {}}, channel);
}

TEST(ShippedConfigTest, LoadsWithoutErrorsAndWarnings) {
  const LoadedConfig loaded = LoadShipped();
  EXPECT_THAT(loaded.errors, IsEmpty());
  EXPECT_THAT(loaded.warnings, IsEmpty());
}

TEST(ShippedConfigTest, HasTheSevenServicesOnTheirPorts) {
  const LoadedConfig loaded = LoadShipped();
  std::map<std::string, std::vector<uint32_t>> ports;
  for (const v1::ServiceConfig& service : loaded.config->services()) {
    for (const v1::ListenerConfig& listener : service.listeners()) {
      ports[service.name()].push_back(listener.port());
      EXPECT_EQ(listener.host(), "127.0.0.1");
      EXPECT_FALSE(listener.auth_required());
      EXPECT_EQ(listener.dialect(),
                listener.port() == 8765 ? v1::DIALECT_SESSION_BUDDY : v1::DIALECT_COMMON);
    }
  }
  const std::map<std::string, std::vector<uint32_t>> expected = {
      {"session-buddy", {8765, 8688}}, {"mahavishnu", {8690}}, {"akosha", {8692}},
      {"crackerjack", {8686}},         {"dhruva", {8693}},     {"excalidraw", {3042}},
      {"fastblocks", {8684}}};
  EXPECT_EQ(ports, expected);
  EXPECT_EQ(loaded.config->control().grpc_listen(), "127.0.0.1:8701");
  EXPECT_EQ(loaded.config->control().ops_listen(), "127.0.0.1:8702");
  EXPECT_EQ(loaded.config->worker().ops_listen(), "127.0.0.1:8710");
}

TEST(ShippedConfigTest, WorkersGetLimitsAndRequestsOfEachService) {
  const LoadedConfig loaded = LoadShipped();
  v1::WorkerConfig worker;
  BuildWorkerConfig(*loaded.config, &worker);
  ASSERT_EQ(worker.services_size(), 7);
  for (const v1::WorkerService& service : worker.services()) {
    const bool small = service.name() == "excalidraw" || service.name() == "fastblocks";
    EXPECT_EQ(service.limits().max_connections(), small ? 100 : 1000) << service.name();
    EXPECT_EQ(service.limits().message_rate_limit(), small ? 60 : 100) << service.name();
    EXPECT_EQ(service.limits().message_rate_burst(), small ? 90 : 150) << service.name();
    EXPECT_EQ(service.server_name(), service.name());
    EXPECT_EQ(service.subscribe_by_component_id(), service.name() == "fastblocks");
    EXPECT_FALSE(service.permissions().empty()) << service.name();
    if (service.name() == "mahavishnu") {
      EXPECT_EQ(service.welcome_message(), "Connected to Mahavishnu orchestration");
      EXPECT_THAT(service.requests(),
                  ElementsAre(Property(&v1::ServiceRequest::name, "get_workflow_status"),
                              Property(&v1::ServiceRequest::name, "get_pool_status")));
    }
  }
}

TEST(ShippedConfigTest, OnlyExcalidrawsClientsPublishAndOnlyDiagramsAndCursors) {
  const LoadedConfig loaded = LoadShipped();
  v1::WorkerConfig worker;
  BuildWorkerConfig(*loaded.config, &worker);
  for (const v1::WorkerService& service : worker.services()) {
    const fanout::PublishRules rules(service);
    EXPECT_EQ(rules.any(), service.name() == "excalidraw") << service.name();
    if (!rules.any()) continue;
    EXPECT_EQ(rules.Find("diagram:d", "diagram.created"), nullptr);
    EXPECT_EQ(rules.Find("presence:d", "user.joined"), nullptr);
    EXPECT_EQ(rules.Find("cursor:d", "diagram.updated"), nullptr);
    const auto* const diagram = rules.Find("diagram:d", "diagram.updated");
    const auto* const cursor = rules.Find("cursor:d", "cursor.moved");
    const auto* const in_diagram = rules.Find("diagram:d", "cursor.moved");
    for (const auto* const rule : {diagram, cursor, in_diagram}) {
      ASSERT_NE(rule, nullptr);
      EXPECT_THAT(rule->any_of, ElementsAre("excalidraw:write"));
      EXPECT_TRUE(rule->anonymous);
      EXPECT_EQ(rule->skip_history, rule != diagram);
      EXPECT_EQ(rule->conflate_interval, absl::Milliseconds(rule == diagram ? 0 : 50));
    }
    // What clients of the earlier server send, without a channel.
    EXPECT_EQ(rules.ChannelOf("diagram.updated", R"({"diagram_id":"d"})"), "diagram:d");
    EXPECT_EQ(rules.ChannelOf("cursor.moved", R"({"diagram_id":"d"})"), "cursor:d");
    EXPECT_THAT(fanout::PublishRules::CopiesOf(*cursor, "cursor:d"), ElementsAre("diagram:d"));
    EXPECT_THAT(fanout::PublishRules::CopiesOf(*in_diagram, "diagram:d"), ElementsAre("cursor:d"));
  }
}

TEST(ShippedConfigTest, HasNoKeyUnlessItsVariableIsSet) {
  const LoadedConfig loaded = LoadShipped();
  for (const v1::ServiceConfig& service : loaded.config->services()) {
    EXPECT_TRUE(service.keys().empty()) << service.name();
  }
  const std::string secret = "0123456789abcdef0123456789abcdef";
  for (const auto& [variable, name] :
       std::map<std::string, std::string>{{"SESSION_BUDDY_JWT_SECRET", "session-buddy"},
                                          {"MAHAVISHNU_JWT_SECRET", "mahavishnu"},
                                          {"AKOSHA_JWT_SECRET", "akosha"},
                                          {"CRACKERJACK_JWT_SECRET", "crackerjack"},
                                          {"BODAI_SHARED_SECRET", "crackerjack"},
                                          {"DHRUVA_JWT_SECRET", "dhruva"},
                                          {"EXCALIDRAW_JWT_SECRET", "excalidraw"},
                                          {"FASTBLOCKS_JWT_SECRET", "fastblocks"}}) {
    const LoadedConfig with_secret = LoadShipped({{variable, secret}});
    EXPECT_THAT(with_secret.errors, IsEmpty());
    for (const v1::ServiceConfig& service : with_secret.config->services()) {
      EXPECT_EQ(service.keys_size(), service.name() == name ? 1 : 0)
          << variable << ", " << service.name();
    }
    EXPECT_EQ(Service(with_secret, name).keys(0).secret(), secret);
  }
}

// What the catalog has against such an event.
std::vector<std::string> CatalogFaultsOf(const Catalog& catalog, const std::string& name,
                                         const std::string& channel, const nlohmann::json& data) {
  JsonDocument document;
  EXPECT_OK(document.Parse(data.dump()));
  Event event;
  event.event = name;
  event.channel = channel;
  return CatalogFaults(catalog, event, document);
}

TEST(ShippedConfigTest, EveryEventFitsItsOwnCatalog) {
  const LoadedConfig loaded = LoadShipped();
  const auto table = ServiceTable::Make(*loaded.config);
  for (const auto& service : table->services()) {
    EXPECT_THAT(service->catalog.events(), Not(IsEmpty())) << service->name;
    for (const CatalogEvent& event : service->catalog.events()) {
      nlohmann::json all = nlohmann::json::object(), least = nlohmann::json::object();
      for (const CatalogKey& key : event.keys) {
        all[key.name] = Sample(key);
        if (!key.optional) least[key.name] = Sample(key);
      }
      for (const std::string& channel : event.channels) {
        EXPECT_THAT(CatalogFaultsOf(service->catalog, event.name, Fill(channel), all), IsEmpty());
        EXPECT_THAT(CatalogFaultsOf(service->catalog, event.name, Fill(channel), least), IsEmpty());
      }
      if (event.channels.empty()) continue;
      EXPECT_THAT(CatalogFaultsOf(service->catalog, event.name, "elsewhere", all), Not(IsEmpty()));
    }
  }
}

TEST(ShippedConfigTest, EveryChannelOfTheCatalogIsReadableByTheServicesReadPermission) {
  const LoadedConfig loaded = LoadShipped();
  const std::map<std::string, TokenVerifier> verifiers = Verifiers(loaded);
  const auto table = ServiceTable::Make(*loaded.config);
  for (const auto& service : table->services()) {
    if (service->name == "mahavishnu") continue;  // global, adapters, symbiotic:… are for admins
    for (const CatalogEvent& event : service->catalog.events()) {
      for (const std::string& channel : event.channels) {
        EXPECT_TRUE(
            May(verifiers, service->name, absl::StrCat(service->name, ":read"), Fill(channel)))
            << channel;
      }
    }
  }
}

// What one permission opens in a service, and what stays closed to it.
struct Reading {
  const char* service;
  const char* permission;
  std::vector<std::string> open;
  std::vector<std::string> closed;
};

std::vector<Reading> Readings() {
  return {
      {"mahavishnu",
       "workflow:read",
       {"workflow:wf_1", "workflow:wf_1:stage", "workflow:*", "workflow:**"},
       {"workflow", "workflows:wf_1", "pool:p", "worker:w", "goal-teams"}},
      {"mahavishnu",
       "pool:read",
       {"pool:p", "pool:*"},
       {"pool", "pools:p", "workflow:wf_1", "worker:w", "goal-teams"}},
      {"mahavishnu",
       "worker:read",
       {"worker:w", "worker:*"},
       {"worker", "workers:w", "workflow:wf_1", "pool:p", "goal-teams"}},
      {"mahavishnu",
       "team:read",
       {"goal-teams", "goal-teams:ana", "goal-teams:*", "goal-teams-archive"},
       {"goal-team", "workflow:wf_1", "pool:p", "worker:w"}},
      // Channels without a rule are for administrators.
      {"mahavishnu",
       "mahavishnu:read",
       {},
       {"workflow:wf_1", "pool:p", "worker:w", "goal-teams", "adapters", "symbiotic:ecosystem"}},
      {"akosha",
       "akosha:read",
       // Both readings of the names: of the rules and of the channels that are published.
       {"pattern:usage", "pattern:*", "patterns:usage", "patterns:*", "anomaly:a1", "anomalies",
        "anomaly:*", "insight:i1", "insights", "insight:*", "metrics"},
       {"pattern", "patterns", "metric", "metrics:m", "metrics2"}},
      {"crackerjack",
       "crackerjack:read",
       {"quality:p", "quality:*", "test:r", "test:*", "coverage"},
       {"quality", "tests:r", "coverage:p", "coverage2"}},
      {"session-buddy",
       "session-buddy:read",
       {"session:s", "session:*", "knowledge:k", "checkpoint:c", "metrics", "metrics:skill",
        "global"},
       {"sessions", "session", "global:all"}},
      {"dhruva",
       "dhruva:read",
       {"adapter:a", "storage:s", "distribution", "distribution:r", "registry", "lifecycle"},
       {"adapters", "registry:a", "lifecycle:a"}},
      {"dhruva", "dhara:read", {"adapter:a", "storage:s", "distribution:r"}, {"adapters"}},
      {"excalidraw",
       "excalidraw:read",
       {"diagram:d", "diagram:*", "cursor:d", "presence:d", "collaboration:r"},
       {"diagram", "diagrams:d", "cursors:d"}},
      {"fastblocks",
       "fastblocks:read",
       {"ui:c", "ui:*", "component:c", "state", "state:cart", "state-of-the-cart", "page:p",
        "render", "hot_reload"},
       {"ui", "stat", "components:c", "pages:p", "render:c", "hot_reload:f"}},
  };
}

TEST(ShippedConfigTest, EachPermissionOpensItsChannelsAndNoOthers) {
  const LoadedConfig loaded = LoadShipped();
  const std::map<std::string, TokenVerifier> verifiers = Verifiers(loaded);
  for (const Reading& reading : Readings()) {
    const auto may = [&](const std::string& channel) {
      return May(verifiers, reading.service, reading.permission, channel);
    };
    for (const std::string& channel : reading.open) {
      EXPECT_TRUE(may(channel)) << reading.permission << ", " << channel;
    }
    for (const std::string& channel : reading.closed) {
      EXPECT_FALSE(may(channel)) << reading.permission << ", " << channel;
    }
    for (const char* channel : {"elsewhere", "*", "**", "*:x"}) {
      EXPECT_FALSE(may(channel)) << reading.permission << ", " << channel;
    }
    // session-buddy's global is as open as its other channels.
    EXPECT_EQ(may("global"), reading.service == absl::string_view("session-buddy"));
  }
}

TEST(ShippedConfigTest, AdministratorsReadEverythingAndPlainReadNothing) {
  const LoadedConfig loaded = LoadShipped();
  const std::map<std::string, TokenVerifier> verifiers = Verifiers(loaded);
  std::map<std::string, std::set<std::string>> admins;
  for (const auto& [name, unused] : verifiers) admins[name].insert(absl::StrCat(name, ":admin"));
  admins["dhruva"].insert("dhara:admin");
  for (const Reading& reading : Readings()) {
    std::vector<std::string> channels = {"global", "elsewhere", "*", "**"};
    channels.insert(channels.end(), reading.open.begin(), reading.open.end());
    channels.insert(channels.end(), reading.closed.begin(), reading.closed.end());
    for (const std::string& channel : channels) {
      EXPECT_TRUE(May(verifiers, reading.service, "admin", channel)) << channel;
      EXPECT_FALSE(May(verifiers, reading.service, "read", channel)) << channel;
      for (const auto& [name, permissions] : admins) {
        for (const std::string& permission : permissions) {
          EXPECT_EQ(May(verifiers, reading.service, permission, channel), name == reading.service)
              << reading.service << ", " << permission << ", " << channel;
        }
      }
    }
  }
}

TEST(ShippedConfigTest, EveryEventThatStateIsMadeOfIsInTheCatalog) {
  const LoadedConfig loaded = LoadShipped();
  const auto table = ServiceTable::Make(*loaded.config);
  for (const v1::ServiceConfig& service : loaded.config->services()) {
    for (const v1::StatusRequest& request : service.status_requests()) {
      std::vector<std::string> patterns(request.recent().events().begin(),
                                        request.recent().events().end());
      for (const v1::StatusRule& rule : request.events()) patterns.push_back(rule.event());
      for (const v1::MirrorRule& mirror : service.mirrors()) {
        patterns.insert(patterns.end(), mirror.events().begin(), mirror.events().end());
      }
      EXPECT_FALSE(patterns.empty()) << request.request();
      for (const std::string& pattern : patterns) {
        bool known = false;
        for (const CatalogEvent& event : table->Find(service.name())->catalog.events()) {
          known |= EventMatches(pattern, event.name);
        }
        EXPECT_TRUE(known) << request.request() << ": " << pattern;
      }
    }
  }
}

}  // namespace
}  // namespace fanwire::control
