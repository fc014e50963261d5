// Random identifiers.
//
// Threading: safe from every thread; each has a generator of its own, seeded by getrandom(2).
// Cost:      some 30 ns.  Not for secrets.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// A random UUID (RFC 4122 version 4): 36 characters, lower case.
std::string NewUuid();
// Appends one.
void AppendUuid(std::string* out);

// Whether `text` has the form of a UUID of version 4, in either case.
bool IsUuid4(absl::string_view text);

uint64_t Random64();

// 16 hexadecimal digits.
std::string RandomHex64();

}  // namespace fanwire
