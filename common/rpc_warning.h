// A call may succeed and still have something to warn of, such as a sum that lacks a worker's part.
// The warning travels as trailing metadata, and wsctl prints it on stderr.
//
// Threading: constants.
#pragma once

namespace fanwire {

// The key of the metadata.  The value is one line of printable ASCII.
inline constexpr char kRpcWarning[] = "fanwire-warning";

}  // namespace fanwire
