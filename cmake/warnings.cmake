# Warnings are errors; linked by every target of ours, never by generated code.
add_library(cortensor_warnings INTERFACE)
target_compile_options(cortensor_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror)
