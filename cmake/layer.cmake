# One CMake library per layer, listing what it may use; tests link a layer and what lies below, nothing else.

# add_layer(<name> SOURCES ... [USES <our layers>...] [LIBRARIES <third party>...])
function(add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBRARIES" ${ARGN})
  list(TRANSFORM ARG_USES PREPEND cortensor_)
  if(ARG_SOURCES)
    add_library(cortensor_${name} STATIC ${ARG_SOURCES})
    target_include_directories(cortensor_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(cortensor_${name} PUBLIC ${ARG_USES} PRIVATE cortensor_warnings ${ARG_LIBRARIES})
  else()
    add_library(cortensor_${name} INTERFACE)
    target_include_directories(cortensor_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(cortensor_${name} INTERFACE ${ARG_USES} ${ARG_LIBRARIES})
  endif()
endfunction()

# add_layer_tests(<name> SOURCES ... [USES ...] [LIBRARIES ...] [LABELS ...] [TIMEOUT seconds]): one GoogleTest
# program per layer, one CTest entry per test case group (program), so that a stray symbol fails to link.
function(add_layer_tests name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;USES;LIBRARIES;LABELS" ${ARGN})
  list(TRANSFORM ARG_USES PREPEND cortensor_)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_USES} ${ARG_LIBRARIES} cortensor_warnings GTest::gmock GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
                       DISCOVERY_TIMEOUT 60)
endfunction()
