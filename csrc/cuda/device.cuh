// What the kernels use of the device beyond CUDA C++: launches, dynamic shared memory, asynchronous copies, tensor cores. All inline
// PTX that computes stands here, so that tests/cuda_emulator can run the same kernels on a processor without a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#ifndef LINDEN_CUDA_EMULATOR

namespace linden::cuda {

template <class... Params, class... Arguments>
cudaError_t launch_kernel(void (*kernel)(Params...), dim3 grid, unsigned threads, size_t shared_bytes, cudaStream_t stream, const Arguments&... arguments) {
  kernel<<<grid, threads, shared_bytes, stream>>>(arguments...);
  return cudaGetLastError();
}

// The block's dynamic shared memory, at a multiple of 16 bytes.
__device__ inline unsigned char* dynamic_shared_memory() {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return dynamic_shared;
}
__device__ inline uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// 16 bytes from global to shared memory without registers; zeros where not `valid`.
__device__ inline void copy_piece(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
// This thread's copies have arrived: all, or all but those that it began after its last commit_copies() but one.
__device__ inline void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ inline void finish_copies_but_last() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }

// Four 8x8 matrices of 16-bit elements; `row`: the shared address of the 16 bytes that this lane points to. Matrix i has the rows of
// lanes 8 i .. 8 i + 7; a lane gets two neighbours of row lane / 4, or of column lane / 4 when transposed.
__device__ inline void load_matrices(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}
// c [16, 8] += a [16, 16] b [16, 8] of bf16, sums in fp32.
__device__ inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// __syncthreads() of warps that stand at different places of a kernel.
__device__ inline void sync_from_anywhere() { asm volatile("bar.sync 0;" ::: "memory"); }

}  // namespace linden::cuda

#endif
