// What control asks a worker about its sessions: lists of connections and rooms, and orders to
// close some.
//
// Threading: loop-confined.
#pragma once

#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "fanout/service_ports.h"

namespace fanwire::v1 {
class Query;
class WorkerItem;
}  // namespace fanwire::v1

namespace fanwire::fanout {

// Answers with one or more QueryReply items, the last of which says so.
void AnswerQuery(const v1::Query& query, absl::string_view worker_id, const ServicePorts& ports,
                 absl::FunctionRef<void(std::unique_ptr<v1::WorkerItem>)> send);

}  // namespace fanwire::fanout
