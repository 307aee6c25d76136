// A picture of a search tree, with thumbnails of its best leaves where samples are images.
#pragma once

#include <string>

#include "align/search.h"

namespace linden {

std::string tree_figure_svg(const SearchState& state, const std::string& title);

}  // namespace linden
