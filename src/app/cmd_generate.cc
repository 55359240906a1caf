// cortensor generate: one answer, locally, with no network around it.
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <future>
#include <limits>
#include <map>

#include "app/answer_printer.h"
#include "app/command.h"
#include "app/model_path.h"
#include "app/number_option.h"
#include "app/subcommands.h"
#include "app/text_file.h"
#include "base/hex.h"
#include "engine/chat_template.h"
#include "engine/text_stream.h"
#include "engine/tokenizer.h"
#include "protocol/message.h"
#include "router/api/json_schema.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string model, prompt, isa, grammar, json_schema;
  std::vector<std::string> stop, biases;
  std::uint32_t max_tokens = 256;
  Sampling sampling;
  std::size_t threads = 0;
  bool chat = false, digest = false;
};

std::atomic<bool> interrupted{false};

Result<std::vector<LogitBias>> parse_biases(const std::vector<std::string>& options) {
  std::map<TokenId, float> by_token;
  for (const std::string& text : options) {
    LogitBias one;
    const char* end = text.data() + text.size();
    const auto token = std::from_chars(text.data(), end, one.token);
    const bool parted = token.ec == std::errc{} && token.ptr != end && *token.ptr == '=';
    const auto bias = parted ? std::from_chars(token.ptr + 1, end, one.bias) : token;
    if (!parted || bias.ec != std::errc{} || bias.ptr != end)
      return fail(ErrorKind::invalid_input, "logit bias: expected TOKEN=BIAS, found '" + text + "'");
    by_token[one.token] = one.bias;
  }
  std::vector<LogitBias> biases;
  for (const auto& [token, bias] : by_token) biases.push_back({token, bias});
  return biases;
}

Result<std::string> grammar_from(const Options& options) {
  if (options.json_schema.empty())
    return options.grammar.empty() ? Result<std::string>(std::string()) : read_text_file(options.grammar);
  auto text = read_text_file(options.json_schema);
  if (!text) return text;
  const auto schema = router::Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (schema.is_discarded()) return fail(ErrorKind::invalid_input, options.json_schema + ": is not JSON");
  return router::schema_grammar(schema);
}

Result<GenerationRequest> request_from(const Options& options, const engine::Engine& engine) {
  const engine::Tokenizer& tokenizer = engine.tokenizer();
  GenerationRequest request;
  if (options.chat) {
    const engine::ChatMessage message{"user", options.prompt};
    auto prompt = engine.chat_template().render({&message, 1});
    if (!prompt) return prompt.error();
    request.prompt = std::move(*prompt);
  } else {
    request.prompt = tokenizer.encode_prompt(options.prompt);
  }
  request.sampling = options.sampling;
  auto biases = parse_biases(options.biases);
  if (!biases) return biases.error();
  request.sampling.logit_bias = std::move(*biases);
  request.max_tokens = options.max_tokens;
  request.stop_tokens.assign(tokenizer.stop_tokens().begin(), tokenizer.stop_tokens().end());
  request.stop_strings = options.stop;
  auto grammar = grammar_from(options);
  if (!grammar) return grammar.error();
  request.grammar = std::move(*grammar);
  if (const Status status =
          engine::check_request(request, engine.info().vocab_size, engine.info().context_length);
      !status)
    return status.error();
  return request;
}

Result<Exit> generate(const Options& options) {
  std::string path = options.model;
  if (path.empty()) {
    auto found = default_model("q8_0");
    if (!found) return found.error();
    path = *found;
  }
  engine::EngineOptions engine_options;
  engine_options.isa = options.isa;
  engine_options.threads = options.threads;
  engine_options.max_sequences = 1;
  auto engine = load_engine(path, engine_options);
  if (!engine) return engine.error();
  auto request = request_from(options, **engine);
  if (!request) return request.error();

  engine::TextStream text(*request, (*engine)->tokenizer(),
                          static_cast<std::uint32_t>((*engine)->info().context_length));
  std::promise<Result<Digest>> finished;
  engine::Callbacks callbacks;
  callbacks.on_step = [&](std::size_t, const Step& step, const Logprobs*) {
    print_as_it_comes(text.feed(step.token).text);
  };
  callbacks.on_finish = [&](FinishReason, const Digest& root) { finished.set_value(root); };
  callbacks.on_error = [&](const Error& error) { finished.set_value(error); };
  std::signal(SIGINT, [](int) { interrupted = true; });
  auto handle = (*engine)->submit({*request, {}, {}}, std::move(callbacks));
  if (!handle) return handle.error();
  auto outcome = finished.get_future();
  while (outcome.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready)
    if (interrupted) (*engine)->cancel(*handle);
  const Result<Digest> root = outcome.get();
  std::fputs("\n", stdout);
  if (!root) return root.error();
  if (options.digest) std::printf("%s\n", to_hex(*root).c_str());
  return Exit::success;
}

}  // namespace

void add_generate(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("generate", "Answer a prompt on this machine, without a network");
  command->add_option("-m,--model", options->model,
                      "model file; by default the one that comes with cortensor (q8_0)");
  command->add_option("-p,--prompt", options->prompt, "text to continue, or the message with --chat");
  command->add_flag("--chat", options->chat, "wrap the prompt in the model's chat template");
  command->add_option("-n,--max-tokens", options->max_tokens, "tokens at most")
      ->capture_default_str()
      ->transform(whole(1, protocol::kMaxAnswerTokens));
  command->add_option("--temperature", options->sampling.temperature, "0 is greedy")
      ->capture_default_str()
      ->transform(temperature());
  command->add_option("--top-p", options->sampling.top_p, "smallest set of tokens with this probability")
      ->capture_default_str()
      ->transform(decimal("above 0, at most 1", [](double x) { return x > 0 && x <= 1; }));
  command->add_option("--top-k", options->sampling.top_k, "this many tokens; 0 is all")
      ->capture_default_str()
      ->transform(whole(0, std::numeric_limits<std::uint32_t>::max()));
  command
      ->add_option("--min-p", options->sampling.min_p, "tokens at least this likely, relative to the first")
      ->capture_default_str()
      ->transform(decimal("from 0 to below 1", [](double x) { return x >= 0 && x < 1; }));
  command
      ->add_option("--repetition-penalty", options->sampling.repetition_penalty,
                   "weaken tokens of prompt and answer; 1 is off")
      ->capture_default_str()
      ->transform(decimal("above 0, at most 10", [](double x) { return x > 0 && x <= 10; }));
  command
      ->add_option("--presence-penalty", options->sampling.presence_penalty,
                   "less of what the answer has already")
      ->capture_default_str()
      ->transform(penalty());
  command->add_option("--frequency-penalty", options->sampling.frequency_penalty, "the same, for each time")
      ->capture_default_str()
      ->transform(penalty());
  command
      ->add_option("--logit-bias", options->biases,
                   "TOKEN=BIAS, -100 to 100, added to a token's logit; may be repeated")
      ->take_all();
  command->add_option("--seed", options->sampling.seed, "same seed, same answer, on every machine")
      ->capture_default_str()
      ->transform(whole(0, std::numeric_limits<std::uint64_t>::max()));
  command->add_option("--stop", options->stop, "end before this text; may be repeated");
  CLI::Option* grammar =
      command->add_option("--grammar", options->grammar, "file with a grammar that the answer has to follow");
  command
      ->add_option("--json-schema", options->json_schema,
                   "file with a JSON schema that the answer has to follow")
      ->excludes(grammar);
  command->add_option("--isa", options->isa, kIsaHelp);
  command->add_option("--threads", options->threads, "0 is one per processor")
      ->capture_default_str()
      ->transform(thread_count());
  command->add_flag("--digest", options->digest, "print the transcript's root as the last line");
  examples(command,
           "  cortensor generate --chat --prompt 'Tell me a story about a brave rabbit.'\n"
           "  cortensor generate --prompt 'Once upon a time' --temperature 0.8 --seed 7 --digest\n"
           "  cortensor generate --prompt 'Once upon a time' --temperature 0.8 --seed 7 --digest --isa "
           "scalar  # the same root");
  run_with(command, [options] { return generate(*options); });
}

}  // namespace cortensor::app
