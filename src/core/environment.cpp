#include "core/environment.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <cstdio>
#include <filesystem>

#if defined(LINDEN_HAS_CUDA)
#include <cuda_runtime_api.h>
#endif

#include "core/device.h"
#include <linden_commit.h>  // written by the build

namespace linden {
namespace {

namespace fs = std::filesystem;

// The commit that was built in, else that of the repository that holds the binary, else of the working directory.
std::string source_commit() { return kBuiltFromCommit; }

std::string cuda_version() {
#if defined(LINDEN_HAS_CUDA)
  return fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100);
#else
  return "";
#endif
}

}  // namespace

void visit_fields(FieldVisitor& v, Environment& e) {
  visit(v, Field("version", "linden's version"), e.version);
  visit(v, Field("commit", "commit of the sources; -dirty: with changes"), e.commit);
  visit(v, Field("compiler", "C++ compiler"), e.compiler);
  visit(v, Field("build_type", "optimised or debug"), e.build_type);
  visit(v, Field("libtorch", "LibTorch version"), e.libtorch);
  visit(v, Field("cuda", "CUDA version of the build; empty: none"), e.cuda);
  visit(v, Field("cards", "GPUs"), e.cards);
  visit(v, Field("cpu", "CPU model"), e.cpu);
  visit(v, Field("cores", "cores that the process may use"), e.cores);
  visit(v, Field("threads", "CPU threads of the run"), e.threads);
}

Environment current_environment() {
  Environment e;
#if defined(LINDEN_VERSION)
  e.version = LINDEN_VERSION;
#else
  e.version = "0.1.0";
#endif
  e.commit = source_commit();
  e.compiler = __VERSION__;
#if defined(NDEBUG) || defined(__OPTIMIZE__)
  e.build_type = "optimised";
#else
  e.build_type = "debug";
#endif
  e.libtorch = TORCH_VERSION;
  e.cuda = cuda_version();
  const int64_t num_cards = at::hasCUDA() ? static_cast<int64_t>(torch::cuda::device_count()) : 0;
  for (int64_t i = 0; i < num_cards; ++i) e.cards.push_back(device_name(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(i))));
  e.cpu = device_name(at::Device(at::kCPU));
  e.cores = available_cores();
  e.threads = at::get_num_threads();
  return e;
}

}  // namespace linden
