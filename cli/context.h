// Which control wsctl talks to, and with what credentials.
//
// The first that is given: --server, --context, FANWIRE_SERVER, `current` of the contexts file, the
// local unix socket if there is one, 127.0.0.1:8701.
//
// The contexts file is $XDG_CONFIG_HOME/fanwire/wsctl.yaml (else ~/.config/fanwire/wsctl.yaml):
//
//   current: local
//   servers:
//     - name: local
//       address: unix:/run/fanwire/control.sock
//     - name: production
//       address: control.example.org:8701
//       tls: true
//       ca_file: /etc/fanwire/ca.pem
//       cert_file: wsctl.pem            # with key_file: mutual TLS; paths are relative to this
//       file key_file: wsctl.key token_env: FANWIRE_TOKEN        # or token_file: …, or token: …
//
// Threading: none.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/rpc_channel.h"

namespace fanwire::cli {

// An environment variable's value, or null.
using Environment = std::function<const char*(const std::string& name)>;

struct NamedServer {
  std::string name;
  ServerTarget target;     // without a token that is kept elsewhere
  std::string token_env;   // the variable that holds it
  std::string token_file;  // or the file
};

struct Contexts {
  std::string current;  // empty: none
  std::vector<NamedServer> servers;
};

// Reads a contexts file's text; `file` is for messages and for paths relative to it.
//   INVALID_ARGUMENT  file:line:column: what is wrong
absl::StatusOr<Contexts> ParseContexts(absl::string_view text, const std::string& file);

struct ServerChoice {
  std::string server;   // --server
  std::string context;  // --context
};

//   NOT_FOUND         no such context, or its token's file or variable is not there
//   INVALID_ARGUMENT  a bad contexts file
absl::StatusOr<ServerTarget> ChooseServer(const ServerChoice& choice,
                                          const Environment& environment);

// Where the contexts file is looked for; empty if there is no home.
std::string ContextsFile(const Environment& environment);

}  // namespace fanwire::cli
