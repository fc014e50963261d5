#include "fanout/quota_leases.h"

#include <memory>
#include <utility>

#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

void QuotaLeases::WaitForSlot(Session* session) {
  Service* const service = session->service();
  waiters_[service->name()].push_back(session);
  service->slots().AddWaiter();
  Ask(service);
}

void QuotaLeases::StopWaiting(Session* session) {
  std::deque<Session*>& waiters = waiters_[session->service()->name()];
  if (std::erase(waiters, session) > 0) session->service()->slots().RemoveWaiter();
}

void QuotaLeases::Ask(Service* service) {
  const uint32_t want = service->slots().Wanted(service->settings().max_connections);
  if (want == 0) return;
  if (!link_->attached()) return service->slots().Reset();
  auto item = std::make_unique<v1::WorkerItem>();
  Fill(service, item->mutable_slot_request());
  item->mutable_slot_request()->set_want(want);
  link_->Send(std::move(item));
}

void QuotaLeases::AskForAll() {
  for (Service* const service : ports_->services()) Ask(service);
}

void QuotaLeases::AskAnew() {
  for (Service* const service : ports_->services()) {
    service->slots().Reset();
    Ask(service);
  }
}

void QuotaLeases::FillHello(v1::Hello* hello) const {
  for (Service* const service : ports_->services()) {
    if (service->slots().held() == 0) continue;
    v1::SlotRequest* const slots = hello->add_slots();
    slots->set_service(service->name());
    slots->set_want(service->slots().held());
    slots->set_in_use(service->slots().in_use());
  }
}

void QuotaLeases::OnGrants(const v1::SlotGrants& grants) {
  for (const v1::SlotGrant& grant : grants.grants()) {
    Service* const service = ports_->Find(grant.service());
    if (service == nullptr) continue;
    if (service->slots().Grant(grant.slots())) {
      // Control took connections back, and waits to hear how many are still in use.
      auto item = std::make_unique<v1::WorkerItem>();
      Fill(service, item->mutable_slot_request());
      item->mutable_slot_request()->set_want(service->slots().held());
      item->mutable_slot_request()->set_confirms(true);
      link_->Send(std::move(item));
    }
    std::deque<Session*>& waiters = waiters_[service->name()];
    while (!waiters.empty() && service->slots().Take()) {
      Session* const session = waiters.front();
      waiters.pop_front();
      service->slots().RemoveWaiter();
      session->OnSlot();
    }
    Ask(service);
  }
}

void QuotaLeases::Fill(Service* service, v1::SlotRequest* request) {
  request->set_service(service->name());
  request->set_in_use(service->slots().in_use());
  request->set_waiting(service->slots().waiting());
}

}  // namespace fanwire::fanout
