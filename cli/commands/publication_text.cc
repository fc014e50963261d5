#include "cli/commands/publication_text.h"

#include <simdjson.h>

#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/text.h"
#include "common/time_format.h"

namespace fanwire::cli {

namespace {

// Returns the bytes of the envelope's `data`; the whole envelope if it has no data.
std::string DataOf(const std::string& envelope) {
  const simdjson::padded_string padded(envelope);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::object data;
  std::string_view raw;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
      document["data"].get_object().get(data) != simdjson::SUCCESS ||
      data.raw_json().get(raw) != simdjson::SUCCESS) {
    return envelope;
  }
  return std::string(absl::StripTrailingAsciiWhitespace({raw.data(), raw.size()}));
}

}  // namespace

std::string PublicationText(const Publication& publication, const Output& out) {
  std::string data = EscapeControls(DataOf(publication.envelope));
  const std::string time =
      IsKnown(publication.received) ? FormatRfc3339(publication.received) : "-";
  const std::string offset = publication.position.exists()
                                 ? absl::StrCat("#", publication.position.offset)
                                 : std::string("-");
  const std::string channel = EscapeControls(publication.channel);
  const std::string event = EscapeControls(publication.event);
  if (out.format() == Format::kPlain) {
    return absl::StrJoin({time, channel, event, offset.substr(offset == "-" ? 0 : 1), data}, "\t");
  }
  if (out.width() > 0) {
    const int before = DisplayWidth(absl::StrCat(time, channel, event, offset)) + 8;
    data = CutToWidth(data, out.width() - before);
  }
  return absl::StrCat(out.Paint(time, Tone::kFaint), "  ", channel, "  ",
                      out.Paint(event, Tone::kGood), "  ", out.Paint(offset, Tone::kFaint), "  ",
                      data);
}

}  // namespace fanwire::cli
