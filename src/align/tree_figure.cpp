#include "align/tree_figure.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "io/png.h"
#include "io/svg.h"

namespace linden {
namespace {

constexpr size_t kThumbnails = 16;

bool is_image(const at::Tensor& state) { return state.dim() == 4 && (state.size(1) == 1 || state.size(1) == 3); }

std::vector<std::string> thumbnails(const SearchState& state) {
  const Tree& tree = state.tree;
  std::vector<std::string> pictures(static_cast<size_t>(tree.size()));
  std::vector<int32_t> leaves;
  for (int32_t node = 0; node < tree.size(); ++node)
    if (tree.is_leaf(node) && !tree.open[node]) leaves.push_back(node);
  const size_t count = std::min(kThumbnails, leaves.size());
  std::partial_sort(leaves.begin(), leaves.begin() + count, leaves.end(), [&](int32_t a, int32_t b) { return tree.value[a] > tree.value[b]; });
  for (size_t i = 0; i < count; ++i) {
    const int64_t row = tree.latent_row[leaves[i]];
    const at::Tensor image = state.latents.gather({&row, 1}).cpu();
    if (!is_image(image)) return {};
    pictures[leaves[i]] = base64(encode_png(contact_sheet(image, 1, 1, 0)));
  }
  return pictures;
}

}  // namespace

std::string tree_figure_svg(const SearchState& state, const std::string& title) {
  const Tree& tree = state.tree;
  TreeFigure figure;
  figure.title = title;
  figure.parent.assign(tree.parent.begin(), tree.parent.end());
  figure.level.assign(tree.depth.begin(), tree.depth.end());
  figure.value = tree.value;
  figure.weight.assign(tree.visits.begin(), tree.visits.end());
  for (size_t d = 0; d < tree.branch_levels.size(); ++d)
    figure.level_labels.push_back(d == 0 ? "root" : tree.branch_levels[d] == 0 ? "samples" : fmt::format("{} steps left", tree.branch_levels[d]));
  figure.thumbnails = thumbnails(state);
  figure.value_label = "soft value";
  return tree_svg(figure);
}

}  // namespace linden
