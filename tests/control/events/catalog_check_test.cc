#include "control/events/catalog_check.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/catalog_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Catalog MakeCatalog() {
  return Catalog({{.name = "workflow.started",
                   .channels = {"workflow:{workflow_id}", "global"},
                   .keys = {{.name = "workflow_id", .type = CatalogType::kText},
                            {.name = "steps", .type = CatalogType::kInt64, .optional = true},
                            {.name = "any", .optional = true}}},
                  {.name = "anywhere"}},
                 Catalog::Check::kWarn);
}

// A catalog whose event `e` has one key, `k`.
Catalog WithKey(CatalogKey key) {
  key.name = "k";
  return Catalog({{.name = "e", .keys = {std::move(key)}}}, Catalog::Check::kEnforce);
}

std::vector<std::string> Faults(const Catalog& catalog, absl::string_view event,
                                absl::string_view channel, absl::string_view data) {
  JsonDocument document;
  EXPECT_OK(document.Parse(data));
  Event described;
  described.event = event;
  described.channel = channel;
  return CatalogFaults(catalog, described, document);
}

TEST(CatalogFaultsTest, AnEventAsDescribedHasNoFaults) {
  const Catalog catalog = MakeCatalog();
  EXPECT_THAT(Faults(catalog, "workflow.started", "workflow:1", R"({"workflow_id":"1","x":2})"),
              IsEmpty());
  EXPECT_THAT(
      Faults(catalog, "workflow.started", "global", R"({"workflow_id":"1","steps":null,"any":[]})"),
      IsEmpty());
  EXPECT_THAT(Faults(catalog, "anywhere", "x:y", "{}"), IsEmpty());
}

TEST(CatalogFaultsTest, NamesEveryFaultOfAnEvent) {
  EXPECT_THAT(
      Faults(MakeCatalog(), "workflow.started", "pool:1", R"({"steps":"three"})"),
      ElementsAre(R"(event "workflow.started" belongs on workflow:{workflow_id} or global, not on )"
                  R"("pool:1")",
                  R"(event "workflow.started": data.steps: expected a whole number, found a text)",
                  R"(event "workflow.started": data.workflow_id: expected a text, found nothing)"));
}

TEST(CatalogFaultsTest, AnUnknownEventIsAFault) {
  EXPECT_THAT(Faults(MakeCatalog(), "workflow.begun", "workflow:1", "{}"),
              ElementsAre(HasSubstr("\"workflow.begun\" is not in the catalog")));
}

TEST(CatalogFaultsTest, ARequiredFieldMayNotBeNull) {
  EXPECT_THAT(Faults(MakeCatalog(), "workflow.started", "global", R"({"workflow_id":null})"),
              ElementsAre(EndsWith("data.workflow_id: expected a text, found null")));
}

TEST(CatalogFaultsTest, EachTypeTakesItsValuesAndNoOthers) {
  const std::vector<std::pair<CatalogType, std::string>> samples = {{CatalogType::kText, R"("x")"},
                                                                    {CatalogType::kInt64, "7"},
                                                                    {CatalogType::kBoolean, "true"},
                                                                    {CatalogType::kObject, "{}"},
                                                                    {CatalogType::kList, "[]"}};
  for (const auto& [type, own] : samples) {
    const Catalog catalog = WithKey({.type = type});
    for (const auto& [other, value] : samples) {
      EXPECT_EQ(Faults(catalog, "e", "c", "{\"k\":" + value + "}").empty(), other == type)
          << static_cast<int>(type) << " given " << value;
    }
    EXPECT_THAT(Faults(WithKey({.type = CatalogType::kAny}), "e", "c", "{\"k\":" + own + "}"),
                IsEmpty());
  }
  EXPECT_THAT(Faults(WithKey({.type = CatalogType::kAny}), "e", "c", R"({"k":null})"), IsEmpty());
}

TEST(CatalogFaultsTest, NumbersHaveTheirRanges) {
  struct Case {
    CatalogType type;
    std::vector<std::string> good;
    std::vector<std::string> bad;
  };
  const std::vector<Case> cases = {
      {CatalogType::kNumber, {"7", "-0.5", "1e400", "123456789012345678901"}, {R"("7")", "null"}},
      {CatalogType::kInt64,
       {"7", "-9223372036854775808", "18446744073709551615", "7.0", "-7.0", "1e3", "-0.0",
        "9007199254740992.0"},
       {"7.5", "1e-3", "1e17", "18446744073709551616", "-9223372036854775809", "1e400", R"("7")"}},
      {CatalogType::kUint64, {"0", "18446744073709551615", "1.0"}, {"-1", "0.5", "-1.0"}},
      {CatalogType::kInt32,
       {"-2147483648", "2147483647", "1.0", "-2147483648.0", "2147483647.0"},
       {"2147483648", "-2147483649", "1.5", "2147483648.0", "-2147483649.0"}},
      {CatalogType::kUint32,
       {"0", "4294967295", "4.294967295e9"},
       {"4294967296", "-1", "4294967296.0", "-1.0"}}};
  for (const Case& one : cases) {
    const Catalog catalog = WithKey({.type = one.type});
    for (const std::string& good : one.good) {
      EXPECT_THAT(Faults(catalog, "e", "c", "{\"k\":" + good + "}"), IsEmpty()) << good;
    }
    for (const std::string& bad : one.bad) {
      EXPECT_THAT(Faults(catalog, "e", "c", "{\"k\":" + bad + "}"), SizeIs(1)) << bad;
    }
  }
  EXPECT_THAT(Faults(WithKey({.type = CatalogType::kInt64}), "e", "c", R"({"k":7.5})"),
              ElementsAre(EndsWith("data.k: expected a whole number, found a number with a "
                                   "fraction, or of more than 64 bits")));
}

TEST(CatalogFaultsTest, AFaultDeepInsideIsNamedByItsPath) {
  const CatalogKey point{.type = CatalogType::kObject,
                         .keys = {{.name = "x", .type = CatalogType::kNumber}}};
  const Catalog lists = WithKey({.type = CatalogType::kList, .keys = {point}});
  EXPECT_THAT(Faults(lists, "e", "c", R"({"k":[{"x":1},{"x":2,"more":0}]})"), IsEmpty());
  EXPECT_THAT(Faults(lists, "e", "c", R"({"k":[{"x":1},{"x":"2"},3]})"),
              ElementsAre(EndsWith("data.k[1].x: expected a number, found a text"),
                          EndsWith("data.k[2]: expected an object, found a whole number")));
  const Catalog maps = WithKey({.type = CatalogType::kMap, .keys = {point}});
  EXPECT_THAT(Faults(maps, "e", "c", R"({"k":{"a":{"x":1},"b c":{}}})"),
              ElementsAre(EndsWith(R"(data.k["b c"].x: expected a number, found nothing)")));
}

TEST(CatalogFaultsTest, AClosedEventTakesNoOtherKeys) {
  const Catalog catalog(
      {{.name = "e", .closed = true, .keys = {{.name = "a", .type = CatalogType::kText}}}},
      Catalog::Check::kEnforce);
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"a":"1"})"), IsEmpty());
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"a":"1","b":[]})"),
              ElementsAre(EndsWith("data.b: expected no such key, found a list")));
}

TEST(CatalogFaultsTest, ATextMayHaveFewValuesAndTheOtherOneIsNotRepeated) {
  const Catalog catalog = WithKey({.type = CatalogType::kText, .values = {"LOW", "HIGH"}});
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k":"HIGH"})"), IsEmpty());
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k":"secret"})"),
              ElementsAre(EndsWith("data.k: expected one of LOW, HIGH, found another text")));
}

TEST(CatalogFaultsTest, EachOfTheKeysWithOneNameMustBeRight) {
  const Catalog catalog = WithKey({.type = CatalogType::kInt64});
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k":1,"k":2})"), IsEmpty());
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k":1,"k":"x"})"), SizeIs(1));
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k":"x","k":1})"), SizeIs(1));
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k":1,"k":"x","k":2,"k":null})"), SizeIs(2));
}

TEST(CatalogFaultsTest, KeysMayComeInAnyOrderAndBeMany) {
  std::vector<CatalogKey> keys;
  std::string json = "{\"other\":0";
  for (int i = 0; i < 200; ++i) {
    keys.push_back({.name = absl::StrCat("k", i), .type = CatalogType::kInt64});
  }
  for (int i = 199; i >= 0; --i) absl::StrAppend(&json, ",\"k", i, "\":", i);
  const Catalog catalog({{.name = "e", .keys = keys}}, Catalog::Check::kEnforce);
  EXPECT_THAT(Faults(catalog, "e", "c", json + "}"), IsEmpty());
  EXPECT_THAT(Faults(catalog, "e", "c", R"({"k7":1})"), SizeIs(kMaxCatalogFaults));
}

TEST(CatalogFaultsTest, AnEventMayHaveOneOfItsForms) {
  const Catalog catalog = BuiltInCatalogOf("mahavishnu");
  const std::string adapter =
      R"({"adapter_id":"a","adapter_name":"n","old_status":"x","new_status":"y","details":{},)"
      R"("timestamp":"t"})";
  const std::string health =
      R"({"adapter":"a","is_healthy":true,"status":"ok","consecutive_failures":0,"details":{},)"
      R"("timestamp":"t"})";
  EXPECT_THAT(Faults(catalog, "adapter.health_changed", "adapters", adapter), IsEmpty());
  EXPECT_THAT(Faults(catalog, "adapter.health_changed", "global", health), IsEmpty());
  // The channel decides which form is meant.
  EXPECT_THAT(
      Faults(catalog, "adapter.health_changed", "global", R"({"adapter":"a",)" + adapter.substr(1)),
      Contains(HasSubstr("data.is_healthy: expected true or false, found nothing")));
  EXPECT_THAT(Faults(catalog, "adapter.health_changed", "elsewhere", health),
              ElementsAre(HasSubstr("belongs on global, not on")));
}

}  // namespace
}  // namespace fanwire::control
