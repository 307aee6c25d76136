#include "io/svg_tree_layout.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace linden::svg {
namespace {

// Node indices from the largest key to the smallest; NaN last, ties by index.
std::vector<size_t> descending(const std::vector<double>& keys) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto rank = [&](size_t i) { return std::isnan(keys[i]) ? -INFINITY : keys[i]; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rank(a) > rank(b); });
  return order;
}

std::vector<size_t> chosen_nodes(const TreeFigure& figure, size_t most) {
  const size_t count = figure.parent.size();
  std::vector<bool> chosen(count, count <= most);
  size_t num_chosen = count <= most ? count : 0;
  const auto by_value = descending(figure.value), by_weight = descending(figure.weight);
  std::vector<size_t> path;
  for (size_t turn = 0; num_chosen < most && turn < 2 * count; ++turn) {
    path.clear();
    for (auto node = static_cast<int64_t>((turn % 2 == 0 ? by_value : by_weight)[turn / 2]); node >= 0 && !chosen[static_cast<size_t>(node)];
         node = figure.parent[static_cast<size_t>(node)]) {
      path.push_back(static_cast<size_t>(node));
    }
    if (num_chosen + path.size() > most && num_chosen > 0) continue;
    for (const size_t node : path) chosen[node] = true;
    num_chosen += path.size();
  }
  std::vector<size_t> nodes;
  for (size_t i = 0; i < count; ++i) {
    if (chosen[i]) nodes.push_back(i);
  }
  return nodes;
}

}  // namespace

void check_tree(const TreeFigure& figure) {
  const size_t count = figure.parent.size();
  check(count > 0, "tree_svg: a tree without nodes");
  check(figure.level.size() == count && figure.value.size() == count && figure.weight.size() == count, "tree_svg: {} parents, {} levels, {} values, {} weights",
        count, figure.level.size(), figure.value.size(), figure.weight.size());
  check(figure.thumbnails.empty() || figure.thumbnails.size() == count, "tree_svg: {} thumbnails for {} nodes", figure.thumbnails.size(), count);
  check(figure.width >= 240 && figure.height >= 160, "tree_svg: {} x {} pixels are too few", figure.width, figure.height);
  check(figure.parent[0] == -1, "tree_svg: node 0 has parent {}, wanted -1: it is the root", figure.parent[0]);
  for (size_t i = 1; i < count; ++i) {
    const int64_t parent = figure.parent[i];
    check(parent >= 0 && parent < static_cast<int64_t>(i), "tree_svg: node {} has parent {}, wanted 0 to {}", i, parent, i - 1);
    check(figure.level[i] > figure.level[static_cast<size_t>(parent)], "tree_svg: node {} is on level {}, its parent {} on level {}", i, figure.level[i],
          parent, figure.level[static_cast<size_t>(parent)]);
  }
}

TreeLayout lay_out_tree(const TreeFigure& figure, size_t most) {
  TreeLayout layout;
  layout.node = chosen_nodes(figure, most);
  const size_t count = layout.node.size();
  std::vector<int64_t> position(figure.parent.size(), -1);  // of a node in the layout
  for (size_t i = 0; i < count; ++i) {
    position[layout.node[i]] = static_cast<int64_t>(i);
    const int64_t parent = figure.parent[layout.node[i]];
    layout.parent.push_back(parent < 0 ? -1 : position[static_cast<size_t>(parent)]);
  }

  std::vector<double> leaves(count, 0);  // below a node, itself if it is one
  for (size_t i = count; i-- > 0;) {
    if (leaves[i] == 0) {
      leaves[i] = 1;
      ++layout.num_leaves;
    }
    if (layout.parent[i] >= 0) leaves[static_cast<size_t>(layout.parent[i])] += leaves[i];
  }
  std::vector<double> next(count, 0);  // first leaf of the child that comes next
  layout.x.resize(count);
  layout.slot.resize(count);
  const double total = leaves[0];
  for (size_t i = 0; i < count; ++i) {
    double first = 0;
    if (layout.parent[i] >= 0) {
      double& free = next[static_cast<size_t>(layout.parent[i])];
      first = free;
      free += leaves[i];
    }
    next[i] = first;
    layout.x[i] = (first + leaves[i] / 2) / total;
    layout.slot[i] = leaves[i] / total;
  }
  return layout;
}

}  // namespace linden::svg
