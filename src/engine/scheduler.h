// Continuous batching as a pure function: who computes how many rows in the next forward pass.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace cortensor::engine {

// Shares `budget` rows among sequences; pending[i] is the number of rows that sequence i could compute now (a
// sequence that decodes has one, a prompt has all of its remaining positions). Returns the rows each one
// gets.
//
// The budget is filled like water into vessels: nobody gets more than it can use, and nobody is given a row
// less than another one unless it has no use for it (one row is the finest step; earlier sequences come first
// in it). So decodes are always served before prompts, short prompts get through beside long ones, and nobody
// starves while budget >= pending.size().
std::vector<std::size_t> share_rows(std::span<const std::size_t> pending, std::size_t budget);

}  // namespace cortensor::engine
