// One publication as a line for people: time, channel, event, offset, data.
#pragma once

#include <string>

#include "cli/model.h"
#include "cli/output.h"

namespace fanwire::cli {

// In a table cut to the terminal's width; plain: tab-separated and whole.
std::string PublicationText(const Publication& publication, const Output& out);

}  // namespace fanwire::cli
