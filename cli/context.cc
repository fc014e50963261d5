#include "cli/context.h"

#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/input.h"
#include "cli/server_address.h"
#include "common/plain_text.h"
#include "common/yaml_check.h"

namespace fanwire::cli {
namespace {

std::string Variable(const Environment& environment, const std::string& name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

// Reads one contexts file and stops at the first fault.
class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  absl::StatusOr<Contexts> Read(const YAML::Node& root) {
    Contexts contexts;
    if (root.IsNull()) return contexts;
    if (!root.IsMap()) return Fault(root, "not a mapping with `current` and `servers`");
    for (const auto& entry : root) {
      const std::string key = entry.first.as<std::string>();
      if (key == "current") {
        if (!entry.second.IsScalar()) return Fault(entry.second, "current: not a name");
        contexts.current = entry.second.as<std::string>();
      } else if (key == "servers") {
        if (!entry.second.IsSequence()) return Fault(entry.second, "servers: not a list");
        for (const YAML::Node& node : entry.second) {
          absl::StatusOr<NamedServer> server = ReadServer(node);
          if (!server.ok()) return server.status();
          if (!names_.insert(server->name).second) {
            return Fault(node, absl::StrCat("servers: duplicate name ", server->name));
          }
          contexts.servers.push_back(*std::move(server));
        }
      } else {
        return Fault(entry.first, absl::StrCat(key, ": no such key; known are current, servers"));
      }
    }
    return contexts;
  }

 private:
  absl::StatusOr<NamedServer> ReadServer(const YAML::Node& node) {
    if (!node.IsMap()) return Fault(node, "servers: not a mapping with `name` and `address`");
    NamedServer server;
    for (const auto& entry : node) {
      const absl::Status status = ReadKey(entry.first, entry.second, &server);
      if (!status.ok()) return status;
    }
    ServerTarget& target = server.target;
    if (server.name.empty()) return Fault(node, "servers: an entry without `name`");
    const auto fault = [&](absl::string_view text) {
      return Fault(node, absl::StrCat("servers: ", server.name, text));
    };
    if (target.address.empty()) return fault(" has no `address`");
    const bool has_files =
        !target.ca_file.empty() || !target.cert_file.empty() || !target.key_file.empty();
    // TLS files without `tls: true` would look protected, but send everything in the clear.
    if (has_files && !target.tls) return fault(" has TLS files, but not `tls: true`");
    if (target.cert_file.empty() != target.key_file.empty()) {
      return fault(": `cert_file` and `key_file` belong together");
    }
    const int tokens =
        !target.token.empty() + !server.token_env.empty() + !server.token_file.empty();
    if (tokens > 1) return fault(" has more than one of `token`, `token_env` and `token_file`");
    target.source = absl::StrCat("context ", server.name);
    return server;
  }

  absl::Status ReadKey(const YAML::Node& name, const YAML::Node& node, NamedServer* server) {
    ServerTarget& target = server->target;
    const std::string key = name.as<std::string>();
    if (!node.IsScalar()) return Fault(node, absl::StrCat(key, ": not a string"));
    const std::string value = node.as<std::string>();
    if (key == "name") {
      server->name = value;
    } else if (key == "address") {
      target.address = value;
    } else if (key == "tls") {
      if (value != "true" && value != "false") return Fault(node, "tls: neither true nor false");
      target.tls = value == "true";
    } else if (key == "ca_file") {
      target.ca_file = Beside(value);
    } else if (key == "cert_file") {
      target.cert_file = Beside(value);
    } else if (key == "key_file") {
      target.key_file = Beside(value);
    } else if (key == "token") {
      target.token = value;
    } else if (key == "token_env") {
      server->token_env = value;
    } else if (key == "token_file") {
      server->token_file = Beside(value);
    } else {
      return Fault(name, absl::StrCat("servers: ", key, ": no such key"));
    }
    return absl::OkStatus();
  }

  absl::Status Fault(const YAML::Node& node, absl::string_view text) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", node.Mark().line + 1, ":", node.Mark().column + 1, ": ", text));
  }

  std::string Beside(const std::string& path) const {
    const size_t slash = file_.rfind('/');
    if (path.empty() || path[0] == '/' || slash == std::string::npos) return path;
    return absl::StrCat(file_.substr(0, slash + 1), path);
  }

  const std::string& file_;
  std::set<std::string> names_;
};

// Returns the server's target with the token that its entry points to.
absl::StatusOr<ServerTarget> WithToken(const NamedServer& server, const Environment& environment) {
  ServerTarget target = server.target;
  if (!server.token_env.empty()) {
    target.token = Variable(environment, server.token_env);
    if (target.token.empty()) {
      return absl::NotFoundError(
          absl::StrCat(target.source, ": token_env: ", server.token_env, " is not set"));
    }
  } else if (!server.token_file.empty()) {
    const absl::StatusOr<std::string> text = ReadFile(server.token_file);
    if (!text.ok()) {
      return absl::Status(text.status().code(),
                          absl::StrCat(target.source, ": token_file: ", text.status().message()));
    }
    target.token = std::string(absl::StripAsciiWhitespace(*text));
  }
  if (!IsPrintableAscii(target.token)) {
    return absl::InvalidArgumentError(
        absl::StrCat(target.source, ": the token of ",
                     !server.token_env.empty()    ? server.token_env
                     : !server.token_file.empty() ? server.token_file
                                                  : "`token`",
                     " has a character that is not printable ASCII, and so cannot be sent"));
  }
  return target;
}

// Whether `path` is a socket that only this user or root can have created.
bool IsTrustedSocket(const std::string& path) {
  struct stat entry;
  if (stat(path.c_str(), &entry) != 0 || !S_ISSOCK(entry.st_mode)) return false;
  return entry.st_uid == geteuid() || entry.st_uid == 0 || !absl::StartsWith(path, "/tmp/");
}

// The paths where a control that this user or systemd started has its socket.
std::vector<std::string> SocketCandidates(const Environment& environment) {
  std::vector<std::string> paths;
  const std::string runtime = Variable(environment, "RUNTIME_DIRECTORY");
  const std::string session = Variable(environment, "XDG_RUNTIME_DIR");
  if (!runtime.empty()) {
    paths.push_back(absl::StrCat(runtime, "/control.sock"));
  } else if (!session.empty()) {
    paths.push_back(absl::StrCat(session, "/fanwire/control.sock"));
  } else {
    paths.push_back(absl::StrCat("/tmp/fanwire-", geteuid(), "/control.sock"));
  }
  paths.push_back("/run/fanwire/control.sock");
  return paths;
}

absl::StatusOr<Contexts> LoadContexts(const std::string& file, bool must_exist) {
  if (!must_exist && (file.empty() || access(file.c_str(), F_OK) != 0)) return Contexts();
  if (file.empty()) {
    return absl::NotFoundError("no contexts file: neither XDG_CONFIG_HOME nor HOME is set");
  }
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  return ParseContexts(*text, file);
}

absl::StatusOr<ServerTarget> FindContext(const Contexts& contexts, const std::string& name,
                                         const std::string& file, const Environment& environment) {
  for (const NamedServer& server : contexts.servers) {
    if (server.name == name) return WithToken(server, environment);
  }
  return CheckContext(contexts, name, file);
}

}  // namespace

absl::StatusOr<Contexts> ParseContexts(absl::string_view text, const std::string& file) {
  // Refuse the YAML that control refuses in its configuration.  A second document, for example,
  // would be ignored.
  if (const std::string fault = YamlFault(text, file); !fault.empty()) {
    return absl::InvalidArgumentError(fault);
  }
  try {
    return Reader(file).Read(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", error.mark.line + 1, ":", error.mark.column + 1, ": ", error.msg));
  }
}

absl::Status CheckContext(const Contexts& contexts, const std::string& name,
                          const std::string& file) {
  std::vector<std::string> names;
  for (const NamedServer& server : contexts.servers) {
    if (server.name == name) return absl::OkStatus();
    names.push_back(server.name);
  }
  return absl::NotFoundError(
      absl::StrCat("no context \"", name, "\" in ", file,
                   names.empty() ? "" : absl::StrCat("; known are: ", absl::StrJoin(names, ", "))));
}

std::string ContextsFile(const Environment& environment) {
  const std::string base = Variable(environment, "XDG_CONFIG_HOME");
  if (!base.empty()) return absl::StrCat(base, "/fanwire/wsctl.yaml");
  const std::string home = Variable(environment, "HOME");
  return home.empty() ? "" : absl::StrCat(home, "/.config/fanwire/wsctl.yaml");
}

absl::StatusOr<ServerTarget> ChooseServer(const ServerChoice& choice,
                                          const Environment& environment) {
  if (!choice.server.empty()) return ServerTarget{.address = choice.server, .source = "--server"};
  const std::string file = ContextsFile(environment);
  if (!choice.context.empty()) {
    const absl::StatusOr<Contexts> contexts = LoadContexts(file, /*must_exist=*/true);
    if (!contexts.ok()) return contexts.status();
    return FindContext(*contexts, choice.context, file, environment);
  }
  const std::string variable = Variable(environment, "FANWIRE_SERVER");
  if (!variable.empty()) return ServerTarget{.address = variable, .source = "FANWIRE_SERVER"};
  const absl::StatusOr<Contexts> contexts = LoadContexts(file, /*must_exist=*/false);
  if (!contexts.ok()) return contexts.status();
  if (!contexts->current.empty())
    return FindContext(*contexts, contexts->current, file, environment);
  for (const std::string& path : SocketCandidates(environment)) {
    if (IsTrustedSocket(path)) {
      return ServerTarget{.address = absl::StrCat("unix:", path), .source = "the local socket"};
    }
  }
  return ServerTarget{.address = absl::StrCat("127.0.0.1:", kControlPort), .source = "the default"};
}

}  // namespace fanwire::cli
