#include "proto/interest_hash.h"

#include "absl/strings/str_cat.h"

namespace fanwire {

namespace {

void Mix(absl::string_view text, uint64_t* hash) {
  for (const char c : text) {
    *hash ^= static_cast<unsigned char>(c);
    *hash *= 0x100000001b3;
  }
}

}  // namespace

uint64_t InterestHash(absl::string_view service, Dialect dialect, absl::string_view channel) {
  const absl::string_view zero("\0", 1);
  uint64_t hash = 0xcbf29ce484222325;
  Mix(service, &hash);
  Mix(zero, &hash);
  Mix(absl::StrCat(static_cast<int>(dialect)), &hash);
  Mix(zero, &hash);
  Mix(channel, &hash);
  return hash;
}

}  // namespace fanwire
