// Finds out which of the three standard streams a shell left closed (`<&-`, `>&-`, `2>&-`).
//
// Threading: call it first in main().
#pragma once

namespace fanwire::cli {

// Which streams can be used: standard input can be read, the others can be written.
struct StandardStreams {
  bool input = false;
  bool results = false;  // standard output
  bool notes = false;    // standard error
};

// Tells which of the descriptors 0, 1 and 2 can be used.
//
// A program that links this file replaces closed ones at its very start by descriptors that can
// neither be read nor written.  Otherwise the next file or socket that a library opens would get
// such a number, and wsctl would read its input from there or write its results into it.
StandardStreams CheckStandardStreams();

}  // namespace fanwire::cli
