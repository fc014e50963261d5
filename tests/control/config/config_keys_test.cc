#include "control/config/config_keys.h"

#include <google/protobuf/descriptor.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/channel_name.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using google::protobuf::FieldDescriptor;

TEST(ConfigKeysTest, EverySingleKeyHasADefaultOrSaysThatItHasNone) {
  for (const KeyPlace& key : AllKeys()) {
    const v1::KeyOptions& options = KeyOf(key.field);
    const int said = !options.default_().empty() + !options.computed().empty() +
                     !options.same_as().empty() + !options.fallback().empty() + options.required() +
                     options.none();
    EXPECT_EQ(said, 1) << key.path;
  }
}

TEST(ConfigKeysTest, EveryNumberHasARangeAndAUnit) {
  for (const KeyPlace& key : AllKeys()) {
    if (!IsNumber(key.field)) continue;
    const FieldDescriptor* const ranged = RangeKeyOf(key.field);
    ASSERT_NE(ranged, nullptr) << key.path;
    EXPECT_EQ(ranged->cpp_type(), key.field->cpp_type()) << key.path;
    const v1::KeyOptions& options = KeyOf(ranged);
    EXPECT_NE(options.min(), "") << key.path;
    if (IsDuration(key.field)) continue;
    EXPECT_NE(options.max(), "") << key.path;
    EXPECT_NE(options.unit().empty(), !absl::EndsWith(key.field->name(), "_bytes")) << key.path;
  }
}

TEST(ConfigKeysTest, EveryNumberSaysWhatZeroMeansOrRefusesIt) {
  for (const KeyPlace& key : AllKeys()) {
    if (!IsNumber(key.field)) continue;
    const v1::KeyOptions& options = KeyOf(key.field);
    if (!options.same_as().empty()) continue;  // as there
    const bool admitted = options.min() == "0" || options.min() == "0s";
    EXPECT_NE(options.zero().empty(), admitted) << key.path;
  }
}

// The cells of docs/configuration.md, by "Message.key" and the head of the column.
std::map<std::string, std::map<std::string, std::string>> ManualCells() {
  std::map<std::string, std::map<std::string, std::string>> cells;
  std::ifstream file(FANWIRE_SOURCE_DIR "/docs/configuration.md");
  std::string line, section;
  std::vector<std::string> head;
  while (std::getline(file, line)) {
    if (absl::StartsWith(line, "### ")) section = line.substr(4);
    if (!absl::StartsWith(line, "| ")) continue;
    const std::vector<std::string> row = absl::StrSplit(line, absl::ByString(" | "));
    if (absl::StartsWith(line, "| key ")) head = row;
    const std::vector<std::string> name = absl::StrSplit(row[0], '`');
    if (name.size() != 3) continue;
    for (size_t i = 0; i < row.size() && i < head.size(); ++i) {
      cells[absl::StrCat(section, ".", name[1])][head[i]] = row[i];
    }
  }
  return cells;
}

TEST(ConfigKeysTest, TheManualSaysOfEveryKeyWhatItsOptionsSay) {
  const auto cells = ManualCells();
  for (const KeyPlace& key : AllKeys()) {
    const auto it =
        cells.find(absl::StrCat(key.field->containing_type()->name(), ".", key.field->name()));
    ASSERT_NE(it, cells.end()) << key.path;
    const auto cell = [&](const std::string& head) {
      const auto found = it->second.find(head);
      return found == it->second.end() ? std::string() : found->second;
    };
    EXPECT_NE(cell("default"), "") << key.path;
    if (IsNumber(key.field)) {
      EXPECT_NE(cell("0 means"), "") << key.path;
    }
    EXPECT_EQ(cell("needs a restart"), KeyOf(key.field).needs_restart() ? "yes" : "") << key.path;
    const std::string& low = KeyOf(RangeKeyOf(key.field)).min();
    if (low != "0s") {
      EXPECT_THAT(cell("range"), ::testing::HasSubstr(low)) << key.path;
    }
  }
}

TEST(ConfigKeysTest, TheLongestChannelNameIsTheGrammars) {
  EXPECT_EQ(KeyOf(FindKey("limits.max_channel_bytes")).max(), absl::StrCat(kMaxChannelNameBytes));
}

TEST(ConfigKeysTest, AKeyIsFoundByItsPath) {
  EXPECT_EQ(FindKey("workers"), v1::Config::descriptor()->FindFieldByName("workers"));
  EXPECT_EQ(FindKey("services[a].port"), v1::ServiceConfig::descriptor()->FindFieldByName("port"));
  EXPECT_EQ(FindKey("services[0].listeners[1].host"),
            v1::ListenerConfig::descriptor()->FindFieldByName("host"));
  for (const char* path : {"", "nothing", "limits.nothing", "workers.nothing", "limits."}) {
    EXPECT_EQ(FindKey(path), nullptr) << path;
  }
}

}  // namespace
}  // namespace fanwire::control
