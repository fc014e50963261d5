// How far two names are apart, to suggest the one that was meant: "did you mean …?".
//
// Threading: pure functions.
// Cost:      EditDistance() takes a.size() * b.size() steps.  NearestName() skips every candidate
//            whose length alone rules it out, so that a very long name costs nothing.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire {

// Levenshtein distance: how many bytes must be inserted, removed or replaced to turn `a` into `b`.
size_t EditDistance(absl::string_view a, absl::string_view b);

// The candidate nearest to `given`, and of several equally near ones the first.  Returns an empty
// text if every candidate is further away than `max_distance`.
std::string NearestName(absl::string_view given, const std::vector<std::string>& candidates,
                        size_t max_distance);

}  // namespace fanwire
