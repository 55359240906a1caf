// Uses the official client the way its documentation shows; any difference from the real API would throw here.
import assert from 'node:assert/strict';
import OpenAI, {toFile} from 'openai';

const client = new OpenAI();  // OPENAI_BASE_URL and OPENAI_API_KEY

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.equal(models.length, 1);
const model = models[0];
assert.equal((await client.models.retrieve(model)).id, model);

const messages = [{role: 'user', content: 'Tell me a story about a brave rabbit.'}];
const whole = await client.chat.completions.create({model, messages, temperature: 0, max_tokens: 40});
assert.equal(whole.object, 'chat.completion');
assert.equal(whole.choices[0].message.role, 'assistant');
assert.ok(whole.choices[0].message.content.length > 20);
assert.ok(['stop', 'length'].includes(whole.choices[0].finish_reason));
assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

let streamed = '', usage, last;
const stream = await client.chat.completions.create(
  {model, messages, temperature: 0, max_tokens: 40, stream: true, stream_options: {include_usage: true}});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? '';
  usage = chunk.usage ?? usage;
  last = chunk;
}
assert.equal(streamed, whole.choices[0].message.content);
assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
assert.ok(last.cortensor.receipts.length === 1);

const same = await Promise.all([1, 2].map(() => client.chat.completions.create(
  {model, messages, temperature: 0.9, seed: 42, max_tokens: 30})));
assert.equal(same[0].choices[0].message.content, same[1].choices[0].message.content);

const several = await client.chat.completions.create({model, messages, temperature: 0.9, seed: 1, n: 3, max_tokens: 20});
assert.equal(several.choices.length, 3);
assert.deepEqual(several.choices.map((choice) => choice.index), [0, 1, 2]);

const stopped = await client.chat.completions.create({model, messages, temperature: 0, max_tokens: 100, stop: ['.']});
assert.equal(stopped.choices[0].finish_reason, 'stop');
assert.ok(!stopped.choices[0].message.content.includes('.'));

const logprobs = await client.chat.completions.create({model, messages, temperature: 0, max_tokens: 5, logprobs: true});
assert.equal(logprobs.choices[0].logprobs.content.length, logprobs.usage.completion_tokens);
assert.ok(logprobs.choices[0].logprobs.content.every((token) => token.logprob <= 0));

const alternatives = await client.chat.completions.create(
  {model, messages, temperature: 0, max_tokens: 3, logprobs: true, top_logprobs: 2});
assert.ok(alternatives.choices[0].logprobs.content.every((token) => token.top_logprobs.length === 2));

const penalised = await client.chat.completions.create(
  {model, messages, max_tokens: 20, presence_penalty: 0.5, frequency_penalty: -0.5, logit_bias: {300: -100, 301: 1}});
assert.ok(penalised.choices[0].message.content.length > 0);

const schema = {type: 'object', properties: {name: {type: 'string', maxLength: 9}, age: {type: 'integer'}},
                required: ['name', 'age'], additionalProperties: false};
const structured = await client.chat.completions.create(
  {model, messages, response_format: {type: 'json_schema', json_schema: {name: 'person', strict: true, schema}}});
const person = JSON.parse(structured.choices[0].message.content);
assert.ok(typeof person.name === 'string' && Number.isInteger(person.age));
await assert.rejects(client.chat.completions.create({model, messages, presence_penalty: 3}), OpenAI.BadRequestError);

const completion = await client.completions.create({model, prompt: 'Once upon a time', temperature: 0, max_tokens: 20});
assert.equal(completion.object, 'text_completion');
assert.ok(completion.choices[0].text.length > 10);

// The package asks for base64 and decodes it, unless it is told otherwise.
const input = ['A brave rabbit.', 'Once upon a time', 'A brave rabbit.'];
const embedded = await client.embeddings.create({model, input});
assert.deepEqual(embedded.data.map((one) => one.index), [0, 1, 2]);
assert.equal(embedded.usage.total_tokens, embedded.usage.prompt_tokens);
const vectors = embedded.data.map((one) => Array.from(one.embedding));
assert.ok(vectors.every((vector) => Math.abs(Math.hypot(...vector) - 1) < 1e-6));
assert.deepEqual(vectors[0], vectors[2]);
assert.notDeepEqual(vectors[0], vectors[1]);
const numbers = await client.embeddings.create({model, input: input[0], encoding_format: 'float'});
assert.deepEqual(numbers.data[0].embedding.map(Math.fround), vectors[0].map(Math.fround));
const short = await client.embeddings.create({model, input: [5, 6, 7], dimensions: 16});
assert.equal(short.data[0].embedding.length, 16);
await assert.rejects(client.embeddings.create({model, input, dimensions: 9999}), OpenAI.BadRequestError);

const url = '/v1/chat/completions';
const requests = [1, 2, 3].map((seed) => ({custom_id: `r${seed}`, method: 'POST', url, body: {model, messages, seed, max_tokens: 10}}));
const jsonl = requests.map((request) => JSON.stringify(request)).join('\n');
const file = await client.files.create({file: await toFile(Buffer.from(jsonl), 'requests.jsonl'), purpose: 'batch'});
assert.equal(file.bytes, jsonl.length);
assert.equal(await (await client.files.content(file.id)).text(), jsonl);
assert.equal((await client.files.retrieve(file.id)).filename, 'requests.jsonl');
let batch = await client.batches.create(
  {input_file_id: file.id, endpoint: url, completion_window: '24h', metadata: {name: 'mine'}});
while (['validating', 'in_progress', 'finalizing'].includes(batch.status)) {
  await new Promise((wake) => setTimeout(wake, 100));
  batch = await client.batches.retrieve(batch.id);
}
assert.equal(batch.status, 'completed');
assert.deepEqual(batch.request_counts, {total: 3, completed: 3, failed: 0});
assert.equal(batch.metadata.name, 'mine');
const output = (await (await client.files.content(batch.output_file_id)).text()).trim().split('\n').map((line) => JSON.parse(line));
assert.deepEqual(output.map((line) => line.custom_id), ['r1', 'r2', 'r3']);
assert.equal(output[1].response.body.choices[0].message.content,
             (await client.chat.completions.create(requests[1].body)).choices[0].message.content);
const batches = [];
for await (const one of client.batches.list({limit: 1})) batches.push(one.id);
assert.deepEqual(batches, [batch.id]);
const names = [];
for await (const one of client.files.list()) names.push(one.id);
assert.deepEqual(names.sort(), [file.id, batch.output_file_id].sort());
await assert.rejects(client.batches.cancel(batch.id), OpenAI.ConflictError);
assert.equal((await client.files.del(file.id)).deleted, true);
await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);

await assert.rejects(client.chat.completions.create({model: 'nope', messages}), OpenAI.NotFoundError);
await assert.rejects(client.chat.completions.create({model, messages, temperature: 9}), OpenAI.BadRequestError);
await assert.rejects(new OpenAI({apiKey: 'wrong'}).models.list(), OpenAI.AuthenticationError);
console.log('the openai package works');
