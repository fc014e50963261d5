#include "control/events/catalog_check.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Catalog MakeCatalog() {
  return Catalog({{.name = "workflow.started",
                   .channels = {"workflow:{workflow_id}", "global"},
                   .data = {{"workflow_id", "s"}, {"steps", "i?"}, {"any", "a?"}}},
                  {.name = "anywhere", .channels = {}, .data = {}}},
                 Catalog::Check::kWarn);
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
  EXPECT_THAT(Faults(MakeCatalog(), "workflow.started", "pool:1", R"({"steps":"three"})"),
              UnorderedElementsAre(
                  R"(event "workflow.started" belongs on workflow:{workflow_id} or global, not on )"
                  R"("pool:1")",
                  "data.workflow_id is missing", "data.steps is not a whole number"));
}

TEST(CatalogFaultsTest, AnUnknownEventIsAFault) {
  EXPECT_THAT(Faults(MakeCatalog(), "workflow.begun", "workflow:1", "{}"),
              ElementsAre(HasSubstr("\"workflow.begun\" is not in the catalog")));
}

TEST(CatalogFaultsTest, ARequiredFieldMayNotBeNull) {
  EXPECT_THAT(Faults(MakeCatalog(), "workflow.started", "global", R"({"workflow_id":null})"),
              ElementsAre("data.workflow_id is not a text"));
}

TEST(CatalogFaultsTest, EachTypeTakesItsValuesAndNoOthers) {
  const std::vector<std::pair<std::string, std::string>> samples = {
      {"s", R"("x")"}, {"i", "7"}, {"b", "true"}, {"o", "{}"}, {"l", "[]"}};
  for (const auto& [type, own] : samples) {
    const Catalog catalog({{.name = "e", .channels = {}, .data = {{"k", type}}}},
                          Catalog::Check::kEnforce);
    for (const auto& [other, value] : samples) {
      EXPECT_EQ(Faults(catalog, "e", "c", "{\"k\":" + value + "}").empty(), other == type)
          << type << " given " << value;
    }
  }
  const Catalog number({{.name = "e", .channels = {}, .data = {{"k", "n"}}}},
                       Catalog::Check::kEnforce);
  EXPECT_THAT(Faults(number, "e", "c", R"({"k":7})"), IsEmpty());
  EXPECT_THAT(Faults(number, "e", "c", R"({"k":0.5})"), IsEmpty());
  EXPECT_THAT(Faults(number, "e", "c", R"({"k":"7"})"), ElementsAre("data.k is not a number"));
  const Catalog whole({{.name = "e", .channels = {}, .data = {{"k", "i"}}}},
                      Catalog::Check::kEnforce);
  EXPECT_THAT(Faults(whole, "e", "c", R"({"k":7.0})"), ElementsAre("data.k is not a whole number"));
}

}  // namespace
}  // namespace fanwire::control
