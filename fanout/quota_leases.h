// QuotaLeases holds this worker's leases of the services' connection quotas: it asks control for
// more or fewer connections, and gives what control grants to the sessions that wait.
//
// Threading: loop-confined.
// Ownership: borrows link, services and sessions.  A session that waits calls StopWaiting() before
//            it is destroyed.
// Cost:      a message when the number wanted has changed.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "fanout/control_link.h"
#include "fanout/service_ports.h"

namespace fanwire::v1 {
class Hello;
class SlotGrants;
class SlotRequest;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class QuotaLeases {
 public:
  QuotaLeases(ControlLink* link, const ServicePorts* ports) : link_(link), ports_(ports) {}
  QuotaLeases(const QuotaLeases&) = delete;
  QuotaLeases& operator=(const QuotaLeases&) = delete;

  // As Upstream's functions: the session waits for a connection of its service's quota.
  void WaitForSlot(Session* session);
  void StopWaiting(Session* session);

  // Tells control how many connections the service wants, if that has changed and control is there.
  void Ask(Service* service);
  void AskForAll();
  // The same after an attachment has begun: whatever was asked before must be asked again.
  void AskAnew();

  // Tells control what is held, so that it can count it as leased.
  void FillHello(v1::Hello* hello) const;

  void OnGrants(const v1::SlotGrants& grants);

 private:
  static void Fill(Service* service, v1::SlotRequest* request);

  ControlLink* const link_;
  const ServicePorts* const ports_;
  std::map<std::string, std::deque<Session*>> waiters_;  // by service
};

}  // namespace fanwire::fanout
