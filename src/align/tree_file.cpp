#include "align/tree_file.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "align/readout.h"
#include "core/error.h"

namespace linden {
namespace {

template <class T>
at::Tensor column(const std::vector<T>& values, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), {static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(type)).clone();
}

constexpr int64_t kMaxCount = int64_t{1} << 53;  // no search comes near it

template <class T>
std::vector<T> values_of(const Hdf5Reader& file, const std::string& name, at::ScalarType type, const std::string& origin) {
  const at::Tensor array = file.read(name).contiguous();
  check_input(array.scalar_type() == type && array.dim() == 1, "{}: {} is a {}-dimensional array of {}, wanted a column of {}: the file is damaged", origin,
              name, array.dim(), at::toString(array.scalar_type()), at::toString(type));
  const T* data = array.const_data_ptr<T>();
  return {data, data + array.numel()};
}

int64_t count_attribute(const Hdf5Reader& file, const std::string& name, const std::string& origin) {
  const int64_t count = file.integer_attribute(name);
  check_input(count >= 0 && count <= kMaxCount, "{}: {} is {}: the file is damaged; start a new run", origin, name, count);
  return count;
}

double seconds_attribute(const Hdf5Reader& file, const std::string& name, const std::string& origin) {
  const double seconds = file.real_attribute(name);
  check_input(seconds >= 0 && std::isfinite(seconds), "{}: {} is {}: the file is damaged; start a new run", origin, name, seconds);
  return seconds;
}

// A file may be damaged in ways that HDF5 does not see: every column is checked before it is used as an index.
void check_columns(const std::string& origin, const Tree& tree, int64_t num_latents, size_t num_references) {
  const auto wrong = [&](size_t node, const char* what) {
    throw InputError(fmt::format("{}: node {} has {}: the file is damaged; start a new run", origin, node, what));
  };
  const size_t size = tree.parent.size();
  check_input(size >= 1 && size <= INT32_MAX && tree.depth.size() == size && tree.value.size() == size && tree.visits.size() == size &&
                  tree.latent_row.size() == size && num_references == size,
              "{}: the columns of the tree have different lengths: the file is damaged; start a new run", origin);
  check_input(tree.parent[0] == -1 && tree.depth[0] == 0, "{}: node 0 is not a root: the file is damaged", origin);
  if (tree.visits[0] < 1 || tree.visits[0] > kMaxCount) wrong(0, "an impossible number of visits");
  if (!std::isfinite(tree.value[0])) wrong(0, "a value that is not finite");
  for (size_t node = 1; node < size; ++node) {
    if (tree.parent[node] < 0 || tree.parent[node] >= static_cast<int32_t>(node)) wrong(node, "no parent before it");
    if (tree.depth[node] != tree.depth[tree.parent[node]] + 1 || tree.depth[node] > tree.leaf_depth()) wrong(node, "a depth that does not follow its parent's");
    if (tree.latent_row[node] < 0 || tree.latent_row[node] >= num_latents) wrong(node, "a latent row outside the latents");
    if (tree.visits[node] < 1) wrong(node, "no visit");
    if (tree.visits[node] > tree.visits[0]) wrong(node, "more visits than the root");
    if (!std::isfinite(tree.value[node])) wrong(node, "a value that is not finite");
  }
}

// Lists each node's children; every node but the root of an empty tree and the leaves must have one.
void link_children(const std::string& origin, Tree& tree) {
  tree.open.assign(tree.parent.size(), 0);
  tree.position.assign(tree.parent.size(), 0);
  tree.children.assign(tree.parent.size(), {});
  for (int32_t node = 1; node < tree.size(); ++node) {
    Tree::Children& siblings = tree.children[tree.parent[node]];
    tree.position[node] = static_cast<int32_t>(siblings.node.size());
    siblings.node.push_back(node);
    siblings.weight.push_back(0.0);
  }
  int64_t num_leaves = 0;
  for (int32_t node = 0; node < tree.size(); ++node) {
    num_leaves += tree.is_leaf(node);
    check_input(tree.is_leaf(node) || tree.size() == 1 || !tree.children[node].node.empty(),
                "{}: node {} is neither a leaf nor a parent: the file is damaged; start a new run", origin, node);
  }
  check_input(num_leaves == tree.num_leaves, "{}: says that it has {} leaves, but it has {}: the file is damaged; start a new run", origin, tree.num_leaves,
              num_leaves);
}

// The cached weights must be what a search can draw by.
void restore_references(const std::string& origin, Tree& tree, const std::vector<double>& references, const BackupRule& backup) {
  for (size_t node = 0; node < references.size(); ++node) tree.children[node].reference = references[node];
  restore_weights(tree, backup);
  for (size_t node = 0; node < references.size(); ++node) {
    double sum = 0;
    for (const double weight : tree.children[node].weight) sum += weight;
    check_input(std::isfinite(references[node]) && std::isfinite(sum), "{}: node {} has the weight reference {}: the file is damaged; start a new run", origin,
                node, references[node]);
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
  load_tree(Hdf5Reader(file), file, state, plan, curve);
}

void load_tree(const Hdf5Reader& in, const std::filesystem::path& file, SearchState& state, const SearchPlan& plan, AnytimeCurve& curve) {
  const std::string origin = file.string(), method = in.text_attribute("method");
  const auto branch_levels = values_of<int64_t>(in, "tree/branch_levels", at::kLong, origin);
  check_input(branch_levels == plan.branch_levels && method == plan.method, "{}: holds a {} tree that branches at {}, but the config asks for {} at {}", origin,
              method, fmt::join(branch_levels, ","), plan.method, fmt::join(plan.branch_levels, ","));
  check_input(in.contains("latents"), "{}: has no latents (save_latents was false), so the search cannot go on; start a new run", origin);
  Tree tree(branch_levels);
  tree.parent = values_of<int32_t>(in, "tree/parent", at::kInt, origin);
  tree.depth = values_of<int32_t>(in, "tree/depth", at::kInt, origin);
  tree.value = values_of<double>(in, "tree/value", at::kDouble, origin);
  tree.visits = values_of<int64_t>(in, "tree/visits", at::kLong, origin);
  tree.latent_row = values_of<int64_t>(in, "tree/latent_row", at::kLong, origin);
  const auto references = values_of<double>(in, "tree/weight_reference", at::kDouble, origin);
  const at::Tensor latents = in.read("latents");
  check_input(latents.dim() >= 1 && latents.sizes().slice(1) == at::IntArrayRef(state.latents.shape()) && latents.is_floating_point(),
              "{}: latents are {} of {}, but the prior's states are [{}]: the file is damaged, or of another prior", origin, fmt::streamed(latents.sizes()),
              at::toString(latents.scalar_type()), fmt::join(state.latents.shape(), ", "));
  check_columns(origin, tree, latents.size(0), references.size());
  tree.num_iterations = count_attribute(in, "num_iterations", origin);
  tree.num_revisits = count_attribute(in, "num_revisits", origin);
  tree.num_leaves = count_attribute(in, "num_leaves", origin);
  link_children(origin, tree);
  restore_references(origin, tree, references, plan.backup);
  const auto expansions = values_of<int64_t>(in, "tree/expansions", at::kLong, origin);
  check_input(expansions.size() == state.expansions.size() &&
                  std::all_of(expansions.begin(), expansions.end(), [](int64_t count) { return count >= 0 && count <= kMaxCount; }),
              "{}: tree/expansions is no list of {} counts: the file is damaged; start a new run", origin, state.expansions.size());
  curve.restore(values_of<double>(in, "curve", at::kDouble, origin), origin);
  state.calls = {count_attribute(in, "nfe", origin), count_attribute(in, "network_calls", origin), count_attribute(in, "batches", origin)};
  state.reward_calls = count_attribute(in, "reward_calls", origin);
  state.seconds = seconds_attribute(in, "seconds", origin);
  state.bookkeeping_seconds = seconds_attribute(in, "bookkeeping_seconds", origin);
  state.tree = std::move(tree);
  state.latents.append(latents);
  state.expansions = expansions;
}

}  // namespace linden
