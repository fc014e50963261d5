// The wsctl program: parses the arguments, runs the command and returns the exit code.
//
// Threading: main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/invocation.h"

namespace fanwire::cli {

// Makes the tree of all commands.  Parsing writes the global flags into `options`, which must
// outlive the tree.
std::unique_ptr<CommandTree> MakeCommandTree(GlobalOptions* options);

// Makes gRPC clients of the control at `target`.  No connection is made before the first call.
absl::StatusOr<Clients> ConnectOverGrpc(const ServerTarget& target, const GlobalOptions& options);

// Runs `wsctl ARGUMENTS…` and returns its exit code.
int RunApp(const std::vector<std::string>& arguments, const World& world);

// Runs wsctl with the arguments, streams and environment of this process.
int Main(int argc, char** argv);

}  // namespace fanwire::cli
