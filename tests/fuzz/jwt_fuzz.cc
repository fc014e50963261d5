// Tokens: any text is taken apart or refused, and none that was not signed with the key passes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fanwire;
  const absl::string_view token(reinterpret_cast<const char*>(bytes), size);
  static const JwtVerifier verifier({{"", "a secret that the corpus does not know"}}, "service");
  (void)DecodeJwt(token);
  if (verifier.Verify(token, absl::FromUnixSeconds(1'770'000'000)).ok()) abort();
  return 0;
}
