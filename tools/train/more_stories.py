#!/usr/bin/env python3
"""Writes many different grammar stories and story requests into a corpus folder.

usage: more_stories.py --corpus DIR [--chats 110000] [--stories 30000]

Uses the corpus's own generator (tools/gen_stories.py) with longer word lists and more plots, so
that the model learns to take the hero and the thing from the request instead of knowing a list of
them by heart. Adds grammar_chats.txt and grammar_stories.txt to train/ and valid/.
"""
import argparse
import importlib.util
import os
import random
import re

OBJECTS = """shoe sock glove hoop rope spoon fork plate pot pan bottle box bag purse wallet watch
necklace bracelet crown sword shield broom brush comb towel chair table bench swing
slide spade shovel rake hammer saw nail needle thread ribbon bow whip saddle bone leaf
acorn flower rose tulip egg nest cage net hook anchor paddle compass telescope camera
radio phone tablet pen pencil eraser ruler notebook letter stamp postcard picture
painting photo poster puppet robot marble top skateboard scooter bicycle tricycle boot
slipper jacket sweater dress skirt shirt belt tie earring candle torch match stove
kettle teapot mug bowl jug napkin cushion rug curtain carpet sofa trumpet violin guitar
piano harp horn xylophone tambourine trophy medal badge flag tent rucksack suitcase
ticket newspaper magazine dictionary storybook jewel diamond pearl emerald ruby pebble
pinecone chestnut wand cloak mask costume wig paintbrush sponge soap toothbrush pinwheel""".split()
FOODS = """biscuit waffle pudding strawberry blueberry raspberry cherry plum grape lemon melon
coconut mango fig potato onion turnip radish bean pea cabbage mushroom walnut almond peanut doughnut
cupcake tart scone bagel pretzel pizza burger noodle dumpling egg sausage candy lollipop""".split()
ANIMALS = """wolf moose hare weasel skunk sloth rhino leopard cheetah jaguar puma gorilla
chimpanzee kangaroo wombat llama alpaca buffalo bison ox ram sheep calf foal gosling duckling chick
peacock ostrich flamingo pelican stork heron eagle hawk falcon pigeon dove sparrow woodpecker magpie
cuckoo nightingale lizard gecko chameleon crocodile alligator snake worm beetle cricket grasshopper
dragonfly moth firefly wasp shark starfish jellyfish lobster shrimp salmon goldfish hamster gerbil
ferret squirrel chipmunk porcupine armadillo anteater walrus phoenix griffin yeti""".split()
THINGS = """ship truck car airplane helicopter submarine rainbow raindrop snowflake mountain river
bridge castle house door window chair table bed pillow blanket shoe hat spoon kettle candle bell
drum violin piano book library well fountain windmill balloon doll puppet toy bear leaf acorn seed
apple pumpkin carrot pebble shell wave wind sun planet comet shadow mirror key broom ladder bicycle
wagon sled statue garden pond island mailbox telephone computer lantern""".split()
ADJECTIVES = """kindly wise old strong clumsy greedy polite rude patient restless calm fancy
fluffy furry golden invisible magical mighty nervous nosy plump round rich poor scared selfish
gloomy jolly merry quick slow smart spotted stubborn sweet tall thin tired ugly worried""".split()
PLACES = """the zoo|the circus|the museum|the library|the school|the bakery|the toy shop|the harbor
the train station|the playground|the desert|the cave|the swamp|the valley|the orchard|the vineyard
the town square|the lighthouse|the old mill|the waterfall|the north pole|the palace|the ruins
the bridge|the tower""".replace("\n", "|").split("|")

PEOPLE = [("teacher", 2), ("doctor", 2), ("nurse", 1), ("sailor", 2), ("captain", 2), ("soldier", 2),
          ("hunter", 0), ("woodcutter", 0), ("clown", 2), ("singer", 2), ("dancer", 1),
          ("inventor", 2), ("scientist", 2), ("explorer", 2), ("elf", 2), ("dwarf", 0), ("troll", 0),
          ("ghost", 2), ("monster", 2), ("alien", 2), ("ninja", 2), ("cowboy", 0), ("grandmother", 1),
          ("grandfather", 0), ("child", 2), ("baby", 2), ("goblin", 0), ("firefighter", 2)]

# (topic, words, text, heroes): c child, a animal, p person, t thing; [a|b] is a choice.
PLOTS = [
("two friends who had a fight", "friends fight sorry",
"""{N} and {M} were [best friends|good friends]. {N} was {a_adj1} girl and {M} was {a_adj2} boy. They played in {place} every day.
One {weather} day, they found {an_c1o1}. "I saw it first!" said {N}. "No, I saw it first!" said {M}. They both pulled and pulled. Crack! The {o1} [broke|fell in the mud]. "[Look what you did|This is your fault]!" shouted {N}. "[I do not want to play with you anymore|You are not my friend]," said {M}. They both went home.
At home, {N} [sat by the window|could not eat]. The house was very quiet. {M} [looked at the rain|played alone], but it was no fun. "[I miss my friend|Playing alone is boring]," said {M}. The next morning, they both ran out of the door and met [in the middle of the road|at the gate]. "I am sorry," said {N}. "I am sorry too," said {M}.
They [fixed|cleaned] the {o1} together, and then they took turns with it. {N} and {M} learned that [a friend is worth more than a thing|saying sorry makes things right again].""", "c"),
("{hero} and the first day of school", "school first new",
"""{open} Today was the first day of school, and {N} felt [a little sick|very nervous]. "What if nobody likes me?" asked {N}. {His} {fam} gave {him} a hug. "Just be yourself," said {fam}.
At school, everything was [big and loud|new]. {N} sat down in the last row and looked at the floor. Then {N} saw {M}, who was sitting alone too. {M} had {an_c1o1} on the table. "[I like your {o1}|That is a nice {o1}]," said {N} in a small voice. {M} smiled. "Thank you! Do you want to [see it|hold it]?"
They [talked and laughed|drew pictures] together. At lunch, {N} gave {M} half of {his} {f1}, and {M} showed {N} [a secret place behind the tree|a funny game]. Soon, other children came to play too.
When {N} came home, {his} {fam} asked, "How was it?" "[I made a friend|It was wonderful]!" said {N}. "Can I go again tomorrow?" """, "ca"),
("{hero} who was different", "different friends kind",
"""{open} {N} was not like the others. {N} had [one very long ear|bright {c1} feet|a {c1} spot on {his} nose]. The others [laughed at|pointed at] {N}. "You look [funny|strange]!" they said. {N} went home and [hid under the bed|cried].
One {weather} day, a thick fog came down over {place}. Nobody could see anything. "[Where are we|We are lost]!" cried the others. {M} the {a2} began to cry. {N} heard them and called, "[Look for me|Follow my voice]! You can see me, because I am different." And it was true. They all [saw {N}|found {N}] in the gray fog.
One by one, they held on to each other, and {N} led them home. "[Thank you|You saved us], {N}," said {M}. "We are sorry that we laughed at you."
From that day on, nobody laughed at {N} again. {N} learned that [being different can be a gift|it is good to be yourself].""", "ca"),
("{hero} and the old {o1}", "old {o1} fix",
"""{open} One day, {N} found an old {o1} in [the attic|a dusty box|{place}]. It was {c1}, but it was [dirty and broken|covered with dust]. "[Throw it away|It is no good anymore]," said {M} the {a2}. But {N} shook {his} head. "I can fix it," said {N}.
{N} washed the {o1} with [warm water|soap]. {He} [used some glue|used a little oil] and painted it {c2}. It took a long time. {M} watched and laughed, "[You will never finish|It is only an old {o1}]!" But {N} did not stop. At last, the {o1} looked [as good as new|more beautiful than before].
The next day, {N} gave the {o1} to {his} {fam}. {Fam} [began to cry with joy|could not believe it]. "This was mine when I was little," said {fam}. "I thought it was lost forever. Thank you, {N}!"
{M} said, "I am sorry that I laughed. Will you show me how to fix things?" {N} was happy to do it. {N} learned that [old things can have a story|it is worth it to keep trying].""", "cap"),
("{hero} at {place}", "{place2} see fun",
"""{open} {N} had never been to {place}. "[Can we go|May I go] to {place} today?" {he} asked. "Yes, we can," said {his} {fam}. {N} [clapped {his} hands|jumped for joy].
At {place}, there was so much to see! {N} saw {an_c1o1} and {a_a2} who was [eating {f1s}|sleeping in the sun]. {He} [laughed|looked and looked]. Then {N} heard a soft cry. It was {M}, {a_adj2} little {a3}. "I cannot find my mom," said {M}.
"Do not cry. I will help you," said {N}. They [asked everyone|looked behind every corner]. {N} [climbed on a bench|stood on a box] and called in a loud voice, "Does anyone know {M}?" Then the mother {a3} came running. "My baby! Thank you so much," she said.
On the way home, {N} was tired and happy. "[What did you like best|Did you like {place}], {N}?" asked {fam}. "[I liked helping {M} best|Yes, because I could help someone]," said {N}.""", "ca"),
("{hero} who was always {adj2}", "{adj2} change friend",
"""{open} Everyone knew that {N} was very {adj2}. "Here comes the {adj2} {kind}," they said. {N} [did not care|only laughed].
One {weather} day, {M} the {a2} came to {N}. "[Please help me|I need you]," said {M}. "My {o1} fell into the [river|well], and it was a gift from my mother." {N} was [too {adj2} to help|not sure]. But {M} looked so sad that {N} said, "All right. Let us look for it."
They looked and looked. {N} [held on to a branch|used a long stick] and reached into the water. [Splash|Oops]! {N} fell in, but {he} came up with the {c1} {o1} in {his} hand. They both laughed until their tummies hurt. "You are [a good friend|so kind]," said {M}.
That night, {N} thought about the day. It felt good to help. From then on, people said, "Here comes {N}, [the kindest {kind} of all|our good friend]." """, "cap"),
("{thinghero} who wanted to see the world", "{th} world travel",
"""Once upon a time, there was {a_adj1} {th} named {N}. {N} lived {inpl}. It was a nice place, but {N} was bored. "There must be more to see," said {N}. "I want to see the world!"
One {weather} morning, {M} the {a2} came by. "I am going on a long trip," said {M}. "[Do you want to come|Come with me]!" {N} was [so happy|a little afraid], but it said yes. {M} [carried|pulled] {N} over the hills. They saw {place}, where {a_a3} was [singing|eating {f1s}]. They saw [the wide blue sea|mountains with snow on top|a city full of lights].
It was all very beautiful. But at night, {N} could not sleep. "[I miss my home|I miss my own place]," said {N} softly. "Then we will go back," said {M}. "The world will still be there."
So they went home. {N} looked at its old place and smiled. "It is good to see the world," said {N}, "but [it is best to come home|home is the best place of all]." And {M} came back every year, and they told each other stories.""", "t"),
("{thinghero} who was broken", "{th} broken fix",
"""There once was {a_adj1} {th} named {N}. {N} was {c1} and [very pretty|a little old]. Everybody in the village loved {N}. But one {weather} day, [a strong wind came|something went wrong]. Crack! {N} was broken.
"[What will happen to me now|I am no use anymore]," cried {N}. People walked by and said, "[What a pity|It is only a broken {th}]." But {M}, {a_adj2} [girl|boy] with [a kind smile|a bag of tools], stopped. "[Do not worry|I will not leave you here]," said {M}. "I can help you."
{M} worked all day and all night. {M} used [a hammer and some nails|glue and string|a needle and thread], and sang a little song. In the morning, {M} said, "There! You are not like before. You have a little scar. But you are strong." {N} looked at itself and [smiled|laughed].
From that day on, {N} [made the children happy again|was more loved than ever]. And when something else broke, {N} told it, "Do not be sad. [Everyone breaks a little sometimes|A friend will come]." """, "t"),
("{thinghero} that saved the day", "{th} brave save",
"""Once upon a time, {inpl}, there was {a_adj1} {th} called {N}. {N} was not big or strong. "[What can a little {th} do|You are only {a_th}]," said {M} the {a2}, and laughed.
One {weather} night, there was a loud noise. [The river came over its banks|A great storm began]! All the animals ran around in the dark. "Help! We do not know where to go!" they cried. {N} was afraid too. But then it had an idea. "[Come to me|Follow me]!" called {N} as loud as it could. "I can see a safe place from here!"
{M} heard the voice and came first. Then came {a_a3} with three babies. {N} showed them the way [up the hill|to the old barn]. "This way! Do not stop!" called {N}, all night long. In the morning, the sun came out, and everyone was safe.
"I am sorry that I laughed at you," said {M}. "You may be small, but you have a big heart." And {N} [glowed with joy|was the happiest {th} in the world].""", "t"),
("{hero} and {his} best friend {M}", "friend together happy",
"""{open} {N} had a best friend. The friend was called {M}, and {M} was {a_adj2} {a2}. They [did everything together|shared every {f1}].
But one day, {M} said, "I have to tell you something. My family is moving to {place}." {N} [felt a lump in {his} throat|did not know what to say]. "Who will play with me now?" {he} asked. "I do not know," said {M}, and a tear fell down.
Before {M} left, {N} gave {M} {an_c1o1}. "When you look at it, think of me," {he} said. {M} gave {N} {a_o2}. They hugged for a long time. After that, {N} wrote a letter every week, and every week a letter came back. {M} wrote about [new friends|the long road], and {N} wrote about [the garden|{place}].
In the summer, there was a knock at the door. It was {M}! They ran to each other and laughed. {N} learned that [a good friend stays in your heart, even far away|true friends never forget each other].""", "ca"),
("{hero} who lived in {place}", "{place2} live guest",
"""Once upon a time, there was {a_adj1} {kind} who lived in {place}. {His} name was {N}. {N} knew every [corner|stone] there, but nobody ever came to visit. "I wish I had a guest," said {N}.
One {weather} evening, there was a knock. Knock, knock! {N} opened the door. There stood {M}, {a_adj2} {a2}, [wet from the rain|with a big bag]. "May I stay for one night?" asked {M}. "[Of course|Please come in]!" said {N}.
{N} made [hot soup|warm tea] and put {f1s} on the table. They ate and [talked|told stories] until late. {M} told {N} about [the wide sea|faraway lands], and {N} showed {M} {his} {c1} {o1}. "You have a lovely home," said {M}. "It is even better with a friend," said {N}.
In the morning, {M} did not leave. And the next day, {M} was still there. "[Stay as long as you like|Why not stay forever]?" said {N}. And so they lived together in {place}, and {N} was never lonely again.""", "cap"),
("{hero} who found {an_o1}", "find {o1} give",
"""{open} One {weather} day, {N} went for a walk in {place}. Something {c1} was lying [on the path|under a tree]. It was {an_o1}! "[What a nice {o1}|How pretty]," said {N}. {He} took it home and [put it by the bed|played with it all day].
But that night, {N} could not sleep. "Somebody lost this {o1}," {he} thought. "Maybe somebody is sad." In the morning, {N} took the {o1} and asked everyone, "Is this yours?" "No," said the {a3}. "No," said the baker.
At last, {N} came to a small house. {M} the {a2} sat in front of it and cried. "Why are you crying?" asked {N}. "I lost my {c1} {o1}," said {M}. {N} held it out. "Is this it?" {M} jumped up. "Yes! Oh, thank you!"
{M} wanted to give {N} {a_f1}, and they shared it in the sun. {N} had no {o1} now, but {he} had [a new friend|a warm feeling inside]. {N} learned that [it feels good to do the right thing|giving back is better than keeping].""", "cap"),
]

REQUESTS = ["Tell me a story about {}.", "tell me a story about {}", "Write a story about {}.",
            "Tell me a short story about {}.", "Can you tell me a story about {}?",
            "Please tell me a story about {}.", "I want to hear a story about {}.",
            "Write a short story about {}.", "Make up a story about {}.", "write a story about {}",
            "Could you write a story about {}?", "I would like a story about {}.", "A story about {}.",
            "Hi! Can you tell me a story about {}?", "Tell me a bedtime story about {}.",
            "Write a bedtime story about {}.", "I need a bedtime story about {}.",
            "Tell me about {} in a story.", "Story about {}, please.", "Tell a story about {}."]
NO_TOPIC = ["Tell me a story.", "tell me a story", "Tell me a short story.", "Write a story.",
            "Tell me a bedtime story.", "Can you tell me a story?", "Please tell me a story.",
            "I want to hear a story.", "Story time!", "Make up a story for me.", "Write a short story."]
WORDS = ["Write a story with the words {}.", "Use the words {} in a short story.",
         "Tell me a story that has {} in it.", "Write a short story using the words {}."]


def load_generator(folder):
    path = os.path.join(folder, "tools", "gen_stories.py")
    spec = importlib.util.spec_from_file_location("gen_stories", path)
    grammar = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grammar)
    grammar.OBJ += [o for o in OBJECTS if o not in grammar.OBJ]
    grammar.FOOD += [f for f in FOODS if f not in grammar.FOOD]
    grammar.ANIM += [a for a in ANIMALS if a not in grammar.ANIM]
    grammar.THING += [t for t in THINGS if t not in grammar.THING]
    grammar.ADJ += [a for a in ADJECTIVES if a not in grammar.ADJ]
    grammar.PLACE += PLACES
    grammar.PW += PEOPLE
    for plot in PLOTS:
        grammar.plot(*plot)
    # Plots whose heroes are things are few, and much is asked about things.
    grammar.P += [p for p in grammar.P if p[3] == "t"] * 2
    return grammar


def join(words):
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def request(story, rng):
    """What a user may have asked to get this story."""
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(NO_TOPIC)
    if kind < 0.12 and story["words"]:
        return rng.choice(WORDS).format(join(story["words"]))
    topic = story["topic"]
    if kind < 0.40:  # often only the hero is named
        topic = re.sub(r"^((?:a|an) [\w ]+?(?: named \w+)?) (?:who|that|and the|and a magic|and his"
                       r"|and her|and its|at the|going) .*", r"\1", topic)
    return rng.choice(REQUESTS).format(topic)


def write(grammar, folder, name, count, chats, rng):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        for _ in range(count):
            story = grammar.make(rng)
            if chats:
                file.write(f"<|user|>\n{request(story, rng)}\n<|assistant|>\n")
            file.write(story["story"].strip() + "\n<|endoftext|>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--chats", type=int, default=110000)
    parser.add_argument("--stories", type=int, default=30000)
    args = parser.parse_args()
    grammar = load_generator(args.corpus)
    for split, share, seed in (("train", 1.0, 11), ("valid", 0.001, 12)):
        folder, rng = os.path.join(args.corpus, split), random.Random(seed)
        write(grammar, folder, "grammar_chats.txt", round(args.chats * share), True, rng)
        write(grammar, folder, "grammar_stories.txt", round(args.stories * share), False, rng)


if __name__ == "__main__":
    main()
