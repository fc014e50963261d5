// The program: arguments to exit code.
//
// Threading: main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/invocation.h"

namespace fanwire::cli {

// The whole command tree; global flags go to `options`, which must outlive it.
std::unique_ptr<CommandTree> MakeCommandTree(GlobalOptions* options);

// Clients over gRPC; dials nothing yet.
absl::StatusOr<Clients> ConnectOverGrpc(const ServerTarget& target, const GlobalOptions& options);

// Runs `wsctl ARGUMENTS…` and returns its exit code.
int RunApp(const std::vector<std::string>& arguments, const World& world);

// The process's own world and arguments.
int Main(int argc, char** argv);

}  // namespace fanwire::cli
