#include "common/json_number.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace fanwire {

namespace {

// A shorter number without an exponent is within the doubles, the largest of which is 1.8e308.
constexpr size_t kDigitsBeyondDoubles = 309;

bool IsNumberCharacter(char c) {
  return absl::ascii_isdigit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

}  // namespace

bool IsBeyondDoubles(absl::string_view number) {
  if (number.size() < kDigitsBeyondDoubles && number.find_first_of("eE") == number.npos) {
    return false;
  }
  const auto digits = [&] {
    const size_t before = number.size();
    while (!number.empty() && absl::ascii_isdigit(number[0])) number.remove_prefix(1);
    return before - number.size();
  };
  double value = 0;
  if (!absl::SimpleAtod(number, &value) || std::isfinite(value)) return false;
  absl::ConsumePrefix(&number, "-");
  const bool zero = absl::StartsWith(number, "0");
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (absl::ConsumePrefix(&number, ".") && digits() == 0) return false;
  if (absl::ConsumePrefix(&number, "e") || absl::ConsumePrefix(&number, "E")) {
    if (!absl::ConsumePrefix(&number, "+")) absl::ConsumePrefix(&number, "-");
    if (digits() == 0) return false;
  }
  return number.empty();
}

std::string ReplaceJsonNumbers(
    absl::string_view json, absl::FunctionRef<std::string(absl::string_view number)> replacement) {
  std::string out;
  out.reserve(json.size() + 64);
  size_t copied = 0;
  for (size_t i = 0; i < json.size();) {
    if (json[i] == '"') {
      for (++i; i < json.size() && json[i] != '"'; ++i) {
        if (json[i] == '\\') ++i;
      }
      ++i;
    } else if (IsNumberCharacter(json[i])) {
      const size_t begin = i;
      while (i < json.size() && IsNumberCharacter(json[i])) ++i;
      const std::string replaced = replacement(json.substr(begin, i - begin));
      if (replaced.empty()) continue;
      absl::StrAppend(&out, json.substr(copied, begin - copied), replaced);
      copied = i;
    } else {
      ++i;
    }
  }
  absl::StrAppend(&out, json.substr(copied));
  return out;
}

}  // namespace fanwire
