// FANWIRE_CHECK aborts if a condition that must hold does not.  It never checks input or network.
//
// Cost: one predictable branch.
#pragma once

#include <string>

namespace fanwire::internal {

// Writes "CHECK failed at file:line: condition message" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& message);

}  // namespace fanwire::internal

// FANWIRE_CHECK(condition) or FANWIRE_CHECK(condition, "message").
#define FANWIRE_CHECK(condition, ...)                                  \
  do {                                                                 \
    if (!(condition)) [[unlikely]] {                                   \
      ::fanwire::internal::CheckFailed(__FILE__, __LINE__, #condition, \
                                       ::std::string(__VA_ARGS__));    \
    }                                                                  \
  } while (false)
