#include "nn/module_path.h"

namespace linden {

void register_under_path(torch::nn::Module& parent, const std::string& path, std::shared_ptr<torch::nn::Module> module) {
  const size_t dot = path.find('.');
  if (dot == std::string::npos) {
    parent.register_module(path, std::move(module));
    return;
  }
  const std::string first = path.substr(0, dot);
  std::shared_ptr<torch::nn::Module> child;
  for (const auto& item : parent.named_children()) {
    if (item.key() == first) child = item.value();
  }
  if (!child) child = parent.register_module(first, std::make_shared<torch::nn::Module>(first));
  register_under_path(*child, path.substr(dot + 1), std::move(module));
}

}  // namespace linden
