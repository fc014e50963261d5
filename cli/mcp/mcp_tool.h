// McpTool is one tool of `wsctl mcp`: what clients are told about it, and the function that runs
// it.
//
// Threading: tools do not change after they are made; `run` is called from many threads at the same
//            time, each with a call of its own.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/mcp/mcp_call.h"

namespace fanwire::cli {

// The arguments of a call, which fit the tool's input schema.
class ToolArguments {
 public:
  // `json` is an object, or empty: no arguments.
  explicit ToolArguments(absl::string_view json);
  ~ToolArguments();

  const nlohmann::ordered_json& values() const { return *values_; }

  // The argument's value; of one that is absent or null the other value.
  std::string Text(absl::string_view name, absl::string_view otherwise = "") const;
  int64_t Number(absl::string_view name, int64_t otherwise) const;
  std::optional<double> Seconds(absl::string_view name) const;
  bool Flag(absl::string_view name) const;
  std::vector<std::string> Texts(absl::string_view name) const;
  // The argument as the client wrote it; empty if it is absent or null.
  std::string Raw(absl::string_view name) const;

 private:
  const std::string json_;
  const std::unique_ptr<const nlohmann::ordered_json> values_;
};

struct McpTool {
  std::string name = {};
  std::string title = {};
  std::string description = {};
  std::string input_schema = {};  // JSON, as are the next three
  std::string output_schema = {};
  std::string annotations = {};
  std::string meta = {};  // empty: none
  // The schema of what is accepted, if that is more than clients are told.
  std::string accepted_schema = {};
  // Returns the tool's object as JSON.  A status becomes a result with isError, whose text is the
  // status' message.
  std::function<absl::StatusOr<std::string>(const ToolArguments&, McpCall&)> run = {};
  // Of a tool that tells failures inside its object: the object for `status`.
  std::function<std::string(const ToolArguments&, const absl::Status& status)> failure = {};
};

// All tools in the order in which they are listed.  Those that change something other than by a
// test event are there only if `allow_write`.
std::vector<McpTool> MakeTools(bool allow_write);

// The parts of that list, each in a source of its own.
void AddFiveTools(std::vector<McpTool>* tools);
void AddListTools(std::vector<McpTool>* tools);
void AddCatalogTool(std::vector<McpTool>* tools);
void AddEventTools(std::vector<McpTool>* tools);
void AddWriteTools(std::vector<McpTool>* tools);

// Annotations (JSON) of a tool that only reads, and of one that changes something.
std::string ReadsOnly();
std::string Changes(bool destructive, bool idempotent);

// Schemas (JSON) of members of results.
inline constexpr char kWhole[] = R"({"type":"integer"})";
inline constexpr char kNumber[] = R"({"type":"number"})";
inline constexpr char kText[] = R"({"type":"string"})";
inline constexpr char kYesOrNo[] = R"({"type":"boolean"})";
inline constexpr char kTextOrNull[] = R"({"type":["string","null"]})";

// Schemas (JSON) of arguments.  `OptionalText` may also be null.
std::string OptionalText(absl::string_view description);
std::string RequiredText(absl::string_view description);
std::string WholeNumber(int64_t min, int64_t max, int64_t otherwise, absl::string_view description);
std::string Choice(const std::vector<std::string>& names, absl::string_view description);
std::string YesOrNo(absl::string_view description);
// The schema of an object with these members, none of them besides; `required` is a JSON array.
std::string InputSchema(const std::vector<std::pair<std::string, std::string>>& properties,
                        const std::vector<std::string>& required = {});
// The schema of an object that has at least these members: pairs of a name and a schema.
std::string OutputSchema(const std::vector<std::pair<std::string, std::string>>& properties);

// `warnings` of control as a further member of `object`, if there are any.
std::string WithWarnings(std::string object, AdminClient& admin);

}  // namespace fanwire::cli
