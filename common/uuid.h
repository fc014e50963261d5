// Makes random identifiers.  They are not random enough for secrets.
//
// Threading: safe from every thread; each thread has its own generator, seeded by getrandom(2).
// Cost:      about 30 ns.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// A random UUID (RFC 4122 version 4): 36 characters, lower case.
std::string NewUuid();
// Appends a new UUID to `out`.
void AppendUuid(std::string* out);

// Whether `text` has the form of a UUID of version 4, in either case.
bool IsUuid4(absl::string_view text);

using UuidBytes = std::array<uint8_t, 16>;
// Reads a UUID of any version into its bytes.  Returns false if `text` is not the 36 characters,
// in lower case, that AppendUuidOf() makes of them.
bool UuidToBytes(absl::string_view text, UuidBytes* bytes);
// Appends the text of these bytes to `out`.
void AppendUuidOf(const UuidBytes& bytes, std::string* out);

uint64_t Random64();

// Returns 16 random hexadecimal digits.
std::string RandomHex64();

}  // namespace fanwire
