#include "cli/catalog_schema.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/version.h"

namespace fanwire::cli {

namespace {

using Json = nlohmann::ordered_json;

// Where the shipped configuration has the common protocol of each service.
const std::map<std::string, int>& ShippedPorts() {
  static const auto* const kPorts = new std::map<std::string, int>{
      {"akosha", 8692},     {"crackerjack", 8686}, {"dhruva", 8693},       {"excalidraw", 3042},
      {"fastblocks", 8684}, {"mahavishnu", 8690},  {"session-buddy", 8688}};
  return *kPorts;
}

// `text` with '_' in place of what the keys of AsyncAPI's components cannot have.
std::string SafeName(absl::string_view text) {
  std::string name(text);
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return !absl::ascii_isalnum(c) && c != '.' && c != '_' && c != '-'; },
      '_');
  return name;
}

Json ObjectSchema(const std::vector<CatalogKey>& keys, bool closed);

void SetType(const char* name, bool optional, Json* schema) {
  if (optional) {
    (*schema)["type"] = {name, "null"};
  } else {
    (*schema)["type"] = name;
  }
}

Json SchemaOf(const CatalogKey& key) {
  Json schema = Json::object();
  if (!key.comment.empty()) schema["description"] = key.comment;
  switch (key.type) {
    case CatalogType::kAny:
      return schema;
    case CatalogType::kText:
      SetType("string", key.optional, &schema);
      if (!key.values.empty()) {
        schema["enum"] = key.values;
        if (key.optional) schema["enum"].push_back(nullptr);
      }
      return schema;
    case CatalogType::kInt32:
    case CatalogType::kInt64:
    case CatalogType::kUint32:
    case CatalogType::kUint64:
      SetType("integer", key.optional, &schema);
      if (key.type == CatalogType::kInt32) {
        schema["minimum"] = -2147483648;
        schema["maximum"] = 2147483647;
      } else if (key.type != CatalogType::kInt64) {
        schema["minimum"] = 0;
        if (key.type == CatalogType::kUint32) schema["maximum"] = 4294967295;
      }
      return schema;
    case CatalogType::kNumber:
      SetType("number", key.optional, &schema);
      return schema;
    case CatalogType::kBoolean:
      SetType("boolean", key.optional, &schema);
      return schema;
    case CatalogType::kObject:
      SetType("object", key.optional, &schema);
      if (!key.keys.empty()) {
        const Json object = ObjectSchema(key.keys, /*closed=*/false);
        for (const char* part : {"properties", "required"}) {
          if (object.contains(part)) schema[part] = object[part];
        }
      }
      return schema;
    case CatalogType::kList:
      SetType("array", key.optional, &schema);
      if (!key.keys.empty()) schema["items"] = SchemaOf(key.keys[0]);
      return schema;
    case CatalogType::kMap:
      SetType("object", key.optional, &schema);
      if (!key.keys.empty()) schema["additionalProperties"] = SchemaOf(key.keys[0]);
      return schema;
  }
  return schema;
}

Json ObjectSchema(const std::vector<CatalogKey>& keys, bool closed) {
  Json schema = {{"type", "object"}};
  Json properties = Json::object(), required = Json::array();
  for (const CatalogKey& key : keys) {
    properties[key.name] = SchemaOf(key);
    if (!key.optional) required.push_back(key.name);
  }
  schema["properties"] = std::move(properties);
  if (!required.empty()) schema["required"] = std::move(required);
  if (closed) schema["additionalProperties"] = false;
  return schema;
}

Json DataSchema(const CatalogEvent& event) {
  Json schema = Json::object();
  if (!event.comment.empty()) schema["description"] = event.comment;
  schema.update(ObjectSchema(event.keys, event.closed));
  return schema;
}

// The frame that clients receive, whatever event is in it.
Json EnvelopeProperties() {
  const Json text = {{"type", "string"}};
  return {
      {"id", text},
      {"correlation_id", {{"type", "null"}}},
      {"type", {{"const", "event"}}},
      {"event", {{"type", "string"}, {"description", "The event's name."}}},
      {"data", {{"type", "object"}}},
      {"timestamp", {{"type", "string"}, {"description", "When it happened: UTC."}}},
      {"room", {{"type", "string"}, {"description", "The channel."}}},
      {"error_code", {{"type", "null"}}},
      {"error_message", {{"type", "null"}}},
      {"publisher",
       {{"type", "object"},
        {"description", "The client that published it; absent if the service did."},
        {"properties", {{"connection_id", text}, {"user_id", {{"type", {"string", "null"}}}}}}}},
      {"offset",
       {{"type", "integer"},
        {"minimum", 1},
        {"description",
         "The position in the channel's epoch; absent if the event skips "
         "history."}}},
      {"epoch", text}};
}

Json EnvelopeRequired() { return {"id", "type", "event", "data", "timestamp", "room"}; }

// The names of a template's fields.
std::vector<std::string> FieldsOf(absl::string_view channel) {
  std::vector<std::string> fields;
  for (size_t open = channel.find('{'); open != absl::string_view::npos;
       open = channel.find('{', open + 1)) {
    const size_t close = channel.find('}', open);
    if (close == absl::string_view::npos) break;
    fields.emplace_back(channel.substr(open + 1, close - open - 1));
  }
  return fields;
}

std::string CommentOfField(const CatalogEvent& event, const std::string& field) {
  for (const auto* keys : {&event.keys, &event.routing_keys}) {
    for (const CatalogKey& key : *keys) {
      if (key.name == field) return key.comment;
    }
  }
  return "";
}

// An id for a service's channel: "mahavishnu.workflow.workflow_id".
std::string ChannelId(const std::string& service, absl::string_view channel) {
  std::string id = absl::StrCat(service, ".");
  for (const char c : channel) {
    if (c == '{' || c == '}') continue;
    id.push_back(c == ':' ? '.' : c);
  }
  return SafeName(channel.empty() ? absl::StrCat(service, ".any") : id);
}

Json MessageOf(const CatalogEvent& event, const std::string& name) {
  Json message = {{"name", event.name}, {"title", name}};
  if (!event.comment.empty()) message["summary"] = event.comment;
  message["contentType"] = "application/json";
  if (const absl::string_view status = CatalogStatusName(event.status); !status.empty()) {
    message["tags"] = Json::array({{{"name", std::string(status)}}});
  }
  message["payload"] = {
      {"allOf",
       {{{"$ref", "#/components/schemas/Envelope"}},
        {{"type", "object"},
         {"properties",
          {{"event", {{"const", event.name}}},
           {"data", {{"$ref", absl::StrCat("#/components/schemas/", name)}}}}}}}}};
  return message;
}

}  // namespace

std::string DefinitionName(const CatalogEvent& event) {
  if (event.message.empty()) return SafeName(absl::StrCat(event.service, ".", event.name));
  return SafeName(absl::StripPrefix(event.message, "fanwire.catalog.v1."));
}

Json JsonSchemaOf(const std::vector<ServiceCatalog>& catalogs) {
  Json any = Json::array(), definitions = Json::object();
  for (const ServiceCatalog& catalog : catalogs) {
    for (const CatalogEvent& event : catalog.events) {
      const std::string name = DefinitionName(event);
      if (definitions.contains(name)) continue;  // of a catalog that two services have
      definitions[name] = DataSchema(event);
      any.push_back({{"properties",
                      {{"event", {{"const", event.name}}},
                       {"data", {{"$ref", absl::StrCat("#/$defs/", name)}}}}}});
    }
  }
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"$id", "urn:fanwire:catalog"},
                 {"title", "Fanwire events"},
                 {"description", "An event as clients receive it, of any service."},
                 {"type", "object"},
                 {"required", EnvelopeRequired()},
                 {"properties", EnvelopeProperties()}};
  if (!any.empty()) schema["anyOf"] = std::move(any);
  schema["$defs"] = std::move(definitions);
  return schema;
}

Json AsyncApiOf(const std::vector<ServiceCatalog>& catalogs) {
  Json servers = Json::object(), channels = Json::object(), operations = Json::object();
  Json messages = Json::object();
  Json schemas = {{"Envelope",
                   {{"type", "object"},
                    {"required", EnvelopeRequired()},
                    {"properties", EnvelopeProperties()}}}};
  for (const ServiceCatalog& catalog : catalogs) {
    if (catalog.events.empty()) continue;
    const auto port = ShippedPorts().find(catalog.service);
    servers[catalog.service] = {
        {"host", "{host}"},
        {"protocol", "ws"},
        {"description", absl::StrCat("The WebSocket port of service ", catalog.service, ".")},
        {"variables",
         {{"host",
           {{"default", port == ShippedPorts().end() ? std::string("127.0.0.1")
                                                     : absl::StrCat("127.0.0.1:", port->second)},
            {"description", "As the configuration says."}}}}}};
    for (const CatalogEvent& event : catalog.events) {
      const std::string name = DefinitionName(event);
      schemas[name] = DataSchema(event);
      messages[name] = MessageOf(event, name);
      std::vector<std::string> templates = event.channels;
      if (templates.empty()) templates.emplace_back();  // any channel
      for (const std::string& address : templates) {
        const std::string id = ChannelId(catalog.service, address);
        Json& channel = channels[id];
        if (channel.is_null()) {
          if (address.empty()) {
            channel["address"] = nullptr;
          } else {
            channel["address"] = address;
          }
          channel["servers"] =
              Json::array({{{"$ref", absl::StrCat("#/servers/", catalog.service)}}});
          channel["messages"] = Json::object();
          for (const std::string& field : FieldsOf(address)) {
            Json& parameter = channel["parameters"][field];
            parameter = Json::object();
            const std::string comment = CommentOfField(event, field);
            if (!comment.empty()) parameter["description"] = comment;
          }
          operations[absl::StrCat(id, ".send")] = {
              {"action", "send"},
              {"summary", address.empty() ? std::string("Events on any channel.")
                                          : absl::StrCat("The events of ", address, ".")},
              {"channel", {{"$ref", absl::StrCat("#/channels/", id)}}}};
        }
        channel["messages"][name] = {{"$ref", absl::StrCat("#/components/messages/", name)}};
      }
    }
  }
  Json info = {{"title", "Fanwire events"},
               {"version", std::string(kVersion)},
               {"description",
                "What the services send to their subscribers, in the frames of the WebSocket "
                "protocol."}};
  return {{"asyncapi", "3.0.0"},
          {"info", std::move(info)},
          {"defaultContentType", "application/json"},
          {"servers", std::move(servers)},
          {"channels", std::move(channels)},
          {"operations", std::move(operations)},
          {"components", {{"messages", std::move(messages)}, {"schemas", std::move(schemas)}}}};
}

}  // namespace fanwire::cli
