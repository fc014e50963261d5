// publish_numbers publishes {"n":0}, {"n":1} … through the C++ library, for integration tests.
//
//   publish_numbers TARGET SERVICE CHANNEL COUNT LEVEL
//
// Each line that it reads lets it publish the next COUNT numbers; it answers with a line when they
// are in the buffer.  At the end of its input it waits for all receipts and prints one JSON object.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "fanwire/publisher.h"

namespace fanwire::client {
namespace {

int Run(char** argv) {
  PublisherOptions options;
  options.target = argv[1];
  options.receipt_level = static_cast<ReceiptLevel>(std::atoi(argv[5]));
  options.reconnect_first = std::chrono::milliseconds(10);
  options.reconnect_last = std::chrono::milliseconds(100);
  Publisher publisher(options);
  int next = 0;
  for (std::string line; std::getline(std::cin, line);) {
    for (int i = 0; i < std::atoi(argv[4]); ++i) {
      const std::string json = "{\"n\":" + std::to_string(next++) + "}";
      const Status status = publisher.Publish(
          {.service = argv[2], .channel = argv[3], .event = "test.number", .json = json});
      if (!status.ok()) {
        std::cerr << status << std::endl;
        return 1;
      }
    }
    std::cout << next << std::endl;
  }
  const Status status = publisher.Close(std::chrono::minutes(1));
  const PublisherStats stats = publisher.stats();
  timespec cpu = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  std::printf("{\"accepted\":%llu,\"duplicates\":%llu,\"connections\":%llu,\"cpu\":%.3f}\n",
              static_cast<unsigned long long>(stats.accepted),
              static_cast<unsigned long long>(stats.duplicates),
              static_cast<unsigned long long>(stats.connections),
              static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) * 1e-9);
  if (!status.ok()) std::cerr << status << std::endl;
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace fanwire::client

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: publish_numbers TARGET SERVICE CHANNEL COUNT LEVEL\n", stderr);
    return 2;
  }
  return fanwire::client::Run(argv);
}
