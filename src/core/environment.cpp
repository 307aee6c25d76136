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

namespace linden {
namespace {

namespace fs = std::filesystem;

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return "";
  char buffer[256];
  while (const size_t count = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, count);
  if (pclose(pipe) != 0) return "";
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

// The commit that was built in, else that of the repository that holds the binary, else of the working directory.
std::string source_commit() {
#if defined(LINDEN_COMMIT)
  return LINDEN_COMMIT;
#else
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  for (const std::string& folder : {binary.parent_path().string(), std::string(".")}) {
    if (folder.empty() || folder.find('\'') != std::string::npos) continue;
    const std::string commit =
        output_of("git -C '" + folder + "' describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null");
    if (!commit.empty()) return commit;
  }
  return "";
#endif
}

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
