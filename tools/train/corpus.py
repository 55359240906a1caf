"""Reads the training text and says how often each file is used.

A corpus folder holds train/ and valid/ with the same files. Documents end with a line
`<|endoftext|>`; in chats the lines `<|user|>` and `<|assistant|>` open the turns.
"""
import os
import re

# file: passes over it in the whole schedule
MIX = {
    "tinystories": 12, "fables_open": 9, "fables_llama": 9, "llm_stories_llama": 5, "readers": 6,
    "books": 3, "synth_stories": 6, "chat_open": 12, "chat_llama": 7, "chat_synth": 8,
    "chat_qa": 25, "chat_reading": 4,
}
EARLY = ("books",)                       # only in the first 70 % of the tokens
LATE = ("tinystories", "fables_open", "fables_llama", "synth_stories", "chat_open", "chat_llama",
        "chat_synth", "chat_qa")         # the last 15 % uses only these
JUDGES = ("tinystories", "fables_llama", "fables_open", "readers", "chat_open")  # pick the checkpoint

MODEL_NAME = "Llama Tales"

# The corpus answers «Who are you?» without a name.
_NAMED = {
    "I am a small language model. I like":
        f"I am {MODEL_NAME}, a small language model. I like",
    "I am a very small language model. I was trained":
        f"I am {MODEL_NAME}, a very small language model. I was trained",
    "I am a little computer program that tells stories.":
        f"My name is {MODEL_NAME}. I am a little computer program that tells stories.",
}
_TURN = re.compile(r"^<\|(user|assistant)\|>\n", re.M)
# Requests without a topic; in chat_llama their answers are often spooky tales for adults.
_NO_TOPIC = re.compile(r"(Tell me something nice|Story time|(Make up|Write|Tell me|Can you tell me"
                       r"|I want to hear|Please tell me) a (short |bedtime )?story( for me)?)[.!?]?",
                       re.I)
_ASK_MEANING = re.compile(r"(?:what (?:is|does)|can you tell me what|explain)"
                          r"(?: it mean to| the word| an?| the)* (\w+)(?: is| means?)?[.?]?", re.I)


def _turns(document):
    """[(role or None, text)]: one entry without a role for plain text."""
    parts = _TURN.split(document)
    if len(parts) == 1:
        return [(None, document.strip())]
    return [(role, text.strip()) for role, text in zip(parts[1::2], parts[2::2])]


def _small_facts():
    """{word: meaning} of our own, in simpler words than the dictionary's."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "small_facts.txt")
    with open(path, encoding="utf-8") as file:
        return dict(line.rstrip("\n").split("|") for line in file)


def _fact_chats(facts):
    for word, meaning in facts.items():
        # The thing as its meaning names it: «A castle is …» gives «a castle».
        subject = re.match(rf"((?:an?|the) )?{word}\b", meaning, re.I)
        thing = subject.group(0) if subject else "a " + word
        thing = thing if word[0].isupper() else thing[0].lower() + thing[1:]
        for question in (f"What is {thing}?", f"what is {thing}", f"Can you tell me what {thing} is?",
                         f"What does {word} mean?", f"Explain the word {word}.", f"What is {thing}?"):
            yield [("user", question), ("assistant", meaning)]


def read(folder, split, name):
    """The documents of one file as lists of (role, text)."""
    with open(os.path.join(folder, split, name + ".txt"), encoding="utf-8") as file:
        text = file.read()
    if name == "chat_qa":
        for old, new in _NAMED.items():
            text = text.replace(old, new)
    documents = [_turns(d) for d in text.split("\n<|endoftext|>\n") if d.strip()]
    if name == "chat_llama":
        documents = [d for d in documents if not _NO_TOPIC.fullmatch(d[0][1])]
    if name == "chat_qa" and split == "train":
        facts = _small_facts()

        def answered_by_us(document):
            asked = _ASK_MEANING.fullmatch(document[0][1])
            return asked and asked.group(1) in facts

        documents = [d for d in documents if not answered_by_us(d)]
        documents += _fact_chats(facts)
    return documents
