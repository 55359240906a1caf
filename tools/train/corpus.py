"""Reads the training text and says how often each file is used.

A corpus folder holds train/ and valid/ with the same files. Documents end with a line
`<|endoftext|>`; in chats the lines `<|user|>` and `<|assistant|>` open the turns.
"""
import os
import re

# file: passes over it in the whole schedule
MIX = {
    "tinystories": 10, "fables_open": 8, "fables_llama": 8, "llm_stories_llama": 4, "readers": 5,
    "books": 2, "synth_stories": 2, "grammar_stories": 1, "chat_open": 9, "chat_llama": 5,
    "chat_synth": 2, "grammar_chats": 1, "chat_qa": 35, "chat_reading": 3,
}
EARLY = ("books",)                       # only in the first 70 % of the tokens
LATE = ("tinystories", "fables_open", "fables_llama", "synth_stories", "grammar_stories",
        "chat_open", "chat_llama", "chat_synth", "grammar_chats", "chat_qa")  # all of the last 15 %
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
# Requests for a story are answered by the grammar alone: a small model tells those stories best.
# The other writers' stories are read as plain text, so that their language is not lost.
_ASKS_FOR_STORY = re.compile(r"story|tale|words|something nice|\bTell me (about|\")", re.I)
# Marks of spooky tales for adults among the stories written by Llama.
_DARK = re.compile(r"\b(unease|eerie|malevolent|haunt\w*|blood\w*|scream\w*|spine|skelet\w*|corpse"
                   r"|ominous|barely above|sinister|demon\w*|dread|murder\w*|grave(yard|s)|whiskey"
                   r"|otherworldly|madness|abyss|cigarette|twisted)\b", re.I)
_ASK_MEANING = re.compile(r"(?:what (?:is|does)|can you tell me what|explain)"
                          r"(?: it mean to| the word| an?| the)* (\w+)(?: is| means?)?[.?]?", re.I)


def _turns(document):
    """[(role or None, text)]: one entry without a role for plain text."""
    parts = _TURN.split(document)
    if len(parts) == 1:
        return [(None, document.strip())]
    return [(role, text.strip()) for role, text in zip(parts[1::2], parts[2::2])]


def _pairs(name):
    """Lines «a|b» of a file beside this one."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split("|") for line in file]


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
    if name in ("chat_open", "chat_llama"):
        documents = [[(None, d[-1][1])] if any(role == "user" and _ASKS_FOR_STORY.search(text)
                                               for role, text in d) else d for d in documents]
    if name in ("llm_stories_llama", "chat_llama"):
        documents = [d for d in documents if not any(_DARK.search(t) for _, t in d)]
    if name == "chat_qa" and split == "train":
        facts = dict(_pairs("small_facts.txt"))  # in simpler words than the dictionary's

        def answered_by_us(document):
            asked = _ASK_MEANING.fullmatch(document[0][1])
            return asked and asked.group(1) in facts

        documents = [d for d in documents if not answered_by_us(d)]
        documents += _fact_chats(facts)
        documents += [[("user", q), ("assistant", a)] for q, a in _pairs("small_chats.txt")] * 2
    return documents
