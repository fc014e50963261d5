#include "cli/app.h"

int main(int argc, char** argv) { return fanwire::cli::Main(argc, argv); }
