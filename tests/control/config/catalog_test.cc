#include "control/config/catalog.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

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

TEST(FitsTemplateTest, APartInTheMiddleStandsForOneSegmentAndOneAtTheEndForTheRest) {
  EXPECT_TRUE(FitsTemplate("global", "global"));
  EXPECT_FALSE(FitsTemplate("global", "globals"));
  EXPECT_TRUE(FitsTemplate("workflow:{id}", "workflow:wf_1"));
  EXPECT_TRUE(FitsTemplate("workflow:{id}", "workflow:a:b"));
  EXPECT_FALSE(FitsTemplate("workflow:{id}", "workflow:"));
  EXPECT_FALSE(FitsTemplate("workflow:{id}", "pool:1"));
  EXPECT_TRUE(FitsTemplate("a:{x}:b", "a:1:b"));
  EXPECT_FALSE(FitsTemplate("a:{x}:b", "a:1:2:b"));
  EXPECT_FALSE(FitsTemplate("a:{x}:b", "a::b"));
  EXPECT_FALSE(FitsTemplate("a:{x}:b", "a:1:c"));
  EXPECT_TRUE(FitsTemplate("a:{x}:{y}", "a:1:2:3"));
  EXPECT_FALSE(FitsTemplate("a:{x}:{y}", "a:1:"));
  EXPECT_TRUE(FitsTemplate("{any}", "x"));
  EXPECT_FALSE(FitsTemplate("{any}", ""));
  EXPECT_FALSE(FitsTemplate("a:{open", "a:1"));
}

TEST(CatalogTest, AnEventAsDescribedHasNoFaults) {
  const Catalog catalog = MakeCatalog();
  EXPECT_EQ(catalog.check(), Catalog::Check::kWarn);
  EXPECT_THAT(catalog.Faults("workflow.started", "workflow:1", R"({"workflow_id":"1","x":2})"),
              IsEmpty());
  EXPECT_THAT(
      catalog.Faults("workflow.started", "global", R"({"workflow_id":"1","steps":null,"any":[]})"),
      IsEmpty());
  EXPECT_THAT(catalog.Faults("anywhere", "x:y", "{}"), IsEmpty());
}

TEST(CatalogTest, NamesEveryFaultOfAnEvent) {
  EXPECT_THAT(MakeCatalog().Faults("workflow.started", "pool:1", R"({"steps":"three"})"),
              UnorderedElementsAre(
                  R"(event "workflow.started" belongs on workflow:{workflow_id} or global, not on )"
                  R"("pool:1")",
                  "data.workflow_id is missing", "data.steps is not a whole number"));
}

TEST(CatalogTest, AnUnknownEventIsAFault) {
  EXPECT_THAT(MakeCatalog().Faults("workflow.begun", "workflow:1", "{}"),
              ElementsAre(HasSubstr("\"workflow.begun\" is not in the catalog")));
}

TEST(CatalogTest, ARequiredFieldMayNotBeNull) {
  EXPECT_THAT(MakeCatalog().Faults("workflow.started", "global", R"({"workflow_id":null})"),
              ElementsAre("data.workflow_id is not a text"));
}

TEST(CatalogTest, EachTypeTakesItsValuesAndNoOthers) {
  const std::vector<std::pair<std::string, std::string>> samples = {
      {"s", R"("x")"}, {"i", "7"}, {"b", "true"}, {"o", "{}"}, {"l", "[]"}};
  for (const auto& [type, own] : samples) {
    const Catalog catalog({{.name = "e", .channels = {}, .data = {{"k", type}}}},
                          Catalog::Check::kEnforce);
    for (const auto& [other, value] : samples) {
      EXPECT_EQ(catalog.Faults("e", "c", "{\"k\":" + value + "}").empty(), other == type)
          << type << " given " << value;
    }
  }
  const Catalog number({{.name = "e", .channels = {}, .data = {{"k", "n"}}}},
                       Catalog::Check::kEnforce);
  EXPECT_THAT(number.Faults("e", "c", R"({"k":7})"), IsEmpty());
  EXPECT_THAT(number.Faults("e", "c", R"({"k":0.5})"), IsEmpty());
  EXPECT_THAT(number.Faults("e", "c", R"({"k":"7"})"), ElementsAre("data.k is not a number"));
  const Catalog whole({{.name = "e", .channels = {}, .data = {{"k", "i"}}}},
                      Catalog::Check::kEnforce);
  EXPECT_THAT(whole.Faults("e", "c", R"({"k":7.0})"), ElementsAre("data.k is not a whole number"));
}

TEST(CatalogTest, KnowsTheKindsOfItsChannels) {
  const Catalog catalog = MakeCatalog();
  EXPECT_TRUE(catalog.KnowsKind("workflow"));
  EXPECT_TRUE(catalog.KnowsKind("global"));
  EXPECT_FALSE(catalog.KnowsKind("pool"));
  EXPECT_FALSE(catalog.KnowsKind("workflow:1"));
}

}  // namespace
}  // namespace fanwire::control
