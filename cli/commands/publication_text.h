// Formats one publication as a line for people: time, channel, event, offset, data.
#pragma once

#include <string>

#include "cli/model.h"
#include "cli/output.h"

namespace fanwire::cli {

// In format table the line is cut to the terminal's width; in format plain it is tab-separated and
// complete.
std::string PublicationText(const Publication& publication, const Output& out);

}  // namespace fanwire::cli
