#include "control/engine/store_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/store.pb.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"

namespace fanwire::control {

namespace {

constexpr char kHeader[] = "store";
constexpr char kLock[] = "lock";

absl::Status Refuse(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("engine.path \"", path, "\": ", what));
}

std::string Reason(int error) { return std::strerror(error); }

// Reads the whole file; nothing if there is none.
absl::StatusOr<std::optional<std::string>> ReadFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    if (errno == ENOENT) return std::nullopt;
    return absl::UnavailableError(Reason(errno));
  }
  std::string text;
  char buffer[4096];
  ssize_t size = 0;
  while ((size = read(file, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(size));
  }
  const int error = size < 0 ? errno : 0;
  close(file);
  if (error != 0) return absl::UnavailableError(Reason(error));
  return text;
}

bool WriteAndSync(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (file < 0) return false;
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t size = write(file, text.data() + done, text.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    done += static_cast<size_t>(size);
  }
  const bool ok = done == text.size() && fsync(file) == 0;
  const int error = errno;
  close(file);
  errno = error;
  return ok;
}

bool SyncFolder(const std::string& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return false;
  const bool ok = fsync(folder) == 0;
  const int error = errno;
  close(folder);
  errno = error;
  return ok;
}

// Keeps quiet, where protobuf would write to stderr.
class NoErrors final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int /*line*/, int /*column*/, const std::string& /*message*/) override {}
};

absl::Status ReadHeader(const std::string& path, std::optional<StoreHeader>* header) {
  const absl::StatusOr<std::optional<std::string>> text =
      ReadFile(absl::StrCat(path, "/", kHeader));
  if (!text.ok()) {
    return Refuse(path,
                  absl::StrCat("cannot read its file ", kHeader, ": ", text.status().message()));
  }
  if (!text->has_value()) return absl::OkStatus();
  v1::StoreHeader stored;
  google::protobuf::TextFormat::Parser parser;
  NoErrors errors;
  parser.RecordErrorsTo(&errors);
  parser.AllowUnknownField(true);  // of a later version, which is told from a broken file so
  if (!parser.ParseFromString(**text, &stored) || stored.format() == 0) {
    return Refuse(path, absl::StrCat("its file ", kHeader,
                                     " is broken: restore the folder from a backup, or move it "
                                     "away to begin with an empty one"));
  }
  if (stored.format() > StoreFolder::kFormat) {
    return Refuse(
        path, absl::StrCat("a later version of fanwire-control has written it (format ",
                           stored.format(), "; this version knows format ", StoreFolder::kFormat,
                           "): run that version, or move the folder away"));
  }
  header->emplace(StoreHeader{.format = stored.format(),
                              .boot_id = stored.boot_id(),
                              .sync = stored.sync(),
                              .clean = stored.clean(),
                              .generation = stored.generation()});
  return absl::OkStatus();
}

// Returns what stands in the way of using the folder, which exists.
absl::Status CheckFolder(const std::string& path, std::optional<StoreHeader>* header) {
  struct stat what;
  if (stat(path.c_str(), &what) != 0) {
    return Refuse(path, absl::StrCat("cannot look at the folder: ", Reason(errno)));
  }
  if (!S_ISDIR(what.st_mode)) {
    return Refuse(path, "it is not a folder: name a folder that belongs to the engine alone");
  }
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return Refuse(path,
                  absl::StrCat("the user with the id ", geteuid(), " may not write to the folder (",
                               Reason(errno), "): give it to that user (chown)"));
  }
  if (absl::Status status = ReadHeader(path, header); !status.ok()) return status;
  if (header->has_value()) return absl::OkStatus();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const std::string name = entry.path().filename();
    if (name == kLock || name == "lost+found" || name == absl::StrCat(kHeader, ".new")) continue;
    return Refuse(path, absl::StrCat("the folder holds something else (\"", name,
                                     "\"): name an empty folder, or one that does not exist"));
  }
  if (error) return Refuse(path, absl::StrCat("cannot list the folder: ", error.message()));
  return absl::OkStatus();
}

absl::Status CannotMake(const std::string& path, int error) {
  return Refuse(path, absl::StrCat("cannot make the folder: ", Reason(error),
                                   "; make it, and give it to the user that runs control"));
}

}  // namespace

absl::Status StoreFolder::Check(const std::string& path) {
  if (path.empty()) return Refuse(path, "no folder is named");
  std::optional<StoreHeader> header;
  struct stat what;
  if (stat(path.c_str(), &what) == 0) return CheckFolder(path, &header);
  if (errno != ENOENT) return CannotMake(path, errno);
  // It will be made: whether that is allowed, its next parent that exists says.
  std::filesystem::path parent = std::filesystem::absolute(path).parent_path();
  while (stat(parent.c_str(), &what) != 0) {
    if (errno != ENOENT || parent == parent.root_path()) return CannotMake(path, errno);
    parent = parent.parent_path();
  }
  if (!S_ISDIR(what.st_mode)) return CannotMake(path, ENOTDIR);
  if (access(parent.c_str(), W_OK | X_OK) != 0) return CannotMake(path, errno);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<StoreFolder>> StoreFolder::Take(const std::string& path) {
  if (path.empty()) return Refuse(path, "no folder is named");
  std::error_code made;
  std::filesystem::create_directories(path, made);
  struct stat what;
  if (made && stat(path.c_str(), &what) != 0) return CannotMake(path, made.value());
  std::optional<StoreHeader> header;
  if (absl::Status status = CheckFolder(path, &header); !status.ok()) return status;
  const int lock = open(absl::StrCat(path, "/", kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock < 0) return Refuse(path, absl::StrCat("cannot make its lock file: ", Reason(errno)));
  std::unique_ptr<StoreFolder> folder(new StoreFolder(path, lock));
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return Refuse(path, errno == EWOULDBLOCK
                            ? "another process uses the folder: stop that control, or name "
                              "another folder"
                            : absl::StrCat("cannot lock the folder: ", Reason(errno)));
  }
  // The header again: another process may have written it before it gave up the lock.
  header.reset();
  if (absl::Status status = CheckFolder(path, &header); !status.ok()) return status;
  if (header.has_value()) {
    folder->header_ = *std::move(header);
  } else if (absl::Status status = folder->Write({.format = kFormat}); !status.ok()) {
    return status;
  }
  return folder;
}

StoreFolder::~StoreFolder() { close(lock_); }

absl::Status StoreFolder::Write(const StoreHeader& header) {
  v1::StoreHeader stored;
  stored.set_format(kFormat);
  stored.set_boot_id(header.boot_id);
  stored.set_sync(header.sync);
  stored.set_clean(header.clean);
  stored.set_generation(header.generation);
  std::string text;
  google::protobuf::TextFormat::PrintToString(stored, &text);
  const std::string file = absl::StrCat(path_, "/", kHeader);
  const std::string other = absl::StrCat(file, ".new");
  if (!WriteAndSync(other, text) || rename(other.c_str(), file.c_str()) != 0 ||
      !SyncFolder(path_)) {
    return Refuse(path_, absl::StrCat("cannot write its file ", kHeader, ": ", Reason(errno)));
  }
  header_ = header;
  header_.format = kFormat;
  return absl::OkStatus();
}

}  // namespace fanwire::control
