// tree.h5 that HDF5 reads without complaint, but that no search can have written: refused before it is used.
#include "align/tree_file.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>
#include <map>

#include "core/error.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::filesystem::path kSound = "tests/fuzz/seeds/tree.h5";  // 60 NFE of gmm_dts.json with 10 steps: scripts/golden/make_fuzz_seeds.py
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The search that kSound belongs to, without a node yet.
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
    denoiser = load_denoiser(config.prior, config.sampler, at::kCPU);
    plan = make_plan(config, denoiser->num_levels());
  }
  std::shared_ptr<Denoiser> denoiser;
  SearchPlan plan;
};

using Arrays = std::map<std::string, at::Tensor>;
using Counts = std::map<std::string, int64_t>;

// What loading says of the sound file with some arrays and counts replaced.
std::string problem(const Arrays& arrays, const Counts& counts = {}, double seconds = 1) {
  const test::TemporaryFolder folder;
  const Hdf5Reader sound(kSound);
  {
    Hdf5Writer out(folder / "tree.h5");
    for (const std::string& name : sound.names()) out.write(name, arrays.contains(name) ? arrays.at(name) : sound.read(name));
    out.attribute("method", sound.text_attribute("method"));
    for (const char* name : {"nfe", "network_calls", "batches", "reward_calls", "num_iterations", "num_revisits", "num_leaves"})
      out.attribute(name, counts.contains(name) ? counts.at(name) : sound.integer_attribute(name));
    out.attribute("seconds", seconds);
    out.attribute("bookkeeping_seconds", sound.real_attribute("bookkeeping_seconds"));
    out.close();
  }
  static const Search search;
  SearchState state(search.plan, *search.denoiser);
  AnytimeCurve curve(search.plan.branch_levels);
  try {
    load_tree(folder / "tree.h5", state, search.plan, curve);
  } catch (const InputError& error) { return error.what(); }
  return "";
}

at::Tensor changed(const std::string& name, int64_t index, double value) {
  at::Tensor array = Hdf5Reader(kSound).read(name);
  array.view({-1})[index] = value;
  return array;
}

}  // namespace

TEST_CASE("a tree that no search can have written is refused", "[unit]") {
  CHECK(problem({}).empty());
  CHECK_THAT(problem({{"tree/branch_levels", at::tensor({10, 5}, at::kLong)}}), ContainsSubstring("holds a dts tree that branches at 10,5"));
  CHECK_THAT(problem({{"tree/parent", Hdf5Reader(kSound).read("tree/parent").to(at::kDouble)}}),
             ContainsSubstring("tree/parent is a 1-dimensional array of Double, wanted a column of Int"));
  CHECK_THAT(problem({{"tree/value", changed("tree/value", 1, kNan)}}), ContainsSubstring("node 1 has a value that is not finite"));
  CHECK_THAT(problem({{"tree/visits", changed("tree/visits", 1, 1e15)}}), ContainsSubstring("node 1 has more visits than the root"));
  CHECK_THAT(problem({{"tree/visits", changed("tree/visits", 0, 1e18)}}), ContainsSubstring("node 0 has an impossible number of visits"));
  CHECK_THAT(problem({{"tree/weight_reference", changed("tree/weight_reference", 0, -1e6)}}), ContainsSubstring("node 0 has the weight reference -1000000"));
  CHECK_THAT(problem({{"tree/expansions", changed("tree/expansions", 0, -1)}}), ContainsSubstring("tree/expansions is no list of"));
  CHECK_THAT(problem({{"latents", at::zeros({100, 3})}}), ContainsSubstring("latents are [100, 3] of Float, but the prior's states are [2]"));
  CHECK_THAT(problem({{"latents", at::scalar_tensor(1)}}), ContainsSubstring("latents are [] of Float"));
  CHECK_THAT(problem({{"curve", changed("curve", 0, kNan)}}), ContainsSubstring("the saved curve has nan in column 0 of point 0"));
  CHECK_THAT(problem({{"curve", changed("curve", 1, 1e300)}}), ContainsSubstring("the saved curve has 1e+300 in column 1 of point 0"));
  CHECK_THAT(problem({}, {{"num_leaves", 3}}), ContainsSubstring("says that it has 3 leaves, but it has 6"));
  CHECK_THAT(problem({}, {{"nfe", -1}}), ContainsSubstring("nfe is -1: the file is damaged"));
  CHECK_THAT(problem({}, {}, kNan), ContainsSubstring("seconds is nan: the file is damaged"));
}

TEST_CASE("a chain of nodes that ends above the leaves is refused", "[unit]") {
  // The last node becomes another child of its grandparent: its old parent has none left.
  const Hdf5Reader sound(kSound);
  const at::Tensor parent = sound.read("tree/parent"), depth = sound.read("tree/depth");
  const int64_t last = parent.size(0) - 1;
  const auto above = parent[parent[last].item<int32_t>()].item<int32_t>();
  CHECK_THAT(problem({{"tree/parent", changed("tree/parent", last, above)}, {"tree/depth", changed("tree/depth", last, depth[last].item<int32_t>() - 1)}}),
             ContainsSubstring("is neither a leaf nor a parent"));
}
