// The command line of fanwire-control.
//
// Threading: pure functions and a value.
#pragma once

#include "control/server.h"

namespace fanwire::control {

struct ControlFlags {
  ServerOptions server;
  bool check_config = false;
  bool json = false;  // with check_config: the result as JSON
  bool print_catalog = false;
};

// Reads the command line.  Sets `*exit` to -1 if the program should go on.  After --help, --version
// or an error the text has been printed, and `*exit` is the exit code.
ControlFlags ParseFlags(int argc, char** argv, int* exit);

}  // namespace fanwire::control
