// ResponderStreams serves the ServeRequests calls of responders: it reads their messages for
// RequestDispatcher and writes what that has for them.
//
// Threading: safe from every thread; calls run on gRPC's callback threads and never block them.
//            One write is in flight for each call; what queues meanwhile leaves together.
// Ownership: borrows the dispatcher.  A call lives until gRPC is done with it and the dispatcher
//            has let go of it.  gRPC must be done with all calls before this is destroyed.
// Cost:      what waits to be written to a responder is bounded by the number of requests that it
//            may have without an answer.
// Source:    proto/fanwire/v1/publish.proto ServeRequests
#pragma once

namespace grpc {
class ByteBuffer;
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace fanwire::control {

class RequestDispatcher;

class ResponderStreams {
 public:
  explicit ResponderStreams(RequestDispatcher* dispatcher) : dispatcher_(dispatcher) {}
  ResponderStreams(const ResponderStreams&) = delete;
  ResponderStreams& operator=(const ResponderStreams&) = delete;

  // Begins a call.
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Open();

 private:
  class Call;

  RequestDispatcher* const dispatcher_;
};

}  // namespace fanwire::control
