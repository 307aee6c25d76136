#include "experiment/sample_file.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/logging.h"
#include "io/hdf5.h"

namespace linden {

void save_samples(const RunDirectory& run, const at::Tensor& samples, int64_t seed, const std::map<std::string, at::Tensor>& columns) {
  Hdf5Writer file(run.file("samples.h5"));
  file.write("samples", samples);
  for (const auto& [name, column] : columns) file.write(name, column.contiguous());
  file.attribute("seed", seed);
  file.close();
}

at::Tensor finished_samples(const RunDirectory& run, const std::vector<int64_t>& shape, int64_t num_samples) {
  std::vector<int64_t> none = {0};
  none.insert(none.end(), shape.begin(), shape.end());
  if (!run.resumed() || !std::filesystem::exists(run.file("samples.h5"))) return at::empty(none);
  at::Tensor samples = Hdf5Reader(run.file("samples.h5")).read("samples");
  check_input(samples.sizes().slice(1) == at::IntArrayRef(shape), "{}: samples have another shape than the prior's", run.file("samples.h5").string());
  check_input(samples.size(0) <= num_samples,
              "{}: holds {} samples already, but num_samples is {}, which would cut the others off; set num_samples to {} or more, "
              "or start another run without --resume",
              run.file("samples.h5").string(), samples.size(0), num_samples, samples.size(0));
  log_info("resumed with {} finished samples", samples.size(0));
  return samples;
}

}  // namespace linden
