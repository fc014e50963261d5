#include "clients/cpp/src/target.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace fanwire::client {

namespace {

constexpr char kDefaultPort[] = "8701";
constexpr std::string_view kUnix = "unix:";

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Whether it is a socket, and not one that another user laid into /tmp.
bool IsTrustedSocket(const std::string& path) {
  struct stat entry;
  if (stat(path.c_str(), &entry) != 0 || !S_ISSOCK(entry.st_mode)) return false;
  return entry.st_uid == geteuid() || entry.st_uid == 0 || !StartsWith(path, "/tmp/");
}

Status NotAnAddress(const std::string& text, const std::string& what) {
  return {Code::kInvalidArgument, "target \"" + text + "\" " + what +
                                      ": write HOST:PORT or unix:PATH, such as 127.0.0.1:8701"};
}

// Host and port of "HOST:PORT", "HOST", "[::1]:PORT"; an empty port if there is none.
void Split(const std::string& address, std::string* host, std::string* port) {
  const size_t bracket = StartsWith(address, "[") ? address.find(']') : std::string::npos;
  const size_t colon = address.find(':', bracket == std::string::npos ? 0 : bracket);
  *host = address.substr(0, colon);
  *port = colon == std::string::npos ? "" : address.substr(colon + 1);
}

bool IsPort(const std::string& text) {
  if (text.empty() || text.size() > 5) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  const int port = std::atoi(text.c_str());
  return port >= 1 && port <= 65535;
}

// gRPC reads the path of a unix socket as part of a URI.
std::string EscapePath(std::string_view path) {
  static constexpr std::string_view kPlain = "/-._~";
  std::string escaped;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       kPlain.find(c) != std::string_view::npos;
    if (plain) {
      escaped += c;
    } else {
      char code[4];
      std::snprintf(code, sizeof(code), "%%%02X", byte);
      escaped += code;
    }
  }
  return escaped;
}

bool IsLocal(const std::string& address) {
  if (StartsWith(address, kUnix)) return true;
  std::string host, port;
  Split(address, &host, &port);
  return host == "localhost" || host == "[::1]" || StartsWith(host, "127.");
}

Status ReadPem(const std::string& file, std::string* pem) {
  if (file.empty()) return {};
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) return {Code::kNotFound, "cannot read \"" + file + "\""};
  *pem = text.str();
  return {};
}

}  // namespace

std::string ChooseAddress(const std::string& target) {
  if (!target.empty()) return target;
  if (std::string variable = Variable("FANWIRE_SERVER"); !variable.empty()) return variable;
  const std::string runtime = Variable("RUNTIME_DIRECTORY");
  const std::string session = Variable("XDG_RUNTIME_DIR");
  const std::string own = !runtime.empty()   ? runtime
                          : !session.empty() ? session + "/fanwire"
                                             : "/tmp/fanwire-" + std::to_string(geteuid());
  for (const std::string& path :
       {own + "/control.sock", std::string("/run/fanwire/control.sock")}) {
    if (IsTrustedSocket(path)) return std::string(kUnix) + path;
  }
  return std::string("127.0.0.1:") + kDefaultPort;
}

std::string ChooseToken(const std::string& token) {
  return token.empty() ? Variable("FANWIRE_TOKEN") : token;
}

Status ParseTarget(const std::string& address, std::string* target) {
  if (StartsWith(address, kUnix)) {
    if (address.size() == kUnix.size()) return NotAnAddress(address, "has no path");
    *target = std::string(kUnix) + EscapePath(std::string_view(address).substr(kUnix.size()));
    return {};
  }
  if (address.find("://") != std::string::npos) return NotAnAddress(address, "is a URL");
  if (StartsWith(address, "/")) return NotAnAddress(address, "is a path");
  if (address.find('/') != std::string::npos) {
    return NotAnAddress(address, "has a path behind the host");
  }
  std::string host, port;
  Split(address, &host, &port);
  if (port.find(':') != std::string::npos) {
    return NotAnAddress(address, "has an IPv6 host without brackets");
  }
  if (host.empty()) return NotAnAddress(address, "has no host");
  const bool has_port = host.size() < address.size();
  if (has_port && !IsPort(port)) return NotAnAddress(address, "has no port from 1 to 65535");
  *target = host + ":" + (has_port ? port : kDefaultPort);
  return {};
}

Status MakeChannel(const PublisherOptions& options, std::shared_ptr<grpc::Channel>* channel) {
  const std::string address = ChooseAddress(options.target);
  std::string target;
  if (Status status = ParseTarget(address, &target); !status.ok()) return status;
  if (!ChooseToken(options.token).empty() && !options.tls && !IsLocal(address)) {
    return {Code::kFailedPrecondition,
            "the token would travel in the clear to " + address + ": set tls"};
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options.tls) {
    grpc::SslCredentialsOptions ssl;
    for (const auto& [file, pem] : {std::pair(&options.ca_file, &ssl.pem_root_certs),
                                    std::pair(&options.cert_file, &ssl.pem_cert_chain),
                                    std::pair(&options.key_file, &ssl.pem_private_key)}) {
      if (Status status = ReadPem(*file, pem); !status.ok()) return status;
    }
    credentials = grpc::SslCredentials(ssl);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Control is on the internal network, so the web proxy that the environment names does not apply.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A control that is gone without a word is noticed.  Control accepts a ping every 10 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // How long to wait between attempts is decided above the channel; it must not wait longer.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(options.reconnect_first.count()));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   static_cast<int>(options.reconnect_first.count()));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);  // the longest attempt to connect
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetUserAgentPrefix("fanwire-cpp");
  *channel = grpc::CreateCustomChannel(target, credentials, arguments);
  return {};
}

}  // namespace fanwire::client
