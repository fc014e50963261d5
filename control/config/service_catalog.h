// Makes the catalog of a service: the built-in one that it names, the messages of its files, and
// the events of its configuration.
//
// Threading: CatalogFiles are immutable; the functions are pure but for ReadCatalogFiles(), which
//            blocks on the disk.
// Ownership: catalogs share the descriptors of their files.
// Source:    proto/fanwire/v1/config.proto (`catalog`, `catalog_files`, `events`)
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "control/config/catalog.h"

namespace fanwire {
class ConfigSource;
}

namespace fanwire::v1 {
class Config;
class ServiceConfig;
}  // namespace fanwire::v1

namespace fanwire::control {

// The largest file of descriptors that is read.
inline constexpr size_t kMaxCatalogFileBytes = 16 << 20;

// The value of `catalog` for no built-in one.
inline constexpr absl::string_view kNoCatalog = "none";

// What the files of `catalog_files` hold, by the path as the configuration writes it.
class CatalogFiles {
 public:
  struct File {
    std::string bytes;
    std::shared_ptr<const CatalogDescriptors> descriptors;
  };

  // Null if there is no such file.
  const File* Find(absl::string_view path) const;
  void Add(const std::string& path, File file) { files_[path] = std::move(file); }

  // Whether a service's files hold the same in both.
  static bool Same(const v1::ServiceConfig& service, const CatalogFiles& a, const CatalogFiles& b);
  // The files of `a`, and those of `b` that `a` does not have.
  static std::shared_ptr<const CatalogFiles> Union(const CatalogFiles& a, const CatalogFiles& b);

 private:
  std::map<std::string, File, std::less<>> files_;
};

// Reads the files that `config` names; `folder` is what relative paths are relative to.  Appends a
// sentence to `faults` for each file that cannot be read or has no event for its service.
std::shared_ptr<const CatalogFiles> ReadCatalogFiles(const v1::Config& config,
                                                     const std::string& folder,
                                                     const ConfigSource& source,
                                                     std::vector<std::string>* faults);

// What MakeCatalog() has to say of a service's configuration.
struct CatalogNotes {
  // Names of events that the configuration describes instead of the built-in catalog or a file.
  std::vector<std::string> replaced;
  // What is wrong with an entry of `repeat_keys`, by its index.
  std::vector<std::pair<int, std::string>> repeat_faults;
};

// The catalog of a service whose configuration is resolved.  A file that `files` does not have
// describes nothing; a faulty entry of `repeat_keys` repeats nothing.
Catalog MakeCatalog(const v1::ServiceConfig& service, const CatalogFiles& files,
                    CatalogNotes* notes = nullptr);

}  // namespace fanwire::control
