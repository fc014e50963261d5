#include "control/config/config_defaults.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/address.h"
#include "common/check.h"
#include "control/config/config_keys.h"
#include "control/config/service_catalog.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"
#include "proto/catalog_descriptors.h"

namespace fanwire::control {

using google::protobuf::FieldDescriptor;

namespace {

using google::protobuf::Message;
using google::protobuf::Reflection;

// How much more than its rate per second a client may send at once.
constexpr double kBurstPerRate = 1.5;

// Returns the folder for what survives a restart.
std::string DefaultStateDir() {
  const char* const dir = std::getenv("STATE_DIRECTORY");
  if (dir == nullptr || *dir == '\0') return "/var/lib/fanwire";
  const absl::string_view all(dir);  // systemd separates several folders by ':'
  return std::string(all.substr(0, all.find(':')));
}

// Sets the keys of `section` and of those in it that are not given to their `default`.
void FillFixed(Message* section) {
  const Reflection* const reflection = section->GetReflection();
  const google::protobuf::Descriptor* const type = section->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    if (IsSection(field)) {
      if (field->is_repeated()) {
        for (int k = 0; k < reflection->FieldSize(*section, field); ++k) {
          FillFixed(reflection->MutableRepeatedMessage(section, field, k));
        }
      } else if (reflection->HasField(*section, field)) {
        FillFixed(reflection->MutableMessage(section, field));
      }
    } else if (const std::string& text = KeyOf(field).default_();
               !text.empty() && !reflection->HasField(*section, field)) {
      SetFromText(text, field, section);
    }
  }
}

// The whole configuration has each of its single sections, given or not, and those in them.
void AddSections(Message* section) {
  const google::protobuf::Descriptor* const type = section->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    if (IsSection(field) && !field->is_repeated()) {
      AddSections(section->GetReflection()->MutableMessage(section, field));
    }
  }
}

void CopyNumber(const Message& from, const FieldDescriptor* from_field, Message* to,
                const FieldDescriptor* to_field) {
  const Reflection* const in = from.GetReflection();
  const Reflection* const out = to->GetReflection();
  switch (from_field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return out->SetUInt32(to, to_field, in->GetUInt32(from, from_field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return out->SetUInt64(to, to_field, in->GetUInt64(from, from_field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return out->SetDouble(to, to_field, in->GetDouble(from, from_field));
    default:
      FANWIRE_CHECK(false, absl::StrCat(to_field->full_name(), ": same_as: not a number"));
  }
}

// Gives `service` the numbers of other sections that it has not itself.
void FillSame(const v1::Config& config, v1::ServiceConfig* service) {
  const google::protobuf::Descriptor* const type = v1::ServiceConfig::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    const std::string& path = KeyOf(field).same_as();
    if (path.empty() || service->GetReflection()->HasField(*service, field)) continue;
    const Message* section = &config;
    const FieldDescriptor* key = nullptr;
    for (const absl::string_view step : absl::StrSplit(path, '.')) {
      if (key != nullptr) section = &section->GetReflection()->GetMessage(*section, key);
      key = section->GetDescriptor()->FindFieldByName(std::string(step));
    }
    CopyNumber(*section, key, service, field);
  }
}

void DropEmptyKeys(google::protobuf::RepeatedPtrField<v1::Key>* keys) {
  keys->erase(std::remove_if(keys->begin(), keys->end(),
                             [](const v1::Key& key) { return key.secret().empty(); }),
              keys->end());
}

void FillService(const v1::Config& config, v1::ServiceConfig* service) {
  for (v1::ListenerConfig& listener : *service->mutable_listeners()) {
    listener.set_host(std::string(WithoutBrackets(listener.host())));
    if (!listener.has_auth_required()) listener.set_auth_required(config.auth().required());
    if (listener.allowed_origins().empty()) {
      *listener.mutable_allowed_origins() = config.auth().allowed_origins();
    }
  }
  if (service->server_name().empty()) service->set_server_name(service->name());
  if (service->welcome_message().empty()) {
    service->set_welcome_message(absl::StrCat("Connected to ", service->name()));
  }
  if (service->message_rate_burst() == 0) {
    const double own = service->message_rate_limit();
    service->set_message_rate_burst(own != 0 ? kBurstPerRate * own
                                             : config.limits().message_rate_burst());
  }
  if (service->catalog().empty()) {
    const std::vector<std::string> names = BuiltInCatalogNames();
    const bool has_one = std::find(names.begin(), names.end(), service->name()) != names.end();
    service->set_catalog(has_one ? service->name() : std::string(kNoCatalog));
  }
  FillSame(config, service);
  DropEmptyKeys(service->mutable_keys());
  for (v1::StatusRequest& request : *service->mutable_status_requests()) {
    if (request.has_kind() || request.has_recent()) continue;
    absl::string_view kind = request.argument();
    if (absl::ConsumeSuffix(&kind, "_id")) request.set_kind(kind.data(), kind.size());
  }
}

}  // namespace

void FillDefaults(v1::Config* config) {
  AddSections(config);
  for (v1::ServiceConfig& service : *config->mutable_services()) {
    if (service.port() != 0 && service.listeners().empty()) {
      service.add_listeners()->set_port(service.port());
    }
  }
  FillFixed(config);
  v1::ControlConfig* const control = config->mutable_control();
  if (control->socket().empty()) control->set_socket(DefaultRuntimeDir() + "/control.sock");
  v1::EngineConfig* const engine = config->mutable_engine();
  if (engine->path().empty()) engine->set_path(DefaultStateDir() + "/engine");
  v1::LimitsConfig* const limits = config->mutable_limits();
  if (limits->message_rate_burst() == 0) {
    limits->set_message_rate_burst(kBurstPerRate * limits->message_rate_limit());
  }
  if (limits->client_publish_burst() == 0) {
    limits->set_client_publish_burst(kBurstPerRate * limits->client_publish_rate());
  }
  DropEmptyKeys(config->mutable_auth()->mutable_keys());
  for (v1::ServiceConfig& service : *config->mutable_services()) FillService(*config, &service);
}

v1::ChannelRule FallbackRule() {
  v1::ChannelRule rule;
  const google::protobuf::Descriptor* const type = v1::ChannelRule::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const std::string& text = KeyOf(type->field(i)).fallback();
    if (!text.empty()) SetFromText(text, type->field(i), &rule);
  }
  return rule;
}

}  // namespace fanwire::control
