#include "engine/evaluator.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "arith/bits.h"
#include "base/runtime/machine.h"

namespace cortensor::engine {
namespace {

constexpr std::size_t kRowsAtOnce = 256;
constexpr std::size_t kLogitsAtOnce = 32;  // rows; a vocabulary of 128K makes 16 MB of them

}  // namespace

Evaluator::Evaluator(GgufFile file, Model model, std::unique_ptr<compute::Backend> backend,
                     std::size_t context)
    : file_(std::move(file)),
      model_(std::move(model)),
      backend_(std::move(backend)),
      context_(context),
      pages_(pages_for(context)) {
  std::iota(pages_.begin(), pages_.end(), PageId{0});
}

Result<std::unique_ptr<Evaluator>> Evaluator::load(const std::string& path, const EvaluatorOptions& options,
                                                   const std::function<void(double fraction)>& progress) {
  auto file = GgufFile::open(path);
  if (!file) return file.error();
  auto model = bind_model(*file);
  if (!model) return std::move(model).error_context(path);
  const std::size_t threads = options.threads != 0 ? options.threads : usable_processors();
  auto backend = compute::make_cpu_backend({threads, options.isa});
  if (!backend) return backend.error();

  const std::size_t longest = model->config.context_length;
  const std::size_t context = options.context == 0 ? longest : std::min(longest, options.context);
  std::unique_ptr<Evaluator> evaluator(
      new Evaluator(std::move(*file), std::move(*model), std::move(*backend), context));
  auto forward = Forward::create(evaluator->model_.weights, *evaluator->backend_,
                                 {context, evaluator->pages_.size(), kRowsAtOnce}, progress,
                                 [&](ByteView part) { evaluator->file_.release(part); });
  if (!forward) {
    if (Status weights = check_weights(evaluator->file_); !weights)
      return std::move(weights).error_context(path);
    return std::move(forward).error_context(path);
  }
  evaluator->forward_ = std::move(*forward);
  return evaluator;
}

Status Evaluator::run(std::span<const TokenId> tokens, std::size_t first, const Take& take) {
  if (tokens.empty() || tokens.size() > context_)
    return fail(ErrorKind::invalid_input, "expected 1 to " + std::to_string(context_) + " tokens, found " +
                                              std::to_string(tokens.size()));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] >= vocab_size())
      return fail(ErrorKind::invalid_input, "token " + std::to_string(i) + ": expected an id below " +
                                                std::to_string(vocab_size()) + ", found " +
                                                std::to_string(tokens[i]));
  for (std::size_t begin = 0; begin < tokens.size(); begin += kRowsAtOnce) {
    const std::size_t end = std::min(tokens.size(), begin + kRowsAtOnce);
    const std::size_t wanted = end - std::clamp(first, begin, end);
    const ForwardRows rows[] = {{tokens.subspan(begin, end - begin), begin, pages_, wanted}};
    const ForwardResult result = forward_->run(rows)[0];
    const auto not_finite = [](std::size_t position) {
      return fail(ErrorKind::internal,
                  "position " + std::to_string(position) + ": a value inside the model is not finite");
    };
    if (result.failed) return not_finite(end - wanted + result.outputs);
    for (std::size_t at = 0; at < wanted; at += kLogitsAtOnce) {
      const std::size_t count = std::min(kLogitsAtOnce, wanted - at);
      logits_.resize(count * vocab_size());
      forward_->logits(result.first_output + at, count, logits_);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t position = end - wanted + at + i;
        const auto row = std::span<const float>(logits_).subspan(i * vocab_size(), vocab_size());
        if (!std::all_of(row.begin(), row.end(), [](float x) { return arith::is_finite(x); }))
          return not_finite(position);
        if (auto status = take(position, row); !status) return status;
      }
    }
  }
  return ok();
}

}  // namespace cortensor::engine
