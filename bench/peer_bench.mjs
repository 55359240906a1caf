// One side of peer_bench.py: measures llama.cpp as node-llama-cpp ships it, a test for each line of standard input.
//
// Started with the package's folder, the model file and the number of threads; reads lines like
// {"prompt":512,"tokens":64,"batch":1} and answers each with {"prompt":tokens/s,"generate":tokens/s}.
import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";
import path from "node:path";

const [folder, model, threads] = process.argv.slice(2);
const entry = path.join(folder, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error,
                              maxThreads: Number(threads)});
const loaded = await llama.loadModel({modelPath: model, gpuLayers: 0});
const seconds = () => performance.now() / 1000;
const ids = (seed, count) => Array.from({length: count}, (_, i) => (1000 * seed + 31 * i + 7) % 100000);

// Tokens a second until the first token after a prompt of this length.
async function prompt(length) {
  const context = await loaded.createContext({contextSize: length + 64, batchSize: 512, threads: Number(threads)});
  const sequence = context.getSequence();
  const begin = seconds();
  for await (const _ of sequence.evaluate(ids(1, length), {temperature: 0, yieldEogToken: true})) break;
  const taken = seconds() - begin;
  await context.dispose();
  return length / taken;
}

// Tokens a second of all sequences together, from when the last of them has its first token.
async function generate(count, batch) {
  const context = await loaded.createContext({contextSize: count + 64, sequences: batch, batchSize: 512,
                                              threads: Number(threads)});
  let waiting = batch, began = 0, last = 0, after = 0;
  const one = async (seed) => {
    const sequence = context.getSequence();
    let made = 0;
    for await (const _ of sequence.evaluate(ids(seed, 1), {temperature: 0, yieldEogToken: true})) {
      last = seconds();
      if (waiting === 0) ++after;
      if (made++ === 0 && --waiting === 0) began = last;
      if (made > count) break;
    }
  };
  await Promise.all(Array.from({length: batch}, (_, seed) => one(seed)));
  await context.dispose();
  return after / (last - began);
}

process.stdout.write("ready\n");
for await (const line of createInterface({input: process.stdin})) {
  const test = JSON.parse(line);
  const out = {};
  if (test.prompt > 0) out.prompt = await prompt(test.prompt);
  if (test.tokens > 0) out.generate = await generate(test.tokens, test.batch);
  process.stdout.write(JSON.stringify(out) + "\n");
}
process.exit(0);
