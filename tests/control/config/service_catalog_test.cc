#include "control/config/service_catalog.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/catalog_fixture.h"
#include "tests/testing/descriptor_set.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kOrders[] = R"(
message OrderPlaced {
  option (fanwire.catalog.v1.event) = { name: "order.placed" channels: "order:{order_id}" };
  string order_id = 1;
  int64 total_cents = 2;
})";

class ServiceCatalogTest : public ::testing::Test {
 protected:
  ServiceCatalogTest() {
    folder_ = testing::TempDir() + "catalog-XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~ServiceCatalogTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(absl::StrCat(folder_, "/", name), std::ios::binary) << bytes;
  }
  // The configuration of one service with these lines, which lies in the folder.
  LoadedConfig Load(const std::string& service, const std::string& lines = "") const {
    return LoadConfig(absl::StrCat("services:\n- name: ", service, "\n  port: 1\n", lines),
                      folder_ + "/fanwire.yaml", {});
  }
  static Catalog CatalogIn(const LoadedConfig& loaded) {
    return MakeCatalog(loaded.config->services(0), *loaded.catalog_files);
  }

  std::string folder_;
};

TEST_F(ServiceCatalogTest, KeysAreRepeatedOnlyOfAnObjectOfAMessage) {
  Write("orders.binpb", DescriptorSetOf(absl::StrCat(kOrders, R"(
message OrderClosed {
  option (fanwire.catalog.v1.event) = { name: "order.closed" channels: "orders" closed: true };
  OrderPlaced order = 1;
  repeated OrderPlaced others = 2;
})")));
  const std::string file = "  catalog: mahavishnu\n  catalog_files: [orders.binpb]\n";
  const auto faults = [&](const std::string& event, const std::string& field) {
    return Load("shop", absl::StrCat(file, "  repeat_keys:\n  - {event: ", event,
                                     ", field: ", field, "}\n"))
        .errors;
  };
  EXPECT_THAT(faults("pool.status_changed", "status"), IsEmpty());
  EXPECT_THAT(
      faults("pool.status_changed", "pool_id"),
      ElementsAre(AllOf(HasSubstr("repeat_keys[0]"), HasSubstr("has no object \"pool_id\""))));
  EXPECT_THAT(faults("pool.status_changed", "none"), ElementsAre(HasSubstr("has no object")));
  EXPECT_THAT(faults("order.closed", "order"), ElementsAre(HasSubstr("is closed")));
  EXPECT_THAT(faults("order.closed", "others"), ElementsAre(HasSubstr("has no object")));
  EXPECT_THAT(faults("order.lost", "order"),
              ElementsAre(HasSubstr("no message for event \"order.lost\"")));
}

TEST_F(ServiceCatalogTest, AServiceHasTheBuiltInCatalogOfItsNameUnlessItSaysOtherwise) {
  LoadedConfig loaded = Load("akosha");
  EXPECT_THAT(loaded.errors, IsEmpty());
  EXPECT_THAT(loaded.warnings, IsEmpty());
  EXPECT_EQ(loaded.config->services(0).catalog(), "akosha");
  EXPECT_THAT(CatalogIn(loaded).Find("pattern.detected"), SizeIs(1));
  EXPECT_THAT(CatalogIn(Load("akosha", "  catalog: none\n")).events(), IsEmpty());
  loaded = Load("other");
  EXPECT_EQ(loaded.config->services(0).catalog(), "none");
  EXPECT_THAT(CatalogIn(loaded).events(), IsEmpty());
  loaded = Load("other", "  catalog: crackerjack\n");
  EXPECT_THAT(loaded.errors, IsEmpty());
  const Catalog catalog = CatalogIn(loaded);
  ASSERT_THAT(catalog.Find("test.started"), SizeIs(1));
  EXPECT_EQ(catalog.Find("test.started")[0].event->service, "other");
}

TEST_F(ServiceCatalogTest, AnUnknownCatalogIsAFaultThatNamesTheKnownOnes) {
  EXPECT_THAT(Load("a", "  catalog: akoscha\n").errors,
              ElementsAre(testing::AllOf(
                  HasSubstr("fanwire.yaml:4:3: services[0].catalog: expected akosha, "),
                  HasSubstr("session-buddy or none, found \"akoscha\""))));
}

TEST_F(ServiceCatalogTest, FilesLieInTheConfigurationsFolderAndAddTheirEvents) {
  Write("orders.binpb", DescriptorSetOf(kOrders));
  for (const std::string& path : {std::string("orders.binpb"), folder_ + "/orders.binpb"}) {
    const LoadedConfig loaded = Load("akosha", absl::StrCat("  catalog_files: [", path, "]\n"));
    EXPECT_THAT(loaded.errors, IsEmpty());
    EXPECT_THAT(loaded.warnings, IsEmpty());
    const Catalog catalog = CatalogIn(loaded);
    EXPECT_THAT(catalog.Find("pattern.detected"), SizeIs(1));
    ASSERT_THAT(catalog.Find("order.placed"), SizeIs(1));
    EXPECT_EQ(catalog.Find("order.placed")[0].event->service, "akosha");
    ASSERT_NE(catalog.FindMessage("test.OrderPlaced"), nullptr);
    EXPECT_NE(catalog.FindMessage("fanwire.catalog.v1.akosha.PatternDetected"), nullptr);
    EXPECT_EQ(catalog.FindMessage("fanwire.catalog.v1.mahavishnu.PoolClosed"), nullptr);
  }
}

TEST_F(ServiceCatalogTest, AFileThatIsNoCatalogIsAFaultAtItsPlace) {
  Write("text.binpb", "services: []");
  Write("other.binpb", DescriptorSetOf("message M { option (fanwire.catalog.v1.event) = "
                                       "{ name: \"e\" service: \"elsewhere\" }; }"));
  const LoadedConfig loaded =
      Load("a", "  catalog_files: [missing.binpb, text.binpb, other.binpb, .]\n");
  EXPECT_THAT(
      loaded.errors,
      ElementsAre(
          HasSubstr("4:19: services[0].catalog_files[0]: \"missing.binpb\": cannot read the file: "
                    "No such file or directory"),
          HasSubstr("catalog_files[1]: \"text.binpb\": not a set of descriptors"),
          HasSubstr("catalog_files[2]: \"other.binpb\": no message in it describes an event of "
                    "service \"a\""),
          HasSubstr("catalog_files[3]: \".\": not a file")));
}

TEST_F(ServiceCatalogTest, EventsOfTheConfigurationReplaceOthersWithOneWarning) {
  const LoadedConfig loaded =
      Load("mahavishnu",
           "  events:\n"
           "  - {name: adapter.health_changed, channels: [x], data: {a: s, b: 'n?'}}\n"
           "  - {name: pool.closed}\n"
           "  - {name: my.own}\n");
  EXPECT_THAT(loaded.errors, IsEmpty());
  EXPECT_THAT(loaded.warnings,
              ElementsAre(testing::AllOf(HasSubstr("services[0].events: service \"mahavishnu\""),
                                         HasSubstr("2 events"),
                                         HasSubstr("adapter.health_changed, pool.closed"))));
  const Catalog catalog = CatalogIn(loaded);
  ASSERT_THAT(catalog.Find("adapter.health_changed"), SizeIs(1));
  EXPECT_THAT(catalog.Find("adapter.health_changed")[0].event->channels, ElementsAre("x"));
  EXPECT_THAT(catalog.Find("my.own"), SizeIs(1));
  EXPECT_THAT(catalog.Find("pool.scaled"), SizeIs(1));
  // Typed events can still be made of the messages.
  EXPECT_NE(catalog.FindMessage("fanwire.catalog.v1.mahavishnu.PoolClosed"), nullptr);
}

TEST_F(ServiceCatalogTest, TheEventsOfAFileGoBeforeTheBuiltInOnes) {
  Write("own.binpb", DescriptorSetOf("message Closed { option (fanwire.catalog.v1.event) = "
                                     "{ name: \"pool.closed\" channels: \"x\" }; }"));
  const Catalog catalog = CatalogIn(Load("mahavishnu", "  catalog_files: [own.binpb]\n"));
  ASSERT_THAT(catalog.Find("pool.closed"), SizeIs(1));
  EXPECT_THAT(catalog.Find("pool.closed")[0].event->channels, ElementsAre("x"));
}

TEST_F(ServiceCatalogTest, FilesAreComparedByTheirContents) {
  Write("orders.binpb", DescriptorSetOf(kOrders));
  const std::string lines = "  catalog_files: [orders.binpb]\n";
  const LoadedConfig first = Load("a", lines), second = Load("a", lines);
  const v1::ServiceConfig& service = first.config->services(0);
  EXPECT_TRUE(CatalogFiles::Same(service, *first.catalog_files, *second.catalog_files));
  Write("orders.binpb", DescriptorSetOf(absl::StrCat(kOrders, "message More {}")));
  const LoadedConfig third = Load("a", lines);
  EXPECT_FALSE(CatalogFiles::Same(service, *first.catalog_files, *third.catalog_files));
  EXPECT_FALSE(CatalogFiles::Same(service, *first.catalog_files, {}));
  const auto both = CatalogFiles::Union(*first.catalog_files, *third.catalog_files);
  EXPECT_TRUE(CatalogFiles::Same(service, *first.catalog_files, *both));
}

}  // namespace
}  // namespace fanwire::control
