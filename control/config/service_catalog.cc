#include "control/config/service_catalog.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config_file.h"
#include "common/utf8.h"
#include "fanwire/v1/config.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "proto/catalog_descriptors.h"

namespace fanwire::control {

namespace {

absl::StatusOr<std::string> ReadFileBytes(const std::string& path) {
  // The open of a named pipe that nobody writes to would wait for ever.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return absl::NotFoundError(absl::StrCat("cannot read the file: ", strerror(errno)));
  std::string bytes;
  absl::Status status;
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = absl::InvalidArgumentError("not a file");
  }
  char buffer[65536];
  while (status.ok()) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = absl::NotFoundError(absl::StrCat("cannot read it: ", strerror(errno)));
    if (got <= 0) break;
    bytes.append(buffer, static_cast<size_t>(got));
    if (bytes.size() > kMaxCatalogFileBytes) {
      status = absl::InvalidArgumentError(
          absl::StrCat("the file has more than ", kMaxCatalogFileBytes, " bytes"));
    }
  }
  close(fd);
  if (!status.ok()) return status;
  return bytes;
}

// Whether an event of a file is one of the service: it names the service, its catalog, or none.
bool IsOf(const CatalogEvent& event, const v1::ServiceConfig& service) {
  return event.service.empty() || event.service == service.name() ||
         event.service == service.catalog();
}

CatalogType TypeOf(char letter) {
  switch (letter) {
    case 's':
      return CatalogType::kText;
    case 'i':
      return CatalogType::kInt64;
    case 'n':
      return CatalogType::kNumber;
    case 'b':
      return CatalogType::kBoolean;
    case 'o':
      return CatalogType::kObject;
    case 'l':
      return CatalogType::kList;
    default:
      return CatalogType::kAny;
  }
}

CatalogEvent EventOf(const v1::CatalogEvent& in, const v1::ServiceConfig& service) {
  CatalogEvent event{.service = service.name(),
                     .name = in.name(),
                     .channels = {in.channels().begin(), in.channels().end()}};
  for (const auto& [name, type] : in.data()) {
    event.keys.push_back({.name = name,
                          .type = TypeOf(type.empty() ? 'a' : type[0]),
                          .optional = absl::EndsWith(type, "?")});
  }
  std::sort(event.keys.begin(), event.keys.end(),
            [](const CatalogKey& a, const CatalogKey& b) { return a.name < b.name; });
  return event;
}

Catalog::Check CheckOf(v1::CatalogCheck check) {
  switch (check) {
    case v1::CATALOG_CHECK_ENFORCE:
      return Catalog::Check::kEnforce;
    case v1::CATALOG_CHECK_WARN:
      return Catalog::Check::kWarn;
    default:
      return Catalog::Check::kOff;
  }
}

// The object of the message that has this key; null if there is none.
const google::protobuf::FieldDescriptor* FindObject(const Catalog::Message& message,
                                                    absl::string_view key) {
  for (const auto& [field, rules] : message.fields) {
    if (rules.key != key || rules.routing_only || rules.spread || field->is_repeated() ||
        field->message_type() == nullptr) {
      continue;
    }
    const google::protobuf::Descriptor& type = *field->message_type();
    const bool is_object =
        type.file()->package() != "google.protobuf" || type.full_name() == "google.protobuf.Struct";
    return is_object ? field : nullptr;
  }
  return nullptr;
}

// Marks the object in the messages of the event.  Returns what is wrong; empty: nothing.
std::string Repeat(const v1::RepeatedKeys& entry, std::vector<Catalog::Message>* messages) {
  bool known = false, closed = false, marked = false;
  for (Catalog::Message& message : *messages) {
    if (message.event->name != entry.event()) continue;
    known = true;
    const google::protobuf::FieldDescriptor* const object = FindObject(message, entry.field());
    if (object == nullptr) continue;
    if (message.event->closed) {
      closed = true;
      continue;
    }
    message.repeated.push_back(object);
    marked = true;
  }
  if (marked) return "";
  if (!known) {
    return absl::StrCat("the service's catalog has no message for event ",
                        QuotedText(entry.event()));
  }
  if (closed) {
    return absl::StrCat("event ", QuotedText(entry.event()),
                        " is closed: its data has no keys but its own");
  }
  return absl::StrCat("event ", QuotedText(entry.event()), " has no object ",
                      QuotedText(entry.field()));
}

}  // namespace

const CatalogFiles::File* CatalogFiles::Find(absl::string_view path) const {
  const auto it = files_.find(path);
  return it == files_.end() ? nullptr : &it->second;
}

bool CatalogFiles::Same(const v1::ServiceConfig& service, const CatalogFiles& a,
                        const CatalogFiles& b) {
  return std::all_of(
      service.catalog_files().begin(), service.catalog_files().end(), [&](const std::string& path) {
        const File* const in_a = a.Find(path);
        const File* const in_b = b.Find(path);
        return in_a == in_b || (in_a != nullptr && in_b != nullptr && in_a->bytes == in_b->bytes);
      });
}

std::shared_ptr<const CatalogFiles> CatalogFiles::Union(const CatalogFiles& a,
                                                        const CatalogFiles& b) {
  auto all = std::make_shared<CatalogFiles>(a);
  for (const auto& [path, file] : b.files_) all->files_.try_emplace(path, file);
  return all;
}

std::shared_ptr<const CatalogFiles> ReadCatalogFiles(const v1::Config& config,
                                                     const std::string& folder,
                                                     const ConfigSource& source,
                                                     std::vector<std::string>* faults) {
  auto files = std::make_shared<CatalogFiles>();
  for (int i = 0; i < config.services_size(); ++i) {
    const v1::ServiceConfig& service = config.services(i);
    for (int j = 0; j < service.catalog_files_size(); ++j) {
      const std::string& path = service.catalog_files(j);
      const auto fault = [&](absl::string_view what) {
        faults->push_back(source.Message(absl::StrCat("services[", i, "].catalog_files[", j, "]"),
                                         absl::StrCat(QuotedText(path), ": ", what)));
      };
      if (files->Find(path) == nullptr) {
        const bool whole = absl::StartsWith(path, "/") || folder.empty();
        absl::StatusOr<std::string> bytes =
            ReadFileBytes(whole ? path : absl::StrCat(folder, "/", path));
        if (!bytes.ok()) {
          fault(bytes.status().message());
          continue;
        }
        auto descriptors = CatalogDescriptors::Read(*bytes);
        if (!descriptors.ok()) {
          fault(descriptors.status().message());
          continue;
        }
        files->Add(path, {.bytes = *std::move(bytes), .descriptors = *std::move(descriptors)});
      }
      const auto& events = files->Find(path)->descriptors->events();
      if (std::none_of(events.begin(), events.end(),
                       [&](const CatalogEvent& event) { return IsOf(event, service); })) {
        fault(absl::StrCat("no message in it describes an event of service \"", service.name(),
                           "\" (option fanwire.catalog.v1.event)"));
      }
    }
  }
  return files;
}

Catalog MakeCatalog(const v1::ServiceConfig& service, const CatalogFiles& files,
                    CatalogNotes* notes) {
  std::vector<std::shared_ptr<const CatalogDescriptors>> descriptors;
  std::vector<Catalog::Message> messages;
  std::vector<CatalogEvent> events;
  // Later descriptions of a name replace those of an earlier source.
  const auto drop = [&](const std::set<std::string>& names) {
    std::erase_if(events, [&](const CatalogEvent& event) { return names.contains(event.name); });
  };
  const auto add = [&](const std::shared_ptr<const CatalogDescriptors>& source,
                       const auto& belongs) {
    std::vector<const CatalogEvent*> own;
    std::set<std::string> names;
    for (const CatalogEvent& event : source->events()) {
      if (!belongs(event)) continue;
      own.push_back(&event);
      names.insert(event.name);
      messages.push_back({.event = &event, .prototype = source->Prototype(event.message)});
      const google::protobuf::Descriptor& type = *messages.back().prototype->GetDescriptor();
      for (int i = 0; i < type.field_count(); ++i) {
        messages.back().fields.push_back(
            {.field = type.field(i), .rules = RulesOf(*type.field(i))});
      }
    }
    drop(names);
    for (const CatalogEvent* event : own) {
      events.push_back(*event);
      events.back().service = service.name();
    }
    descriptors.push_back(source);
  };
  if (service.catalog() != kNoCatalog && !service.catalog().empty()) {
    add(CatalogDescriptors::BuiltIn(),
        [&](const CatalogEvent& event) { return event.service == service.catalog(); });
  }
  for (const std::string& path : service.catalog_files()) {
    const CatalogFiles::File* const file = files.Find(path);
    if (file == nullptr) continue;
    add(file->descriptors, [&](const CatalogEvent& event) { return IsOf(event, service); });
  }
  std::set<std::string> names;
  for (const v1::CatalogEvent& event : service.events()) names.insert(event.name());
  if (notes != nullptr) {
    for (const std::string& name : names) {
      if (std::any_of(events.begin(), events.end(),
                      [&](const CatalogEvent& event) { return event.name == name; })) {
        notes->replaced.push_back(name);
      }
    }
  }
  drop(names);
  for (const v1::CatalogEvent& event : service.events()) events.push_back(EventOf(event, service));
  for (int i = 0; i < service.repeat_keys_size(); ++i) {
    std::string fault = Repeat(service.repeat_keys(i), &messages);
    if (!fault.empty() && notes != nullptr) {
      notes->repeat_faults.emplace_back(i, std::move(fault));
    }
  }
  return Catalog(std::move(events), CheckOf(service.catalog_check()), messages,
                 std::move(descriptors));
}

}  // namespace fanwire::control
