#include "tests/bench/publisher.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "tests/bench/process_stats.h"

namespace fanwire::bench {
namespace {

// A blocking TCP connection.
class Stream {
 public:
  explicit Stream(const Target& target) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(target.port));
    inet_pton(AF_INET, target.host.c_str(), &to.sin_addr);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
      std::fprintf(stderr, "publisher: connect: %s\n", strerror(errno));
      close(fd_);
      fd_ = -1;
    }
  }
  ~Stream() {
    if (fd_ >= 0) close(fd_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }

  // Reads until `wanted` has come `times` times.
  bool Await(absl::string_view wanted, int times) {
    char buffer[65536];
    while (true) {
      size_t at = 0;
      while (times > 0 && (at = read_.find(wanted.data(), 0, wanted.size())) != std::string::npos) {
        read_.erase(0, at + wanted.size());
        --times;
      }
      if (times == 0) return true;
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) return false;
      read_.append(buffer, static_cast<size_t>(n));
    }
  }

  // Throws away what has arrived.
  void Skip() {
    char buffer[65536];
    while (recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
    }
  }

 private:
  int fd_;
  std::string read_;
};

class WebSocketPublisher final : public Publisher {
 public:
  explicit WebSocketPublisher(const Target& target) : stream_(target) {
    stream_.Send(absl::StrCat("GET ", target.path, " HTTP/1.1\r\nHost: ", target.host, ":",
                              target.port,
                              "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Version: 13\r\n\r\n"));
    stream_.Await("\r\n\r\n", 1);
  }

  bool Publish(int64_t first_seq, int count, size_t bytes) override {
    std::string burst;
    for (int i = 0; i < count; ++i) burst += ClientFrame(PublicationText(first_seq + i, bytes));
    stream_.Skip();
    return stream_.Send(burst);
  }

 private:
  Stream stream_;
};

class HttpPublisher final : public Publisher {
 public:
  explicit HttpPublisher(const Target& target) : target_(target), stream_(target) {}

  bool Publish(int64_t first_seq, int count, size_t bytes) override {
    std::string burst;
    for (int i = 0; i < count; ++i) {
      const std::string text = PublicationText(first_seq + i, bytes);
      absl::StrAppend(&burst, "POST ", target_.path, " HTTP/1.1\r\nHost: ", target_.host,
                      "\r\nContent-Length: ", text.size(), "\r\n\r\n", text);
    }
    return stream_.Send(burst) && stream_.Await("HTTP/1.1 2", count);
  }

 private:
  const Target target_;
  Stream stream_;
};

class NatsPublisher final : public Publisher {
 public:
  NatsPublisher(const Target& target, std::string subject)
      : subject_(std::move(subject)), stream_(target) {
    stream_.Send("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
  }

  bool Publish(int64_t first_seq, int count, size_t bytes) override {
    std::string burst;
    for (int i = 0; i < count; ++i) {
      const std::string text = PublicationText(first_seq + i, bytes);
      absl::StrAppend(&burst, "PUB ", subject_, " ", text.size(), "\r\n", text, "\r\n");
    }
    return stream_.Send(burst);
  }

 private:
  const std::string subject_;
  Stream stream_;
};

std::shared_ptr<grpc::Channel> Dial(const std::string& server) {
  return grpc::CreateChannel(server, grpc::InsecureChannelCredentials());
}

// Receipts are read by a thread of its own, so that what is measured ends with the delivery, and
// not with the later of delivery and receipt.
class StreamPublisher final : public Publisher {
 public:
  StreamPublisher(const std::string& server, std::string service, const ChannelMix* mix)
      : service_(std::move(service)),
        mix_(mix),
        stub_(v1::Publisher::NewStub(Dial(server))),
        stream_(stub_->PublishStream(&context_)) {
    v1::PublishStreamRequest hello;
    hello.mutable_hello();
    stream_->Write(hello);
    v1::PublishStreamResponse welcome;
    stream_->Read(&welcome);
    credit_ = welcome.welcome().credit();
    receipts_ = std::thread([this] { ReadReceipts(); });
  }
  ~StreamPublisher() override {
    stream_->WritesDone();
    receipts_.join();
    stream_->Finish();
  }

  bool Publish(int64_t first_seq, int count, size_t bytes) override {
    if (!TakeCredit(count)) return false;
    request_.Clear();
    for (int i = 0; i < count; ++i) {
      v1::PublishItem* item = request_.mutable_items()->add_items();
      item->set_seq(static_cast<uint64_t>(first_seq + i));
      v1::Event* event = item->mutable_event();
      event->set_service(service_);
      event->set_channel(mix_->ChannelOf(first_seq + i));
      event->set_event("bench.event");
      event->set_json(PublicationText(first_seq + i, bytes));
    }
    return stream_->Write(request_);  // if not, ReadReceipts() has said it
  }

 private:
  // Waits until so many items more may be without a receipt; false if the stream is of no more use.
  bool TakeCredit(int count) {
    MutexLock lock(&mu_);
    while (!over_ && without_receipt_ > 0 && without_receipt_ + count > credit_) {
      changed_.Wait(&mu_);
    }
    without_receipt_ += count;
    return !over_;
  }

  void ReadReceipts() {
    v1::PublishStreamResponse response;
    while (stream_->Read(&response)) {
      MutexLock lock(&mu_);
      if (response.has_credit()) credit_ = response.credit().credit();
      for (const v1::ItemReceipt& receipt : response.receipts().receipts()) {
        --without_receipt_;
        if (!receipt.receipt().has_status() || over_) continue;
        std::fprintf(stderr, "publisher: refused: %s\n",
                     receipt.receipt().status().message().c_str());
        over_ = true;
      }
      changed_.SignalAll();
    }
    MutexLock lock(&mu_);
    if (without_receipt_ > 0 && !over_) std::fprintf(stderr, "publisher: the stream ended\n");
    over_ = true;
    changed_.SignalAll();
  }

  const std::string service_;
  const ChannelMix* const mix_;
  std::unique_ptr<v1::Publisher::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PublishStreamRequest, v1::PublishStreamResponse>>
      stream_;
  v1::PublishStreamRequest request_;
  std::thread receipts_;

  Mutex mu_;
  CondVar changed_;
  int64_t credit_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t without_receipt_ ABSL_GUARDED_BY(mu_) = 0;
  bool over_ ABSL_GUARDED_BY(mu_) = false;  // ended, or something was refused
};

class UnaryPublisher final : public Publisher {
 public:
  UnaryPublisher(const std::string& server, std::string service, const ChannelMix* mix)
      : service_(std::move(service)), mix_(mix), stub_(v1::Publisher::NewStub(Dial(server))) {}

  bool Publish(int64_t first_seq, int count, size_t bytes) override {
    for (int i = 0; i < count; ++i) {
      v1::PublishRequest request;
      v1::Event* event = request.mutable_event();
      event->set_service(service_);
      event->set_channel(mix_->ChannelOf(first_seq + i));
      event->set_event("bench.event");
      event->set_json(PublicationText(first_seq + i, bytes));
      v1::PublishResponse response;
      grpc::ClientContext context;
      const grpc::Status status = stub_->Publish(&context, request, &response);
      if (!status.ok()) {
        std::fprintf(stderr, "publisher: %s\n", status.error_message().c_str());
        return false;
      }
    }
    return true;
  }

 private:
  const std::string service_;
  const ChannelMix* const mix_;
  std::unique_ptr<v1::Publisher::Stub> stub_;
};

}  // namespace

std::string PublicationText(int64_t seq, size_t bytes) {
  std::string text = absl::StrCat("{\"q\":", seq, ",\"t\":", MonotonicNs(), ",\"pad\":\"");
  if (bytes > text.size() + 2) text.append(bytes - text.size() - 2, 'x');
  text += "\"}";
  return text;
}

std::unique_ptr<Publisher> MakeWebSocketPublisher(const Target& target) {
  return std::make_unique<WebSocketPublisher>(target);
}

std::unique_ptr<Publisher> MakeHttpPublisher(const Target& target) {
  return std::make_unique<HttpPublisher>(target);
}

std::unique_ptr<Publisher> MakeNatsPublisher(const Target& target, const std::string& subject) {
  return std::make_unique<NatsPublisher>(target, subject);
}

std::unique_ptr<Publisher> MakeStreamPublisher(const std::string& server,
                                               const std::string& service, const ChannelMix* mix) {
  return std::make_unique<StreamPublisher>(server, service, mix);
}

std::unique_ptr<Publisher> MakeUnaryPublisher(const std::string& server, const std::string& service,
                                              const ChannelMix* mix) {
  return std::make_unique<UnaryPublisher>(server, service, mix);
}

}  // namespace fanwire::bench
