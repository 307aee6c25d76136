#include "align/tree_file.h"

#include <ATen/ATen.h>

#include "align/readout.h"
#include "core/error.h"
#include "io/hdf5.h"

namespace linden {
namespace {

template <class T>
at::Tensor column(const std::vector<T>& values, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), {static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(type)).clone();
}

template <class T>
std::vector<T> values_of(const Hdf5Reader& file, const std::string& name, at::ScalarType type) {
  const at::Tensor array = file.read(name).to(type).contiguous().flatten();
  const T* data = array.const_data_ptr<T>();
  return {data, data + array.numel()};
}

// A file may be damaged in ways that HDF5 does not see: every column is checked before it is used as an index.
void check_columns(const std::filesystem::path& file, const Tree& tree, int64_t num_latents) {
  const auto wrong = [&](size_t node, const char* what) {
    throw InputError(fmt::format("{}: node {} has {}: the file is damaged; start a new run", file.string(), node, what));
  };
  const size_t size = tree.parent.size();
  check_input(size >= 1 && tree.depth.size() == size && tree.value.size() == size && tree.visits.size() == size && tree.latent_row.size() == size,
              "{}: the columns of the tree have different lengths: the file is damaged; start a new run", file.string());
  check_input(tree.parent[0] == -1 && tree.depth[0] == 0, "{}: node 0 is not a root: the file is damaged", file.string());
  for (size_t node = 1; node < size; ++node) {
    if (tree.parent[node] < 0 || tree.parent[node] >= static_cast<int32_t>(node)) wrong(node, "no parent before it");
    if (tree.depth[node] != tree.depth[tree.parent[node]] + 1 || tree.depth[node] > tree.leaf_depth()) wrong(node, "a depth that does not follow its parent's");
    if (tree.latent_row[node] < 0 || tree.latent_row[node] >= num_latents) wrong(node, "a latent row outside the latents");
    if (tree.visits[node] < 1) wrong(node, "no visit");
  }
}

}  // namespace

void save_tree(const std::filesystem::path& file, const SearchState& state, const SearchPlan& plan, const AnytimeCurve& curve, bool latents) {
  const Tree& tree = state.tree;
  Hdf5Writer out(file);
  out.write("tree/parent", column(tree.parent, at::kInt));
  out.write("tree/depth", column(tree.depth, at::kInt));
  out.write("tree/value", column(tree.value, at::kDouble));
  out.write("tree/visits", column(tree.visits, at::kLong));
  out.write("tree/latent_row", column(tree.latent_row, at::kLong));
  std::vector<double> reference;
  for (const Tree::Children& children : tree.children) reference.push_back(children.reference);
  out.write("tree/weight_reference", column(reference, at::kDouble));
  out.write("tree/branch_levels", column(tree.branch_levels, at::kLong));
  out.write("tree/expansions", column(state.expansions, at::kLong));
  if (tree.num_leaves > 0) out.write("tree/readout_weight", column(readout_weights(tree, plan.readout), at::kDouble));
  out.write("curve", column(curve.flat(), at::kDouble));
  if (latents) out.write("latents", state.latents.all_on_cpu());
  out.attribute("method", plan.method);
  out.attribute("nfe", state.calls.nfe);
  out.attribute("network_calls", state.calls.network_calls);
  out.attribute("batches", state.calls.batches);
  out.attribute("reward_calls", state.reward_calls);
  out.attribute("num_iterations", tree.num_iterations);
  out.attribute("num_revisits", tree.num_revisits);
  out.attribute("num_leaves", tree.num_leaves);
  out.attribute("seconds", state.seconds);
  out.attribute("bookkeeping_seconds", state.bookkeeping_seconds);
  out.close();
}

void load_tree(const std::filesystem::path& file, SearchState& state, const SearchPlan& plan, AnytimeCurve& curve) {
  const Hdf5Reader in(file);
  Tree tree(values_of<int64_t>(in, "tree/branch_levels", at::kLong));
  check_input(tree.branch_levels == plan.branch_levels && in.text_attribute("method") == plan.method,
              "{}: holds a {} tree that branches at {}, but the config asks for {} at {}", file.string(), in.text_attribute("method"),
              fmt::join(tree.branch_levels, ","), plan.method, fmt::join(plan.branch_levels, ","));
  check_input(in.contains("latents"), "{}: has no latents (save_latents was false), so the search cannot go on; start a new run", file.string());
  tree.parent = values_of<int32_t>(in, "tree/parent", at::kInt);
  tree.depth = values_of<int32_t>(in, "tree/depth", at::kInt);
  tree.value = values_of<double>(in, "tree/value", at::kDouble);
  tree.visits = values_of<int64_t>(in, "tree/visits", at::kLong);
  tree.latent_row = values_of<int64_t>(in, "tree/latent_row", at::kLong);
  const at::Tensor latents = in.read("latents");
  check_columns(file, tree, latents.size(0));
  tree.open.assign(tree.parent.size(), 0);
  tree.position.assign(tree.parent.size(), 0);
  tree.children.assign(tree.parent.size(), {});
  for (int32_t node = 1; node < tree.size(); ++node) {
    Tree::Children& siblings = tree.children[tree.parent[node]];
    tree.position[node] = static_cast<int32_t>(siblings.node.size());
    siblings.node.push_back(node);
    siblings.weight.push_back(0.0);
  }
  tree.num_iterations = in.integer_attribute("num_iterations");
  tree.num_revisits = in.integer_attribute("num_revisits");
  tree.num_leaves = in.integer_attribute("num_leaves");
  const auto reference = values_of<double>(in, "tree/weight_reference", at::kDouble);
  check_input(reference.size() == tree.parent.size(), "{}: the columns of the tree have different lengths: the file is damaged", file.string());
  for (size_t node = 0; node < reference.size(); ++node) tree.children[node].reference = reference[node];
  restore_weights(tree, plan.backup);
  state.tree = std::move(tree);
  state.latents.append(latents);
  state.expansions = values_of<int64_t>(in, "tree/expansions", at::kLong);
  state.calls = {in.integer_attribute("nfe"), in.integer_attribute("network_calls"), in.integer_attribute("batches")};
  state.reward_calls = in.integer_attribute("reward_calls");
  state.seconds = in.real_attribute("seconds");
  state.bookkeeping_seconds = in.real_attribute("bookkeeping_seconds");
  curve.restore(values_of<double>(in, "curve", at::kDouble));
}

}  // namespace linden
