# add_isa_kernels(<library> <isa> <source> <flags>...): one object per instruction set, with its own flags.
# The objects are listed in the global property CORTENSOR_ISA_OBJECTS so that tests/lint can inspect their symbols.
function(add_isa_kernels library isa source)
  set(object ${library}_${isa})
  add_library(${object} OBJECT ${source})
  target_include_directories(${object} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${object} PRIVATE cortensor_warnings)
  target_compile_options(${object} PRIVATE ${ARGN})
  target_link_libraries(${library} PRIVATE ${object})
  set_property(GLOBAL APPEND PROPERTY CORTENSOR_ISA_OBJECTS ${object})
endfunction()
