"""Writes answers to a fixed list of prompts, greedy and at temperature 0.7, to read and judge."""
import torch

from model import plain_attention

STORIES = """brave rabbit|robot|little dragon|girl who lost her shoe|fox and a hen|magic tree
a boat in a storm|princess who could not sleep|kind giant|dog named Max|birthday cake|snowman
cat who wanted to fly|a moon that was lonely|two friends who had a fight|an old clock
turtle and a bird|wizard who forgot his magic|a train|mouse in a castle""".replace("\n", "|").split("|")
CHATS = ["Hello", "Hi! How are you?", "Who are you?", "What is your name?", "What can you do?",
         "What is the capital of France?", "What is the capital of Japan?", "What is a castle?",
         "What is a dragon?", "What color is the sky?", "What is 3 plus 4?", "What is 12 plus 5?",
         "What is the opposite of hot?", "What does a cow say?", "Count to ten.", "Tell me a joke.",
         "I am sad.", "Thank you!", "What is the weather today?", "What does brave mean?",
         "Why is the sky blue?", "What is Cortensor?", "Write a poem about the sea.",
         "Write a story with the words castle, moon and cookie.", "Tell me a story.",
         "Tell me a bedtime story.", "Tell me a fable about a proud lion.",
         "Who was the first person on the moon?", "How many legs does a spider have?",
         "What is quantum physics?"]
PLAIN = ["Once upon a time", "One day, a little girl named Lily", "The old king", "",
         "In the heart of the forest", "Tom and Mia were"]


def prompts():
    chats = [(f"Tell me a story about {s if s.startswith(('a ', 'an ', 'two ')) else 'a ' + s}.", True)
             for s in STORIES]
    return chats + [(c, True) for c in CHATS] + [(p, False) for p in PLAIN]


@torch.no_grad()
def generate(model, starts, temperatures, ends, device, limit=380):
    """Answers to all prompts at once; no cache, since it runs for seconds only."""
    longest = max(map(len, starts)) + limit
    ids = torch.zeros(len(starts), longest, dtype=torch.long, device=device)
    for row, start in zip(ids, starts):
        row[:len(start)] = torch.tensor(start, device=device)
    at = torch.tensor([len(s) for s in starts], device=device)
    first, rows = at.clone(), torch.arange(len(starts), device=device)
    heat = torch.tensor(temperatures, device=device)
    done = torch.zeros(len(starts), dtype=torch.bool, device=device)
    dtype = torch.float16 if device == "cuda" else torch.float32
    mask = torch.ones(1, 1, longest, longest, dtype=torch.bool, device=device).tril()
    for _ in range(limit):
        width = int(at.max())
        part = mask[..., :width, :width]
        logits = model(ids[:, :width], lambda q, k, v: plain_attention(q, k, v, part), dtype)
        logits = logits[rows, at - 1].float()
        drawn = torch.multinomial((logits / heat.clamp(min=0.1)[:, None]).softmax(-1), 1)[:, 0]
        chosen = torch.where(heat > 0, drawn, logits.argmax(-1))
        done |= sum(chosen == e for e in ends).bool()
        if done.all():
            break
        ids[rows, at] = torch.where(done, ids[rows, at], chosen)
        at = torch.where(done, at, at + 1).clamp(max=longest - 1)
    return [ids[i, first[i]:at[i]].tolist() for i in range(len(starts))], done.tolist()


def write(model, tokenizer, ends, path, device):
    asked = prompts()
    starts = [tokenizer.encode_prompt(text, chat) for text, chat in asked]
    answers, done = generate(model, starts * 3, [0.0] * len(asked) + [0.7] * 2 * len(asked), ends,
                             device)
    with open(path, "w", encoding="utf-8") as file:
        for i, ids in enumerate(answers):
            prompt, chat = asked[i % len(asked)]
            heat, end = (0 if i < len(asked) else 0.7), ("" if done[i] else " (cut)")
            file.write(f"### {'chat' if chat else 'plain'} t={heat}: {prompt}\n"
                       f"{tokenizer.decode(ids).strip()}{end}\n\n")
