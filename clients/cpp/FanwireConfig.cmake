# find_package(Fanwire) gives the target Fanwire::publisher.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(absl CONFIG)
find_dependency(Protobuf)  # for gRPC; Debian's has no CMake config: CMake's own module finds it
find_dependency(gRPC CONFIG)
include(${CMAKE_CURRENT_LIST_DIR}/FanwireTargets.cmake)
