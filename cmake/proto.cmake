# Protobuf and gRPC code from proto/: generated into the build tree, compiled without our warnings, included as system
# headers, visible to wire/ and its tests only.
find_package(Protobuf REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(GRPCPP REQUIRED IMPORTED_TARGET grpc++>=1.51)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

# add_proto_library(<name> <path below proto/>)
function(add_proto_library name file)
  set(generated ${CMAKE_BINARY_DIR}/proto)
  string(REGEX REPLACE "\\.proto$" "" stem ${file})
  set(sources ${generated}/${stem}.pb.cc ${generated}/${stem}.grpc.pb.cc)
  add_custom_command(
    OUTPUT ${sources} ${generated}/${stem}.pb.h ${generated}/${stem}.grpc.pb.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}
    COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/proto --cpp_out=${generated} --grpc_out=${generated}
            --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${file}
    DEPENDS ${CMAKE_SOURCE_DIR}/proto/${file}
    VERBATIM)
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${generated})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf PkgConfig::GRPCPP)
endfunction()
