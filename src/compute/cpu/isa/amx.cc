// AVX-512 with AMX int8 tiles for the products of several tokens.
#include "compute/cpu/kernel_table.h"
#include "compute/cpu/lanes/avx512_segments.h"
// The algorithms, over the lanes above.
#include "compute/cpu/generic/kernels.inc"
// Those of the matrix unit, over both.
#include "compute/cpu/isa/amx_blocks.h"
#include "compute/cpu/isa/amx_segments.h"

namespace cortensor::compute {

const KernelTable* amx_kernels() {
  static constexpr KernelTable kTable = [] {
    KernelTable table = make_table("amx");
    table.large_tile_tokens = kLeastBlockTokens;
    kernel_of(table, WeightType::q8_0) = matmul_blocks_amx<ByteBlocks>;
    kernel_of(table, WeightType::q4_0) = matmul_blocks_amx<NibbleBlocks>;
    kernel_of(table, WeightType::q4_1) = matmul_blocks_amx<BlocksQ41>;
    kernel_of(table, WeightType::q5_0) = matmul_blocks_amx<BlocksQ50>;
    kernel_of(table, WeightType::q5_1) = matmul_blocks_amx<BlocksQ51>;
    kernel_of(table, WeightType::q2_k) = matmul_blocks_amx<BlocksQ2K>;
    kernel_of(table, WeightType::q3_k) = matmul_blocks_amx<BlocksQ3K>;
    kernel_of(table, WeightType::q4_k) = matmul_blocks_amx<BlocksQ4K>;
    kernel_of(table, WeightType::q5_k) = matmul_blocks_amx<BlocksQ5K>;
    kernel_of(table, WeightType::q6_k) = matmul_blocks_amx<BlocksQ6K>;
    table.segment_tile = kTile;
    table.matmul_s8 = matmul_segments_amx<S8Segment, S8Tiles>;
    table.matmul_s4 = matmul_segments_amx<S4Segment, S4Tiles>;
    return table;
  }();
  return &kTable;
}

}  // namespace cortensor::compute
