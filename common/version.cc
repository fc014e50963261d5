#include "common/version.h"

namespace fanwire {

const absl::string_view kVersion = FANWIRE_VERSION;

std::string BuildInfo() {
#ifdef __clang__
  return "clang " __clang_version__ ", " FANWIRE_BUILD_TYPE;
#else
  return "g++ " __VERSION__ ", " FANWIRE_BUILD_TYPE;
#endif
}

}  // namespace fanwire
