// The public reader: HDF5 works in another process (hdf5_process.h) or in this one (hdf5_file.h).
#include <ATen/ATen.h>

#include <cstring>
#include <optional>
#include <set>

#include "core/error.h"
#include "io/hdf5.h"
#include "io/hdf5_file.h"
#include "io/hdf5_process.h"

namespace linden {
namespace {

constexpr size_t kNamesShown = 20;

std::string listed(const std::set<std::string>& names) {
  std::string text = names.empty() ? "nothing" : "";
  size_t shown = 0;
  for (const auto& name : names) {
    if (shown == kNamesShown) return text + ", ...";
    text += (shown++ > 0 ? ", " : "") + name;
  }
  return text;
}

at::Tensor read_here(const Hdf5File& file, const std::string& name) {
  const Hdf5Array array = file.open(name);
  at::Tensor tensor = at::empty(array.shape, at::TensorOptions().dtype(array.dtype));
  if (array.num_bytes > 0) file.read(name, array, tensor.mutable_data_ptr());
  return tensor;
}

}  // namespace

struct Hdf5Reader::State {
  State(const std::filesystem::path& path_, Hdf5Isolation isolation) : path(path_) {
    if (isolation == Hdf5Isolation::kProcess) {
      names = process.emplace(path).names();
      return;
    }
    const auto lock = lock_hdf5();
    names = file.emplace(path).names();
  }
  ~State() {
    const auto lock = lock_hdf5();
    file.reset();
  }

  std::filesystem::path path;
  std::optional<Hdf5Process> process;  // one of the two
  std::optional<Hdf5File> file;
  std::set<std::string> names;
};

Hdf5Reader::Hdf5Reader(const std::filesystem::path& path, Hdf5Isolation isolation) : state_(std::make_unique<State>(path, isolation)) {}

Hdf5Reader::~Hdf5Reader() = default;

std::vector<std::string> Hdf5Reader::names() const { return {state_->names.begin(), state_->names.end()}; }

bool Hdf5Reader::contains(const std::string& name) const { return state_->names.contains(name); }

at::Tensor Hdf5Reader::read(const std::string& name) const {
  check_input(contains(name), "{}: holds no dataset '{}' (it holds: {})", state_->path.string(), name, listed(state_->names));
  if (state_->process) return state_->process->read(name);
  const auto lock = lock_hdf5();
  return read_here(*state_->file, name);
}

std::string Hdf5Reader::text_attribute(const std::string& name) const {
  if (state_->process) return state_->process->text_attribute(name);
  const auto lock = lock_hdf5();
  return state_->file->text_attribute(name);
}

int64_t Hdf5Reader::integer_attribute(const std::string& name) const {
  if (state_->process) return state_->process->integer_attribute(name);
  const auto lock = lock_hdf5();
  return state_->file->integer_attribute(name);
}

double Hdf5Reader::real_attribute(const std::string& name) const {
  if (state_->process) return state_->process->real_attribute(name);
  const auto lock = lock_hdf5();
  return state_->file->real_attribute(name);
}

}  // namespace linden
