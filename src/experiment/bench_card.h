// The machine a benchmark ran on: what it is, the state it was in, and the rates it reaches.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "core/config.h"
#include "experiment/bench_clock.h"
#include "experiment/bench_cost.h"

namespace linden {

struct CardState {
  std::string device;                 // "NVIDIA H100 80GB HBM3", or the CPU's model
  std::string libtorch, cuda, cudnn;  // versions; empty: none
  // nvidia-smi right after the rates and at the end: clocks now and at most, power now and allowed, temperature, driver; empty
  // where there is none.
  std::string clocks_before, clocks_after;
};
void visit_fields(FieldVisitor& v, CardState& c);

CardState card_state(at::Device device);  // without clocks
// One line of nvidia-smi about that card; empty on a CPU or without the program.
std::string clocks_and_power(at::Device device);

// One GB moved is one GB read or one GB written. `megabytes` (1e6 bytes) are copied from one tensor to another.
double measure_copy_rate(const DeviceClock& clock, int64_t megabytes);
// TFLOP/s of [m, k] times [k, n] on random data.
double measure_gemm_rate(const DeviceClock& clock, int64_t m, int64_t n, int64_t k, at::ScalarType dtype);

at::ScalarType bench_dtype_of(const std::string& name);  // bfloat16, float16, float32

}  // namespace linden
