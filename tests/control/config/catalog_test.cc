#include "control/config/catalog.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

TEST(CatalogTest, FindsTheFormsOfAnEventByItsName) {
  const Catalog catalog({{.name = "two", .channels = {"a"}},
                         {.name = "one", .channels = {"b:{id}", "c"}, .keys = {{.name = "id"}}},
                         {.name = "two", .channels = {"d"}}},
                        Catalog::Check::kWarn);
  EXPECT_EQ(catalog.check(), Catalog::Check::kWarn);
  EXPECT_THAT(catalog.events(), SizeIs(3));
  ASSERT_THAT(catalog.Find("one"), SizeIs(1));
  EXPECT_THAT(catalog.Find("one")[0].event->channels, ElementsAre("b:{id}", "c"));
  EXPECT_EQ(catalog.object(catalog.Find("one")[0].object).count, 1u);
  ASSERT_THAT(catalog.Find("two"), SizeIs(2));
  EXPECT_THAT(catalog.Find("two")[0].event->channels, ElementsAre("a"));
  EXPECT_THAT(catalog.Find("two")[1].event->channels, ElementsAre("d"));
  EXPECT_THAT(catalog.Find("three"), IsEmpty());
  EXPECT_THAT(Catalog().Find("one"), IsEmpty());
}

TEST(CatalogTest, TheKeysOfAnObjectStandBesideOneAnother) {
  const std::vector<CatalogKey> inner = {{.name = "x", .type = CatalogType::kNumber},
                                         {.name = "y", .type = CatalogType::kNumber}};
  const std::vector<CatalogKey> keys = {
      {.name = "point", .type = CatalogType::kObject, .keys = inner},
      {.name = "points",
       .type = CatalogType::kList,
       .keys = {{.type = CatalogType::kObject, .keys = inner}}},
      {.name = "last", .type = CatalogType::kText}};
  const Catalog catalog({{.name = "e", .keys = keys}}, Catalog::Check::kOff);
  const Catalog::Object& data = catalog.object(catalog.Find("e")[0].object);
  ASSERT_EQ(data.count, 3u);
  EXPECT_EQ(catalog.key(data.first + 2).name, "last");
  const Catalog::Key& point = catalog.key(data.first);
  ASSERT_EQ(catalog.object(point.object).count, 2u);
  EXPECT_EQ(catalog.key(catalog.object(point.object).first + 1).name, "y");
  const Catalog::Key& element = catalog.key(catalog.key(data.first + 1).element);
  EXPECT_EQ(element.type, CatalogType::kObject);
  EXPECT_EQ(catalog.key(catalog.object(element.object).first).name, "x");
}

}  // namespace
}  // namespace fanwire::control
