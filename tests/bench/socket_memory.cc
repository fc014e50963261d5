#include "tests/bench/socket_memory.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace fanwire::bench {
namespace {

// Data of a socket is counted once, though the clones under way share it: WMEM_ALLOC is left out.
int64_t Sum(const uint32_t* meminfo) {
  return int64_t{meminfo[SK_MEMINFO_RMEM_ALLOC]} + meminfo[SK_MEMINFO_WMEM_QUEUED] +
         meminfo[SK_MEMINFO_FWD_ALLOC] + meminfo[SK_MEMINFO_OPTMEM] + meminfo[SK_MEMINFO_BACKLOG];
}

bool Ask(int fd) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message = {};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.request.sdiag_family = AF_INET;
  message.request.sdiag_protocol = IPPROTO_TCP;
  message.request.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
  message.request.idiag_states = ~0U;
  return send(fd, &message, sizeof message, 0) == static_cast<ssize_t>(sizeof message);
}

}  // namespace

std::map<Endpoint, int64_t> SocketMemoryByPeer(int port) {
  std::map<Endpoint, int64_t> found;
  const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return found;
  bool going_on = Ask(fd);
  std::vector<uint32_t> buffer(64 * 1024);
  while (going_on) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size() * sizeof(uint32_t), 0);
    if (got <= 0) break;
    auto left = static_cast<uint32_t>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) {  // the end, or an error
        going_on = false;
        break;
      }
      auto* socket = static_cast<inet_diag_msg*>(NLMSG_DATA(header));
      if (ntohs(socket->id.idiag_sport) != port) continue;
      uint32_t length = header->nlmsg_len - NLMSG_LENGTH(sizeof *socket);
      for (auto* attribute = reinterpret_cast<rtattr*>(socket + 1); RTA_OK(attribute, length);
           attribute = RTA_NEXT(attribute, length)) {
        if (attribute->rta_type != INET_DIAG_SKMEMINFO) continue;
        uint32_t meminfo[SK_MEMINFO_VARS] = {};
        std::memcpy(meminfo, RTA_DATA(attribute),
                    std::min(sizeof meminfo, size_t{RTA_PAYLOAD(attribute)}));
        found[{ntohl(socket->id.idiag_dst[0]), ntohs(socket->id.idiag_dport)}] = Sum(meminfo);
      }
    }
  }
  close(fd);
  return found;
}

}  // namespace fanwire::bench
