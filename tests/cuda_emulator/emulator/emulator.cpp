#include "tests/cuda_emulator/emulator/emulator.h"

#include <fmt/format.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"

namespace linden::emulator {
namespace {

constexpr size_t kStackBytes = 256 * 1024;  // of a fiber; touched pages only count
constexpr int kWarp = 32;

int64_t launches = 0;

class Block;
thread_local Block* block = nullptr;  // the one that this thread of the system runs

// What the lanes of a warp brought to what they do together.
struct Warp {
  const void* in[kWarp];
  void* out[kWarp];
  int arrived = 0;
};

struct Copy {
  void* to;
  const void* from;
  bool valid;
  int group;
};

enum class State { kRunnable, kAtWarp, kAtBlock, kDone };

struct Fiber {
  State state;
  bool started;
  jmp_buf context;
  ucontext_t start;
  std::vector<Copy> copies;
  int groups;  // of copies that were committed, so far
};

// The fibers of one block, reused from block to block.
class Block {
 public:
  Block(unsigned threads, size_t shared_bytes) : fibers_(threads), warps_((threads + kWarp - 1) / kWarp), shared_(shared_bytes + 16) {
    stacks_ = static_cast<unsigned char*>(mmap(nullptr, threads * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    check(stacks_ != MAP_FAILED, "{} stacks of {} bytes: no memory", threads, kStackBytes);
  }
  ~Block() { munmap(stacks_, fibers_.size() * kStackBytes); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void run(dim3 grid, uint3 index, const std::function<void()>& kernel) {
    block = this;
    kernel_ = &kernel;
    error_.clear();
    std::fill(shared_.begin(), shared_.end(), 0xff);
    for (Warp& warp : warps_) warp.arrived = 0;
    done_ = waiting_ = 0;
    for (Fiber& fiber : fibers_) fiber.state = State::kRunnable, fiber.started = false, fiber.groups = 0;
    position.block = index;
    position.block_size = dim3(size());
    position.grid_size = grid;
    if (_setjmp(main_) == 0) resume(device().falling ? size() - 1 : 0);
    check(error_.empty(), "emulated kernel, block ({}, {}): {}", index.x, index.y, error_);
  }

  void sync_block() {
    fibers_[current_].state = State::kAtBlock;
    ++waiting_;
    leave();
  }
  void with_warp(const void* in, void* out, Combine combine) {
    const unsigned first = current_ / kWarp * kWarp;
    Warp& warp = warps_[current_ / kWarp];
    warp.in[current_ % kWarp] = in;
    warp.out[current_ % kWarp] = out;
    if (++warp.arrived < kWarp) {
      fibers_[current_].state = State::kAtWarp;
      return leave();
    }
    combine(warp.in, warp.out);
    warp.arrived = 0;
    for (unsigned lane = first; lane < first + kWarp; ++lane) fibers_[lane].state = State::kRunnable;
  }
  Fiber& running() { return fibers_[current_]; }
  unsigned char* shared() { return shared_.data() + (16 - reinterpret_cast<uintptr_t>(shared_.data()) % 16) % 16; }
  size_t shared_bytes() const { return shared_.size() - 16; }
  unsigned size() const { return static_cast<unsigned>(fibers_.size()); }

  Position position;

 private:
  static void enter() {
    try {
      (*block->kernel_)();
    } catch (const std::exception& error) {  // of the emulator: an address outside, say
      block->error_ = fmt::format("thread {}: {}", block->current_, error.what());
      _longjmp(block->main_, 1);
    }
    block->running().copies.clear();
    block->running().state = State::kDone;
    ++block->done_;
    block->next();
  }
  void leave() {
    if (_setjmp(fibers_[current_].context) == 0) next();
  }
  // To a fiber that can run: of the same warp first.
  [[noreturn]] void next() {
    const unsigned first = current_ / kWarp * kWarp, lanes = std::min<unsigned>(kWarp, size() - first);
    for (unsigned i = 1; i < lanes; ++i) {
      const unsigned other = first + (device().falling ? current_ % kWarp + lanes - i : current_ % kWarp + i) % lanes;
      if (fibers_[other].state == State::kRunnable) resume(other);
    }
    for (unsigned i = 1; i <= size(); ++i) {
      const unsigned other = (device().falling ? current_ + size() - i : current_ + i) % size();
      if (fibers_[other].state == State::kRunnable) resume(other);
    }
    if (done_ == size()) _longjmp(main_, 1);
    if (waiting_ + done_ < size()) {  // some wait for their warp, whose other lanes have left or wait for the block
      for (unsigned i = 0; i < size(); ++i)
        if (fibers_[i].state == State::kAtWarp) {
          error_ = fmt::format("thread {} waits for its warp, of which {} of 32 lanes came; the others have ended or wait for the block", i,
                               warps_[i / kWarp].arrived);
          break;
        }
      _longjmp(main_, 1);
    }
    for (Fiber& fiber : fibers_)
      if (fiber.state == State::kAtBlock) fiber.state = State::kRunnable;
    waiting_ = 0;
    for (unsigned i = 0; i < size(); ++i) {
      const unsigned other = device().falling ? size() - 1 - i : i;
      if (fibers_[other].state == State::kRunnable) resume(other);
    }
    std::terminate();  // not reached: some thread waited
  }
  [[noreturn]] void resume(unsigned index) {
    current_ = index;
    position.thread = {index, 0, 0};
    Fiber& fiber = fibers_[index];
    if (fiber.started) _longjmp(fiber.context, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = stacks_ + index * kStackBytes;
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, &Block::enter, 0);
    setcontext(&fiber.start);
    std::terminate();
  }

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::vector<unsigned char> shared_;
  unsigned char* stacks_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  jmp_buf main_;
  unsigned current_ = 0, done_ = 0, waiting_ = 0;
  std::string error_;
};

float bf16_to_float(uint32_t bits) { return __uint_as_float(bits << 16); }

// The 8 x 8 matrices that the lanes' rows make.
struct Matrices {
  uint16_t at[4][8][8];
  explicit Matrices(const void* const (&in)[32]) {
    for (int lane = 0; lane < 32; ++lane) std::memcpy(at[lane / 8][lane % 8], block->shared() + *static_cast<const uint32_t*>(in[lane]), 16);
  }
};

void read_matrices(uint32_t (&r)[4], uint32_t row, Combine combine) {
  check(row % 16 == 0 && row + 16 <= block->shared_bytes(), "ldmatrix: address {} of {} bytes of shared memory; wanted: a multiple of 16 within", row,
        block->shared_bytes());
  with_warp(&row, r, combine);
}

}  // namespace

Device& device() {
  static Device device;
  return device;
}
const Position& position() { return block->position; }
unsigned char* shared_memory() { return block->shared(); }
void sync_block() { block->sync_block(); }
void with_warp(const void* in, void* out, Combine combine) { block->with_warp(in, out, combine); }

void copy_later(void* to, const void* from, bool valid) {
  const auto offset = static_cast<unsigned char*>(to) - block->shared();
  check(offset >= 0 && offset % 16 == 0 && offset + 16 <= static_cast<ptrdiff_t>(block->shared_bytes()) && reinterpret_cast<uintptr_t>(from) % 16 == 0,
        "cp.async: to {} of {} bytes of shared memory, from {}; wanted: multiples of 16 within", offset, block->shared_bytes(), from);
  std::memset(to, 0xff, 16);
  block->running().copies.push_back({to, from, valid, block->running().groups});
}
void commit_copies() { ++block->running().groups; }
void finish_copies(int groups_left) {
  Fiber& fiber = block->running();
  std::erase_if(fiber.copies, [&](const Copy& copy) {
    if (groups_left > 0 && copy.group >= fiber.groups - groups_left) return false;
    if (copy.valid) std::memcpy(copy.to, copy.from, 16);
    else std::memset(copy.to, 0, 16);
    return true;
  });
}

int64_t num_launches() { return launches; }

cudaError_t run_grid(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& kernel) {
  if (shared_bytes > device().shared_memory || threads == 0 || threads > 1024 || grid.x == 0 || grid.y > 65535) return cudaErrorInvalidValue;
  ++launches;
  const unsigned blocks = grid.x * grid.y;
  std::atomic<unsigned> taken = 0;
  std::exception_ptr error;
  std::mutex mutex;
  const auto work = [&] {
    try {
      Block own(threads, shared_bytes);
      for (unsigned i = taken++; i < blocks; i = taken++) own.run(grid, {i % grid.x, i / grid.x, 0}, kernel);
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      taken = blocks;
    }
  };
  std::vector<std::thread> pool;
  const unsigned workers = std::min(blocks, std::max(1u, std::thread::hardware_concurrency()));
  for (unsigned i = 0; i < workers; ++i) pool.emplace_back(work);  // never the caller's: a kernel's thread-local memory ends with it
  for (std::thread& thread : pool) thread.join();
  if (error) std::rethrow_exception(error);
  return cudaSuccess;
}

cudaError_t attribute(int* value, cudaDeviceAttr which) {
  switch (which) {
    case cudaDevAttrMultiProcessorCount: *value = device().multiprocessors; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor: *value = device().compute_capability; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(device().shared_memory) + 1024; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(device().shared_memory); return cudaSuccess;
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace linden::emulator

namespace linden::cuda {

using emulator::bf16_to_float;

// PTX ISA, "ldmatrix": lane 4 i + j has elements 2 j and 2 j + 1 of row i.
void load_matrices(uint32_t (&r)[4], uint32_t row) {
  emulator::read_matrices(r, row, [](const void* const(&in)[32], void* const(&out)[32]) {
    const emulator::Matrices m(in);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) std::memcpy(static_cast<uint32_t*>(out[lane]) + i, &m.at[i][lane / 4][lane % 4 * 2], 4);
  });
}
void load_matrices_transposed(uint32_t (&r)[4], uint32_t row) {
  emulator::read_matrices(r, row, [](const void* const(&in)[32], void* const(&out)[32]) {
    const emulator::Matrices m(in);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i)
        static_cast<uint32_t*>(out[lane])[i] = m.at[i][lane % 4 * 2][lane / 4] | static_cast<uint32_t>(m.at[i][lane % 4 * 2 + 1][lane / 4]) << 16;
  });
}

// PTX ISA, "mma.m16n8k16", .bf16: the fragments' layout. Lane 4 g + t.
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct In {
    const uint32_t* a;
    uint32_t b[2];
  } in{a, {b0, b1}};
  emulator::with_warp(&in, c, [](const void* const(&in)[32], void* const(&out)[32]) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane) {
      const In& own = *static_cast<const In*>(in[lane]);
      const int g = lane / 4, t = lane % 4;
      for (int half = 0; half < 2; ++half)
        for (int e = 0; e < 2; ++e) {
          a[g][8 * half + 2 * t + e] = bf16_to_float(own.a[2 * half] >> 16 * e & 0xffff);
          a[g + 8][8 * half + 2 * t + e] = bf16_to_float(own.a[2 * half + 1] >> 16 * e & 0xffff);
          b[8 * half + 2 * t + e][g] = bf16_to_float(own.b[half] >> 16 * e & 0xffff);
        }
    }
    for (int row = 0; row < 16; ++row) {
      double sum[8] = {};
      for (int k = 0; k < 16; ++k)
        for (int n = 0; n < 8; ++n) sum[n] += static_cast<double>(a[row][k]) * b[k][n];
      for (int n = 0; n < 8; ++n) {
        float& c = static_cast<float*>(out[row % 8 * 4 + n / 2])[row / 8 * 2 + n % 2];
        c = static_cast<float>(c + sum[n]);
      }
    }
  });
}

}  // namespace linden::cuda
