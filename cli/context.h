// Chooses the control that wsctl talks to, and the credentials that it uses.
//
// The first of these that is given decides: --server, --context, the variable FANWIRE_SERVER,
// `current` in the contexts file, the local unix socket if it exists, 127.0.0.1:8701.
//
// The contexts file is $XDG_CONFIG_HOME/fanwire/wsctl.yaml, or ~/.config/fanwire/wsctl.yaml if that
// variable is not set:
//
//   current: local
//   servers:
//     - name: local
//       address: unix:/run/fanwire/control.sock
//     - name: production
//       address: control.example.org:8701
//       tls: true
//       ca_file: /etc/fanwire/ca.pem
//       cert_file: wsctl.pem            # with key_file: mutual TLS; path relative to this file
//       key_file: wsctl.key
//       token_env: FANWIRE_TOKEN        # or token_file: PATH, or token: TEXT
//
// Threading: pure functions of their arguments, the files and the sockets.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/rpc_channel.h"

namespace fanwire::cli {

// An environment variable's value, or null.
using Environment = std::function<const char*(const std::string& name)>;

struct NamedServer {
  std::string name;
  ServerTarget target;     // has no token if token_env or token_file is set
  std::string token_env;   // the environment variable that holds the token; empty: none
  std::string token_file;  // the file that holds the token; empty: none
};

struct Contexts {
  std::string current;  // empty: none
  std::vector<NamedServer> servers;
};

// Parses the text of a contexts file.  `file` is its path: it appears in error messages, and
// relative paths in the text start at its folder.
//   INVALID_ARGUMENT  file:line:column: what is wrong
absl::StatusOr<Contexts> ParseContexts(absl::string_view text, const std::string& file);

// Whether `contexts`, read from `file`, has a server of this name.
//   NOT_FOUND  the message lists the names that exist
absl::Status CheckContext(const Contexts& contexts, const std::string& name,
                          const std::string& file);

struct ServerChoice {
  std::string server;   // --server
  std::string context;  // --context
};

// Returns the control to talk to, with its token.
//   NOT_FOUND         no such context, or its token's file or variable does not exist
//   INVALID_ARGUMENT  a bad contexts file
absl::StatusOr<ServerTarget> ChooseServer(const ServerChoice& choice,
                                          const Environment& environment);

// The path of the contexts file; empty if neither XDG_CONFIG_HOME nor HOME is set.
std::string ContextsFile(const Environment& environment);

}  // namespace fanwire::cli
