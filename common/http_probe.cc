#include "common/http_probe.h"

#include <algorithm>
#include <array>
#include <asio.hpp>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fanwire {
namespace {

constexpr absl::string_view kHeadEnd = "\r\n\r\n";
constexpr char kAllow[] = "Allow: GET, HEAD, OPTIONS\r\n";
constexpr auto kTimeout = std::chrono::seconds(5);
constexpr int kMaxConnections = 64;

using asio::ip::tcp;

absl::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

std::string Response(int status, absl::string_view type, absl::string_view body,
                     absl::string_view extra = "") {
  return absl::StrCat("HTTP/1.1 ", status, " ", Reason(status), "\r\nContent-Type: ", type,
                      "\r\nContent-Length: ", body.size(), "\r\n", extra,
                      "Connection: close\r\n\r\n", body);
}

class Probe final : public HttpProbe {
 public:
  explicit Probe(Options options) : options_(std::move(options)), acceptor_(io_) {}

  ~Probe() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    asio::error_code error;
    const std::string host =
        options_.listen.host == "localhost" ? "127.0.0.1" : options_.listen.host;
    const auto ip = asio::ip::make_address(host, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat("ops address \"", host, "\": ", error.message()));
    }
    for (int i = 0; i < std::max(1, options_.ports_to_try); ++i) {
      const auto port = static_cast<uint16_t>(options_.listen.port + i);
      const tcp::endpoint endpoint(ip, port);
      acceptor_ = tcp::acceptor(io_);
      acceptor_.open(endpoint.protocol(), error);
      if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) acceptor_.bind(endpoint, error);
      if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
      if (!error) break;
    }
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("ops address ", options_.listen.ToString(), ": ", error.message()));
    }
    address_ = options_.listen;
    address_.port = acceptor_.local_endpoint().port();
    Accept();
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  const Address& address() const override { return address_; }

 private:
  class Client : public std::enable_shared_from_this<Client> {
   public:
    Client(Probe* probe, tcp::socket socket)
        : probe_(probe),
          head_limits_(probe->options_.head_limits ? probe->options_.head_limits()
                                                   : HttpHeadLimits()),
          socket_(std::move(socket)),
          timer_(probe->io_) {
      ++probe_->connections_;
    }
    ~Client() { --probe_->connections_; }

    void Start() {
      timer_.expires_after(kTimeout);
      timer_.async_wait([self = shared_from_this()](asio::error_code error) {
        asio::error_code ignored;
        if (!error) self->socket_.close(ignored);
      });
      Read();
    }

   private:
    void Read() {
      socket_.async_read_some(asio::buffer(buffer_),
                              [self = shared_from_this()](asio::error_code error, size_t size) {
                                if (error) {
                                  self->timer_.cancel();
                                  return;
                                }
                                self->request_.append(self->buffer_.data(), size);
                                self->TakeRequest();
                              });
    }

    void TakeRequest() {
      const size_t begin = EmptyLineBytes(request_);
      const size_t end = request_.find(kHeadEnd.data(), begin, kHeadEnd.size());
      const size_t size = end == std::string::npos ? request_.size() : end + kHeadEnd.size();
      if (size > head_limits_.max_bytes) {
        Answer(Response(431, "text/plain", absl::StrCat(TooManyBytesText(head_limits_), "\n")));
      } else if (end == std::string::npos) {
        Read();
      } else {
        // What follows the head, such as a body, is not read.
        Answer(
            probe_->Handle(absl::string_view(request_).substr(begin, size - begin), head_limits_));
      }
    }

    void Answer(std::string response) {
      response_ = std::move(response);
      asio::async_write(socket_, asio::buffer(response_),
                        [self = shared_from_this()](asio::error_code, size_t) {
                          asio::error_code ignored;
                          self->socket_.shutdown(tcp::socket::shutdown_both, ignored);
                          self->timer_.cancel();
                        });
    }

    Probe* const probe_;
    const HttpHeadLimits head_limits_;
    tcp::socket socket_;
    asio::steady_timer timer_;
    std::array<char, 2048> buffer_;
    std::string request_;
    std::string response_;
  };

  void Accept() {
    acceptor_.async_accept([this](asio::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error && connections_ < kMaxConnections) {
        std::make_shared<Client>(this, std::move(socket))->Start();
      } else if (error) {
        // Probably the process is out of descriptors.  Try again a little later.
        retry_.expires_after(std::chrono::milliseconds(100));
        retry_.async_wait([this](asio::error_code cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      Accept();
    });
  }

  // `head` ends in its empty line.
  std::string Handle(absl::string_view head, const HttpHeadLimits& limits) const {
    HttpRequest request;
    if (const HttpError error = ParseRequestHead(head, limits.max_lines, &request)) {
      return error.status == 431
                 ? Response(431, "text/plain", absl::StrCat(TooManyLinesText(limits), "\n"))
                 : Response(400, "text/plain", "not an HTTP/1.1 request\n");
    }
    if (request.method == "OPTIONS") return Response(200, "text/plain", "", kAllow);
    std::string response = Answer(request);
    // The answer to HEAD has the headers of the answer to GET, and no body.
    if (request.method == "HEAD") response.resize(response.find(kHeadEnd.data()) + kHeadEnd.size());
    return response;
  }

  std::string Answer(const HttpRequest& request) const {
    const absl::string_view path = request.path;
    if (path != "/metrics" && path != "/healthz" && path != "/readyz") {
      return Response(404, "text/plain", "try /metrics, /healthz or /readyz\n");
    }
    if (request.method != "GET" && request.method != "HEAD") {
      return Response(405, "text/plain", "GET, HEAD or OPTIONS\n", kAllow);
    }
    if (path == "/metrics") {
      return Response(200, "text/plain; version=0.0.4; charset=utf-8", options_.metrics());
    }
    if (path == "/healthz") {
      return Response(200, "application/json", "{\"status\":\"alive\"}\n");
    }
    const Readiness readiness = options_.ready();
    return Response(readiness.ready ? 200 : 503, "application/json",
                    absl::StrCat(readiness.json, "\n"));
  }

  const Options options_;
  // Declared before io_: the clients that are still connected end with io_, and count down here.
  int connections_ = 0;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_{io_};
  Address address_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpProbe>> HttpProbe::Start(Options options) {
  auto probe = std::make_unique<Probe>(std::move(options));
  if (absl::Status status = probe->Listen(); !status.ok()) return status;
  return probe;
}

}  // namespace fanwire
