// tree.h5: the columns of a search, and what a resumed search does with them first.
#include <ATen/ATen.h>

#include <memory>

#include "align/readout.h"
#include "align/tree_file.h"
#include "core/error.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

// The search that tests/fuzz/seeds/tree.h5 belongs to.
struct Search {
  Search() {
    AlignConfig config;
    config.prior = GaussianMixturePriorConfig{};
    DdimConfig ddim;
    ddim.num_steps = 10;
    ddim.clip_sample = false;
    config.sampler = ddim;
    config.reward = MixtureRewardConfig{};
    config.method = DtsConfig{};
    config.nfe = 60;
    config.num_samples = 4;
    denoiser = load_denoiser(config.prior, config.sampler, at::kCPU);
    plan = make_plan(config, denoiser->num_levels());
  }
  std::shared_ptr<Denoiser> denoiser;
  SearchPlan plan;
};

void load_from(const Hdf5Reader& reader, const std::string& path) {
  static const Search search;
  SearchState state(search.plan, *search.denoiser);
  AnytimeCurve curve(search.plan.branch_levels);
  load_tree(reader, path, state, search.plan, curve);
  readout_weights(state.tree, search.plan.readout);
  if (state.tree.num_leaves > 0) choose_leaves(state.tree, search.plan, 1, 4);
  curve.flat();
  const int64_t num_nodes = state.tree.size();
  RandomStream random(1, Purpose::kSelection, 0);
  expand(state.tree, select(state.tree, search.plan.widening, search.plan.selection, search.plan.backup, random));
  const std::vector<int64_t> rows(state.tree.latent_row.begin() + 1, state.tree.latent_row.begin() + num_nodes);
  if (!rows.empty()) state.latents.gather(rows);
}

void fuzz_tree(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  load_from(Hdf5Reader(file.path(), Hdf5Isolation::kNone), file.path());
}

void fuzz_tree_isolated(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  load_from(Hdf5Reader(file.path()), file.path());
}

// Node numbers, depths, rows and counts are 4- and 8-byte integers in plain sight: small values, everywhere.
std::string mutated_columns(Mutator& mutator, std::string seed, const std::string&) {
  for (uint64_t count = 1 + mutator.below(3); count > 0; --count) {
    const size_t width = mutator.one_in(2) ? 4 : 8;
    size_t at = mutator.below(seed.size() / width) * width;
    while (at + 2 * width <= seed.size() && little_endian_word(seed, at) == 0) at += width;
    if (at + width > seed.size()) continue;
    const uint64_t old = little_endian_word(seed, at);
    const uint64_t values[] = {old + 1, old - 1, 0, ~uint64_t{0}, mutator.below(100), uint64_t{1} << mutator.below(64), 0x7ff8000000000000u, mutator.next()};
    set_little_endian(seed, at, values[mutator.below(8)], width);
  }
  return seed;
}

}  // namespace

Target tree_target() {
  return {.name = "tree",
          .seeds = {"tests/fuzz/seeds/tree.h5"},
          .read = fuzz_tree,
          .dictionary = {"TREE", "HEAP", "SNOD", "dts_star", "dts", std::string("\xff\xff\xff\xff", 4), std::string("\0\0\xf0\x7f", 4)},
          .structured = mutated_columns,
          .isolated = fuzz_tree_isolated,
          .library = "libhdf5"};
}

}  // namespace linden::fuzz
