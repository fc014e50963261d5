#include "control/config/catalog.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

TEST(CatalogTest, FindsAnEventByItsName) {
  const Catalog catalog = MakeCatalog();
  EXPECT_EQ(catalog.check(), Catalog::Check::kWarn);
  ASSERT_NE(catalog.Find("workflow.started"), nullptr);
  EXPECT_THAT(catalog.Find("workflow.started")->channels,
              ElementsAre("workflow:{workflow_id}", "global"));
  EXPECT_THAT(catalog.Find("workflow.started")->data, SizeIs(3));
  EXPECT_THAT(catalog.Find("anywhere")->channels, IsEmpty());
  EXPECT_EQ(catalog.Find("workflow.begun"), nullptr);
  EXPECT_EQ(Catalog().Find("anywhere"), nullptr);
}

}  // namespace
}  // namespace fanwire::control
