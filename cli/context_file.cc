#include "cli/context_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/input.h"
#include "cli/output.h"

namespace fanwire::cli {
namespace {

absl::StatusOr<std::string> FileOf(const Environment& environment) {
  std::string file = ContextsFile(environment);
  if (file.empty()) {
    return absl::NotFoundError("no contexts file: neither XDG_CONFIG_HOME nor HOME is set");
  }
  return file;
}

// `name` as YAML: in quotes if it needs them.
std::string Scalar(const std::string& name) {
  YAML::Emitter emitter;
  emitter << name;
  return emitter.c_str();
}

// Where the value of `current` is in `text`: from its first byte to the one behind it.  Both are
// npos if there is no `current`.
std::pair<size_t, size_t> CurrentIn(absl::string_view text) {
  const YAML::Node node = YAML::Load(std::string(text))["current"];
  if (!node.IsDefined()) return {std::string::npos, std::string::npos};
  const size_t begin = static_cast<size_t>(std::max(0, node.Mark().pos));
  const char first = begin < text.size() ? text[begin] : '\n';
  if (first == '"' || first == '\'') {
    const size_t end = text.find(first, begin + 1);
    return {begin, end == absl::string_view::npos ? begin : end + 1};
  }
  return {begin, begin + (node.IsScalar() ? node.Scalar().size() : 0)};
}

absl::Status CannotWrite(const std::string& file) {
  return absl::NotFoundError(absl::StrCat("cannot write \"", file, "\": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<Contexts> ReadContexts(const Environment& environment) {
  const absl::StatusOr<std::string> file = FileOf(environment);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::string> text = ReadFile(*file);
  if (!text.ok()) return text.status();
  return ParseContexts(*text, *file);
}

absl::StatusOr<std::string> WithCurrent(absl::string_view text, const std::string& file,
                                        const std::string& name) {
  const absl::StatusOr<Contexts> before = ParseContexts(text, file);
  if (!before.ok()) return before.status();
  absl::Status known = CheckContext(*before, name, file);
  if (!known.ok()) return known;
  const auto [begin, end] = CurrentIn(text);
  std::string changed = begin == std::string::npos
                            ? absl::StrCat("current: ", Scalar(name), "\n", text)
                            : absl::StrCat(text.substr(0, begin), Scalar(name), text.substr(end));
  // Make sure that nothing else has changed.
  const absl::StatusOr<Contexts> after = ParseContexts(changed, file);
  if (!after.ok() || after->current != name || after->servers.size() != before->servers.size()) {
    return absl::UnimplementedError(
        absl::StrCat(file,
                     ": `current` is written in a form that wsctl cannot change; write it as "
                     "`current: ",
                     name, "` with an editor"));
  }
  return changed;
}

absl::Status UseContext(const std::string& name, const Environment& environment) {
  const absl::StatusOr<std::string> named = FileOf(environment);
  if (!named.ok()) return named.status();
  const absl::StatusOr<std::string> text = ReadFile(*named);
  if (!text.ok()) return text.status();
  const absl::StatusOr<std::string> changed = WithCurrent(*text, *named, name);
  if (!changed.ok()) return changed.status();
  // Replace the file itself, not a symbolic link to it.
  char path[PATH_MAX];
  struct stat entry;
  if (realpath(named->c_str(), path) == nullptr || stat(path, &entry) != 0) {
    return CannotWrite(*named);
  }
  std::string written = absl::StrCat(path, ".XXXXXX");
  const int fd = mkostemp(written.data(), O_CLOEXEC);
  if (fd < 0) return CannotWrite(*named);
  absl::Status status = FdSink(fd).Write(*changed);
  if (status.ok() && (fchmod(fd, entry.st_mode & 07777) != 0 || fsync(fd) != 0)) {
    status = CannotWrite(*named);
  }
  close(fd);
  if (status.ok() && std::rename(written.c_str(), path) != 0) status = CannotWrite(*named);
  if (!status.ok()) unlink(written.c_str());
  return status;
}

}  // namespace fanwire::cli
