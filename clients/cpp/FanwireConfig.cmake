# find_package(Fanwire) gives the target Fanwire::publisher, and fanwire_add_broadcaster().
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(absl CONFIG)
find_dependency(Protobuf)  # for gRPC; Debian's has no CMake config: CMake's own module finds it
find_dependency(gRPC CONFIG)
include(${CMAKE_CURRENT_LIST_DIR}/FanwireTargets.cmake)

# Where fanwire/catalog/v1/options.proto is.
get_target_property(Fanwire_PROTO_DIR Fanwire::publisher INTERFACE_INCLUDE_DIRECTORIES)
get_filename_component(Fanwire_PROTO_DIR "${Fanwire_PROTO_DIR}/../share/fanwire/proto" ABSOLUTE)

# fanwire_add_broadcaster(TARGET FILE.proto)
#
# Adds to TARGET a class with a function for each event that the file describes.  With
# `package acme.billing;` in the file that is BillingBroadcaster of "fanwire/catalog/billing.h".  The
# file's descriptors, for `catalog_files` of the configuration, are then in
# ${CMAKE_CURRENT_BINARY_DIR}/fanwire/billing.binpb.
function(fanwire_add_broadcaster target proto)
  get_filename_component(file ${proto} ABSOLUTE)
  get_filename_component(folder ${file} DIRECTORY)
  file(STRINGS ${file} package REGEX "^package +[A-Za-z0-9_.]+ *;" LIMIT_COUNT 1)
  string(REGEX REPLACE "^package +([A-Za-z0-9_]+[.])*([A-Za-z0-9_]+).*" "\\2" name "${package}")
  if(name STREQUAL "")
    message(FATAL_ERROR "fanwire_add_broadcaster: ${proto} has no line `package NAME;`")
  endif()
  set(out ${CMAKE_CURRENT_BINARY_DIR}/fanwire)
  set(headers ${out}/include/fanwire/catalog)
  file(MAKE_DIRECTORY ${headers} ${out}/src)
  add_custom_command(
    OUTPUT ${headers}/${name}.h ${out}/src/${name}.cc ${out}/${name}.binpb
    COMMAND ${Protobuf_PROTOC_EXECUTABLE} -I ${Fanwire_PROTO_DIR} -I ${folder}
            --include_imports --include_source_info --descriptor_set_out=${out}/${name}.binpb ${file}
    COMMAND Fanwire::catalog_generator ${out}/${name}.binpb ${headers} ${out}/src
    DEPENDS ${file}
    VERBATIM)
  target_sources(${target} PRIVATE ${out}/src/${name}.cc ${headers}/${name}.h)
  target_include_directories(${target} PRIVATE ${out}/include)
  target_link_libraries(${target} PRIVATE Fanwire::publisher)
endfunction()
