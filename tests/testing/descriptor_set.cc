#include "tests/testing/descriptor_set.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace fanwire {

std::string DescriptorSetOf(absl::string_view text) {
  std::string folder = testing::TempDir() + "descriptors-XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  std::ofstream(folder + "/test.proto") << "syntax = \"proto3\"; package test;\n"
                                        << "import \"fanwire/catalog/v1/options.proto\";\n"
                                        << "import \"google/protobuf/struct.proto\";\n"
                                        << "import \"google/protobuf/timestamp.proto\";\n"
                                        << text;
  const std::string command = absl::StrCat(
      FANWIRE_PROTOC " -I ", folder, " -I " FANWIRE_SOURCE_DIR "/proto --include_imports ",
      "--descriptor_set_out=", folder, "/set test.proto 2>&1 | grep -v 'is unused'");
  std::system(command.c_str());
  std::ifstream set(folder + "/set", std::ios::binary);
  EXPECT_TRUE(set.is_open()) << text;
  std::string bytes{std::istreambuf_iterator<char>(set), {}};
  std::filesystem::remove_all(folder);
  return bytes;
}

}  // namespace fanwire
