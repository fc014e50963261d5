// The built-in catalog stays compatible with its last release: publishers and subscribers that were
// made with that one go on working.
//
// catalog_release.txt has what was released, a fact a line.  Facts may be added, none may be lost.
// With a release, write it anew:
//   FANWIRE_CATALOG_RELEASE=write build/debug/bin/proto_test --gtest_filter='CatalogCompat*'
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/catalog_descriptors.h"

namespace fanwire {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr char kFile[] = FANWIRE_SOURCE_DIR "/tests/proto/catalog_release.txt";

using Facts = std::set<std::string>;

// A field's facts.  Whether it must be there is one of its own: it may become optional.
void AddField(const FieldDescriptor& field, Facts* facts) {
  const CatalogFieldRules rules = RulesOf(field);
  const std::string name =
      absl::StrCat(field.containing_type()->full_name(), " ", field.number(), " ", field.name());
  std::string type = field.type_name();
  if (field.message_type() != nullptr) type = field.message_type()->full_name();
  if (field.enum_type() != nullptr) type = field.enum_type()->full_name();
  facts->insert(absl::StrCat("field ", name, ": ", field.is_repeated() ? "list of " : "", type,
                             ", key ", rules.key, rules.spread ? ", spread" : "",
                             rules.routing_only ? ", routing only" : ""));
  if (rules.optional || rules.spread || rules.routing_only) {
    facts->insert(absl::StrCat("optional ", name));
  }
}

void AddMessage(const Descriptor& message, Facts* facts) {
  if (!facts->insert(absl::StrCat("message ", message.full_name())).second) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    AddField(field, facts);
    if (field.message_type() != nullptr &&
        field.message_type()->file()->package() != "google.protobuf") {
      AddMessage(*field.message_type(), facts);
    }
  }
}

Facts FactsOf(const CatalogDescriptors& catalog) {
  Facts facts;
  for (const CatalogEvent& event : catalog.events()) {
    const std::string name = absl::StrCat(event.service, " ", event.name, " ", event.message);
    facts.insert(absl::StrCat("event ", name));
    for (const std::string& channel : event.channels) {
      facts.insert(absl::StrCat("channel ", name, ": ", channel));
    }
    if (!event.channels.empty()) {
      facts.insert(absl::StrCat("first channel ", name, ": ", event.channels[0]));
    }
    if (!event.closed) facts.insert(absl::StrCat("further keys ", name));
    AddMessage(*catalog.Prototype(event.message)->GetDescriptor(), &facts);
  }
  return facts;
}

Facts Released() {
  Facts facts;
  std::ifstream file(kFile);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') facts.insert(line);
  }
  return facts;
}

// Ways in which `now` breaks what relies on `before`.
Facts Breaches(const Facts& before, const Facts& now) {
  Facts breaches;
  for (const std::string& fact : before) {
    if (!now.contains(fact)) breaches.insert(absl::StrCat("lost: ", fact));
  }
  // Earlier publishers do not send a field that is new.
  for (const std::string& fact : now) {
    if (!absl::StartsWith(fact, "field ") || before.contains(fact)) continue;
    const std::string name = fact.substr(6, fact.find(": ") - 6);
    const std::string message = name.substr(0, name.find(' '));
    if (before.contains(absl::StrCat("message ", message)) &&
        !now.contains(absl::StrCat("optional ", name))) {
      breaches.insert(absl::StrCat("new and not optional: ", name));
    }
  }
  return breaches;
}

TEST(CatalogCompatibilityTest, NothingThatWasReleasedIsLost) {
  const Facts now = FactsOf(*CatalogDescriptors::BuiltIn());
  if (std::getenv("FANWIRE_CATALOG_RELEASE") != nullptr) {
    std::ofstream file(kFile);
    file << "# The built-in catalog as it was released: see catalog_compatibility_test.cc.\n";
    for (const std::string& fact : now) file << fact << "\n";
  }
  const Facts released = Released();
  EXPECT_GT(released.size(), 500u);
  EXPECT_THAT(Breaches(released, now), testing::IsEmpty());
}

TEST(CatalogCompatibilityTest, EachBreachIsFound) {
  const Facts before = {"message m.M", "field m.M 1 a: string, key a", "event s e m.M",
                        "channel s e m.M: c"};
  EXPECT_THAT(Breaches(before, before), testing::IsEmpty());
  Facts now = before;
  now.insert("field m.M 2 b: string, key b");
  EXPECT_THAT(Breaches(before, now), testing::ElementsAre("new and not optional: m.M 2 b"));
  now.insert("optional m.M 2 b");
  EXPECT_THAT(Breaches(before, now), testing::IsEmpty());
  now = before;
  now.erase("field m.M 1 a: string, key a");
  now.insert("field m.M 1 a: int64, key a");
  now.insert("optional m.M 1 a");
  EXPECT_THAT(Breaches(before, now), testing::ElementsAre("lost: field m.M 1 a: string, key a"));
  now = before;
  now.erase("channel s e m.M: c");
  EXPECT_THAT(Breaches(before, now), testing::ElementsAre("lost: channel s e m.M: c"));
}

}  // namespace
}  // namespace fanwire
