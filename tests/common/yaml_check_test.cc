#include "common/yaml_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Fault(const std::string& text) { return YamlFault(text, "f.yaml"); }

std::string Repeat(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(YamlCheckTest, ATreeIsGoodAndMayReuseItsParts) {
  EXPECT_EQ(Fault(""), "");
  EXPECT_EQ(Fault("# a comment alone\n"), "");
  EXPECT_EQ(Fault("---\na: 1\n...\n"), "");
  EXPECT_EQ(Fault("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n"), "");
  EXPECT_EQ(Fault("a: &x\nb: *x\n"), "");
  EXPECT_EQ(Fault("a: &x 1\nb: &x 2\nc: *x\n"), "");  // defined again
  EXPECT_EQ(Fault("a: \"<<\"\nb: <<\nc: [<<]\n\"<<\": 1\n"), "");
  EXPECT_EQ(Fault("\xef\xbb\xbf"
                  "a: caf\xc3\xa9\t\r\n"),
            "");
}

TEST(YamlCheckTest, AnAliasWithinItsOwnAnchorIsRefused) {
  for (const char* text : {"a: &x [*x]", "a: &x {b: *x}", "a: &x {b: {c: [1, *x]}}", "&x {a: *x}",
                           "&x [*x]", "a: &x {*x : 1}", "a: &x [&y [*x], *y]"}) {
    EXPECT_THAT(Fault(text), AllOf(StartsWith("f.yaml:1:"), HasSubstr("contains the alias itself")))
        << text;
  }
}

TEST(YamlCheckTest, WhatGrowsWhenAliasesAreReplacedIsRefused) {
  std::string laughs = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i) {
    absl::StrAppend(&laughs, "a", i, ": &a", i, " [*a", i - 1, ", *a", i - 1, "]\n");
  }
  EXPECT_THAT(Fault(laughs), AllOf(StartsWith("f.yaml:15:"), HasSubstr("100000 keys and values")));
  // One long text, many times.
  EXPECT_THAT(
      Fault(absl::StrCat("a: &a ", std::string(50'000, 'x'), "\nb: [", Repeat("*a,", 30), "]\n")),
      AllOf(StartsWith("f.yaml:2:"), HasSubstr("more than 1048576 bytes")));
  // A few levels each, which add up.
  EXPECT_THAT(Fault(absl::StrCat("a: &a ", Repeat("[", 30), Repeat("]", 30), "\nb: &b ",
                                 Repeat("[", 20), "*a", Repeat("]", 20), "\nc: ", Repeat("[", 20),
                                 "*b", Repeat("]", 20), "\n")),
              AllOf(StartsWith("f.yaml:3:"), HasSubstr("64 levels deep")));
}

TEST(YamlCheckTest, WhatIsTooDeepOrTooLargeIsRefused) {
  const auto nested = [](size_t levels) {
    return absl::StrCat("a: ", Repeat("[", levels), Repeat("]", levels), "\n");
  };
  EXPECT_EQ(Fault(nested(63)), "");
  EXPECT_THAT(Fault(nested(64)), HasSubstr("64 levels deep"));
  for (const std::string& text : {Repeat("[", 200'000), Repeat("{", 200'000), Repeat("- ", 200'000),
                                  Repeat("? ", 200'000), Repeat("{a: ", 100'000)}) {
    EXPECT_THAT(Fault(text), AllOf(StartsWith("f.yaml:1:"), HasSubstr("64 levels deep")))
        << text.substr(0, 4);
  }
  EXPECT_EQ(Fault(absl::StrCat("a: [", Repeat("1,", 90'000), "]\n")), "");
  EXPECT_THAT(Fault(absl::StrCat("a: [", Repeat("1,", 100'001), "]\n")),
              HasSubstr("100000 keys and values"));
  EXPECT_EQ(Fault(std::string(kMaxConfigBytes, '#')), "");
  EXPECT_EQ(Fault(std::string(kMaxConfigBytes + 1, '#')),
            "f.yaml: 1048577 bytes; a configuration may have at most 1048576");
}

TEST(YamlCheckTest, ASecondDocumentIsRefused) {
  for (const char* text : {"a: 1\n---\nb: 2\n", "a: 1\n...\nb: 2\n", "---\n---\na: 1\n",
                           "a: 1\n--- b\n", "[],\n", "a: 1\n...\n---\nb: 1\n"}) {
    EXPECT_THAT(Fault(text), HasSubstr("a second YAML document begins here")) << text;
  }
  EXPECT_THAT(Fault("a: 1\n---\nb: 2\n"), StartsWith("f.yaml:2:1: "));
  // yaml-cpp would read documents without end here.
  EXPECT_THAT(Fault(Repeat("[],", 1000)), HasSubstr("a second YAML document"));
}

TEST(YamlCheckTest, MergeKeysAreRefused) {
  EXPECT_THAT(Fault("x: &x {a: 1}\ny:\n  <<: *x\n  b: 2\n"),
              AllOf(StartsWith("f.yaml:3:3: "), HasSubstr("merge keys (<<) are not supported")));
  EXPECT_THAT(Fault("x: &x {a: 1}\ny: {b: [], <<: *x}\n"), HasSubstr("merge keys"));
}

TEST(YamlCheckTest, BytesThatAreNotUtf8OrControlAreNamedWithTheirPlace) {
  EXPECT_EQ(ConfigTextFault("a: b\nc: \"caf\xe9\"\n", "f.yaml"),
            "f.yaml:2:8: byte 0xE9 is not UTF-8; save the file in UTF-8");
  EXPECT_THAT(Fault("\xff\xfe"
                    "a"),
              StartsWith("f.yaml:1:1: byte 0xFF is not UTF-8"));
  EXPECT_THAT(Fault("a: \xed\xa0\x80\n"), StartsWith("f.yaml:1:4: byte 0xED"));
  EXPECT_THAT(Fault(std::string("a: \0b\n", 6)),
              StartsWith("f.yaml:1:4: control character U+0000"));
  EXPECT_THAT(Fault("a: b\n\x04\nc: d\n"), StartsWith("f.yaml:2:1: control character U+0004"));
  EXPECT_THAT(Fault("a: \x7f\xff\n"), StartsWith("f.yaml:1:4: control character U+007F"));
  EXPECT_EQ(ConfigTextFault("a:\tb\r\nc: \xe2\x82\xac\n", "f.yaml"), "");
}

TEST(YamlCheckTest, WhatIsNotYamlIsNamedWithItsPlace) {
  EXPECT_THAT(Fault("a: [1\n"), AllOf(StartsWith("f.yaml:"), HasSubstr("not valid YAML: ")));
  EXPECT_THAT(Fault("a: *none\n"), StartsWith("f.yaml:1:4: not valid YAML: "));
  EXPECT_THAT(Fault("a: \"\\ud800\"\n"), HasSubstr("invalid unicode"));
  EXPECT_THAT(Fault("x:\n  grpc_listen: [::1]:8701\n"),
              HasSubstr("put an IPv6 address in quotes: \"[::1]:8701\""));
}

}  // namespace
}  // namespace fanwire
