# The same bits everywhere: no contraction of a*b+c into an fma that the text does not write, no fast-math,
# and no implicit wide intermediates. Applied to the whole tree, so no target can forget it.
add_compile_options(-ffp-contract=off -fno-fast-math -fno-math-errno)
