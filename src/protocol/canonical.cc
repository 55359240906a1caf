#include "protocol/canonical.h"

#include "crypto/sha256.h"

namespace cortensor::protocol {
namespace {

// Every form begins with its own name and version, so that a signature over one can never pass for another.
ByteWriter begin(std::string_view form) {
  ByteWriter writer;
  writer.text(form);
  return writer;
}

template <class T>
void put_count(ByteWriter& writer, const T& list) {
  writer.number(static_cast<std::uint32_t>(list.size()));
}

void put(ByteWriter& writer, const GenerationRequest& request) {
  put_count(writer, request.prompt);
  for (const TokenId token : request.prompt) writer.number(token);
  writer.number(request.sampling.temperature);
  writer.number(request.sampling.top_p);
  writer.number(request.sampling.min_p);
  writer.number(request.sampling.top_k);
  writer.number(request.sampling.seed);
  writer.number(request.sampling.repetition_penalty);
  writer.number(request.sampling.presence_penalty);
  writer.number(request.sampling.frequency_penalty);
  put_count(writer, request.sampling.logit_bias);
  for (const LogitBias& one : request.sampling.logit_bias) {
    writer.number(one.token);
    writer.number(one.bias);
  }
  writer.number(request.max_tokens);
  put_count(writer, request.stop_tokens);
  for (const TokenId token : request.stop_tokens) writer.number(token);
  put_count(writer, request.stop_strings);
  for (const std::string& text : request.stop_strings) writer.text(text);
  writer.text(request.grammar);
  writer.number(request.embedding);
}

void put(ByteWriter& writer, const ModelManifest& model) {
  writer.text(model.id);
  writer.text(model.architecture);
  writer.text(model.quantisation);
  writer.raw(model.weights);
  writer.raw(model.tokenizer);
  writer.number(model.context_length);
  writer.number(model.vocabulary);
}

void put(ByteWriter& writer, const Bill& bill) {
  writer.number(bill.prompt_tokens);
  writer.number(bill.completion_tokens);
  writer.number(bill.prompt_price);
  writer.number(bill.completion_price);
  writer.number(bill.total);
  put_count(writer, bill.payments);
  for (const Payment& payment : bill.payments) {
    writer.number(static_cast<std::uint8_t>(payment.kind));
    writer.text(payment.party.value);
    writer.number(payment.amount);
  }
}

}  // namespace

Digest request_digest(const Digest& model, const GenerationRequest& request) {
  ByteWriter writer = begin("cortensor request 1");
  writer.raw(model);
  put(writer, request);
  return crypto::sha256(writer.bytes());
}

Bytes signed_bytes(const Commitment& commitment) {
  ByteWriter writer = begin("cortensor commitment 1");
  writer.number(commitment.arithmetic_version);
  writer.raw(commitment.model);
  writer.raw(commitment.request);
  writer.text(commitment.attempt.value);
  writer.number(commitment.count);
  writer.raw(commitment.root);
  constexpr std::uint8_t kGoesOn = 2;
  writer.number(commitment.finish ? static_cast<std::uint8_t>(*commitment.finish) : kGoesOn);
  writer.text(commitment.miner.value);
  return writer.take();
}

Digest commitment_digest(const Commitment& commitment) {
  Bytes bytes = signed_bytes(commitment);
  bytes.insert(bytes.end(), commitment.signature.begin(), commitment.signature.end());
  return crypto::sha256(bytes);
}

Bytes signed_bytes(const Verdict& verdict) {
  ByteWriter writer = begin("cortensor verdict 1");
  writer.raw(verdict.commitment);
  writer.number(static_cast<std::uint8_t>(verdict.method));
  writer.number(static_cast<std::uint8_t>(verdict.outcome));
  writer.number(verdict.first_wrong);
  writer.text(verdict.reason);
  writer.text(verdict.validator.value);
  return writer.take();
}

Bytes signed_bytes(const Receipt& receipt) {
  ByteWriter writer = begin("cortensor receipt 1");
  writer.text(receipt.id);
  writer.number(receipt.issued_ms);
  writer.text(receipt.router.value);
  writer.text(receipt.session.value);
  writer.text(receipt.task.value);
  writer.number(receipt.choice);
  writer.number(static_cast<std::uint8_t>(receipt.level));
  put(writer, receipt.model);
  put(writer, receipt.request);
  put_count(writer, receipt.steps);
  for (const Step& step : receipt.steps) {
    writer.number(step.token);
    writer.raw(step.digest);
  }
  put_count(writer, receipt.commitments);
  for (const Commitment& commitment : receipt.commitments) {
    writer.raw(signed_bytes(commitment));
    writer.raw(commitment.signature);
  }
  put_count(writer, receipt.verdicts);
  for (const Verdict& verdict : receipt.verdicts) {
    writer.raw(signed_bytes(verdict));
    writer.raw(verdict.signature);
  }
  put(writer, receipt.bill);
  return writer.take();
}

Digest receipt_digest(const Receipt& receipt) {
  Bytes bytes = signed_bytes(receipt);
  bytes.insert(bytes.end(), receipt.signature.begin(), receipt.signature.end());
  return crypto::sha256(bytes);
}

}  // namespace cortensor::protocol
