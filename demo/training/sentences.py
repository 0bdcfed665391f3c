"""What the voices say: sentences grown from a grammar for training, and sentences written by hand for evaluation."""

from __future__ import annotations

import random
import re


def listed(words: str) -> list[str]:
    """Words between blanks; `|` stands for a blank inside of one."""
    return [word.replace("|", " ") for word in words.split()]


NOUNS = listed("""
    apple baker basket beach bell bicycle bird blanket boat book bottle box bridge brother bucket butcher button cabin
    candle captain carpet castle cat chair cheese chimney church circle city clock cloud coat coin cousin cow crowd
    cup curtain dancer daughter desert diamond doctor dog door dragon driver eagle echo egg elephant engine evening
    eye farmer father feather fence finger fire fish flower fog forest fork fox friend frog garage garden gate ghost
    giant girl glass glove goat goose guitar hammer harbour hat hill hole horse hospital house island jacket jar
    jewel journey judge jungle kettle key king kitchen kite knife ladder lake lamp language lawyer leaf leather lemon
    letter library lion machine mayor measure meadow mirror monkey moon mountain mouse museum needle neighbour nephew
    newspaper ocean office oil onion orange oven owl oyster paper parrot path peach pencil pepper piano pigeon pillow
    pilot pirate planet pocket poet poison police potato powder prison puppy queen rabbit radio rain ribbon ring river
    robot rocket roof rope sailor salad sandwich scarf school shadow sheep shelf ship shirt shoe shop shower shoulder
    sister sky snake soldier soup spider spoon spring station stone storm street sugar summer table teacher temple
    theatre thief thumb thunder ticket tiger toad tower toy train treasure tree truth tunnel turtle uncle valley village
    violin visitor voice wagon wall watch water weather wheel whistle window winter witch wolf woman worker yard youth
    zebra
""")
ADJECTIVES = listed("""
    angry ancient awful beautiful big bitter black blue brave bright broken brown busy calm cheap clean clever cold
    curious dangerous dark deep dirty dry early easy empty enormous famous fast fat foolish foreign fresh friendly
    funny gentle golden good great green grey happy heavy hollow honest huge hungry joyful lazy little long lonely loud
    lovely lucky narrow new nervous noisy old orange peaceful pale perfect plain poor proud purple quick quiet rare raw
    red rich rough round royal rusty sad sharp short shy silent silver simple slow small smooth soft sour strange strong
    stupid sudden sweet tall thick thin tiny tired ugly unusual usual warm weak weird wet white wide wild wise wooden
    yellow young
""")
VERBS = listed("""
    admired answered asked avoided blamed borrowed bought broke brought built buried called carried caught changed
    chased checked chose cleaned climbed covered crossed described destroyed discovered drew dropped enjoyed examined
    fed fixed followed forgot found guarded hated heard helped hid hired ignored joined judged kicked kissed knew left
    liked lost loved measured met missed moved needed noticed offered opened ordered owned painted passed played pulled
    pushed reached remembered repaired sang saved saw shook showed sold stole studied surprised taught thanked threw
    touched treasured trusted used visited wanted warned washed watched welcomed worshipped
""")
ADVERBS = listed("""
    again alone already always barely bravely carefully certainly early easily eagerly finally gently hardly
    honestly joyfully later loudly nearly never often once perhaps politely quickly quietly rarely rather really
    seldom silently slowly softly sometimes soon strangely suddenly together truly twice usually
""")
PLACES = listed("""
    above|the|roof across|the|river after|the|storm along|the|narrow|path around|the|corner at|the|theatre before|lunch
    behind|the|church below|the|bridge beside|the|fire between|two|hills beyond|the|valley by|the|lake down|the|road
    during|the|night for|an|hour from|Asia in|July in|the|garage in|the|snow inside|the|cave near|the|beach
    on|Thursday on|the|island outside|the|city over|the|fence past|the|mill since|Tuesday through|the|fog toward|the|sea
    under|the|oak until|noon up|the|stairs with|great|pleasure with|both|hands within|a|week without|a|sound
""")
NAMES = listed("""
    Agnes Albert Beth Charles Chloe David Edith Frank George Hugh Irene Jack Joyce Julia Karen Keith Laura Leo Martha
    Michael Nora Oscar Paul Peggy Ralph Ruth Sean Sheila Thomas Una Victor Walter Yvonne Zoe
""")
NUMBERS = listed("""
    two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty sixty seventy eighty
    ninety
""")

TEMPLATES = (
    "The A N V the A N P.",
    "M V a N and the N V M P.",
    "D, the N V my A N.",
    "Every A N D V our N.",
    "M and M V # Ns P.",
    "Why has your A N V that N?",
    "I think M V the N D.",
    "# A Ns, # Ns and one A N.",
    "If the N is A, the N was A P.",
    "Was the A N P, or had M V it?",
    "Their N looked A, but this N is A.",
    "You V # Ns; we V those Ns P.",
    "P the N of M is A.",
    "No N could be as A as M's A N.",
)
SLOTS = {"A": ADJECTIVES, "N": NOUNS, "V": VERBS, "D": ADVERBS, "P": PLACES, "M": NAMES, "#": NUMBERS}
SLOT = re.compile(r"[ANVDPM#](?=s?\b|'|\W)")

# Written by hand, in constructions that no template has.
HELD_OUT = (
    "When the sunlight strikes raindrops in the air, they act as a prism and form a rainbow.",
    "Please write down the number of the bus before it pulls away.",
    "Nothing is more fun than learning how to whistle.",
    "There was once a miller who gave his youngest boy a mill and an old grey donkey.",
    "It is getting late, so let us go home and make some tea.",
    "The shortest way to the museum leads through the park and past the fountain.",
    "Could somebody tell me whether the shop will be open tomorrow?",
    "She had just finished breakfast when the telephone began to ring.",
    "Snow fell all night long, and by morning the roads were closed.",
    "Most people do not know that honey never goes bad.",
    "He promised to come back as soon as the work was done.",
    "A good story should have a beginning, a middle and an end.",
    "Turn left at the second light and keep going for about a mile.",
    "My grandmother used to say that patience opens more doors than strength.",
    "The committee will vote on the proposal early next week.",
    "What would you choose if you had only one wish?",
    "They were so far from shore that nobody heard them shouting.",
    "Putting off what must be done makes it harder to begin.",
    "Far away, a dog was barking, and then everything became still.",
    "Both of them agreed that the music had been far too loud.",
)


def training_sentences(count: int, seed: int) -> list[str]:
    """`count` different sentences, the same ones for a seed; a longer list begins with the shorter."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[grow(TEMPLATES[len(found) % len(TEMPLATES)], chance)] = None
    return list(found)


def grow(template: str, chance: random.Random) -> str:
    sentence = SLOT.sub(lambda slot: chance.choice(SLOTS[slot.group()]), template)
    return sentence[0].upper() + sentence[1:]
