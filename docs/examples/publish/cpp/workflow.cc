// Publishes the events of a workflow, and answers clients' requests until Enter is pressed.
// Control is found as wsctl finds it: $FANWIRE_SERVER, else the one on this machine.
#include <chrono>
#include <iostream>
#include <string>

#include "fanwire/catalog/mahavishnu.h"
#include "fanwire/responder.h"

using namespace std::chrono_literals;
namespace fw = fanwire::client;

int main(int argc, char** argv) {
  const std::string workflow = argc > 1 ? argv[1] : "wf_1";
  fw::Publisher publisher;

  // A function for each event of the catalog: what must be there is an argument, what may be there
  // has a name.
  fw::MahavishnuBroadcaster mahavishnu(&publisher);
  mahavishnu.WorkflowStarted(workflow, {.adapter = "prefect", .total_stages = 2});
  mahavishnu.WorkflowStageCompleted(workflow, "plan", fw::Json(R"({"steps": 3})"));

  // Any other event; the callback gets its receipt.
  fw::Status status =
      publisher.Publish({.service = "mahavishnu",
                         .channel = "workflow:" + workflow,
                         .event = "workflow.note",
                         .json = R"({"text": "half done"})"},
                        [](const fw::Receipt& receipt) {
                          if (receipt.ok()) {
                            std::cout << "note has offset " << receipt.offset << std::endl;
                          } else {
                            std::cout << "note was refused: " << receipt.status << std::endl;
                          }
                        });
  if (!status.ok()) std::cerr << status << std::endl;

  // Clients of mahavishnu may ask get_progress; the configuration says who.
  fw::Responder responder("mahavishnu");
  responder.Serve("get_progress", [&](const fw::Request&) {
    return fw::Response::Json(R"({"workflow_id": ")" + workflow + R"(", "percent": 50})");
  });
  status = responder.Start();
  if (!status.ok()) std::cerr << status << std::endl;
  std::cout << "answering get_progress; press Enter to complete the workflow" << std::endl;
  std::cin.get();
  responder.Stop(5s);

  mahavishnu.WorkflowCompleted(workflow, fw::Json(R"({"answer": 42})"));
  status = publisher.Close(5s);  // waits for the receipts, and tells if an event was refused
  if (!status.ok()) std::cerr << status << std::endl;
  return status.ok() ? 0 : 1;
}
