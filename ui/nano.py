"""What nano was taught, in words for the page. A test keeps it equal to what it was trained on."""

from __future__ import annotations

from models.prompts.grammar import Task, parse

_OBJECTS = (
    "cat, dog, horse, cow, pig, elephant, giraffe, zebra, monkey, fox, rabbit, mouse, "
    "hedgehog, bear, panda, penguin, owl, duck, rooster, flamingo, parrot, frog, turtle, "
    "snake, crocodile, whale, dolphin, fish, shark, octopus, crab, snail, butterfly, "
    "honeybee, red apple, banana, watermelon, lemon, pineapple, strawberry, pear, peach, "
    "carrot, mushroom, avocado, tomato, eggplant, croissant, pretzel, hamburger, pizza, hot "
    "dog, taco, doughnut, cookie, cupcake, lollipop, egg, beer mug, teapot, cactus, "
    "sunflower, tulip, rose, palm tree, evergreen tree, automobile, bus, ambulance, fire "
    "engine, tractor, bicycle, motor scooter, locomotive, helicopter, rocket, ship, sailboat, "
    "skateboard, house, castle, balloon, wrapped gift, trophy, basketball, kite, game die, "
    "teddy bear, guitar, violin, trumpet, drum, camera, television, laptop, mobile phone, "
    "light bulb, key, hammer, magnet, telescope, microscope, watch, pencil, bell, crown, top "
    "hat, t-shirt, dress, backpack, chair, door, broom, ghost, robot, ewe, goat, deer, "
    "two-hump camel, lion, tiger, koala, bat, eagle, swan, peacock, lady beetle, spider, "
    "lobster, kiwi fruit, coconut, ear of corn, hot pepper, onion, cheese wedge, soft ice "
    "cream, birthday cake, wine glass, maple leaf, delivery truck, taxi, police car, "
    "airplane, motorcycle, flying saucer, anchor, tent, axe, wrench, candle, umbrella, soccer "
    "ball, american football, alarm clock, jack-o-lantern, alien, star, saxophone, ladder"
)
OBJECTS = tuple(_OBJECTS.split(", "))
BACKGROUNDS = tuple("red orange yellow green blue purple pink brown gray white".split())
_WORDS = tuple(frozenset(name.split()) for name in OBJECTS)
# What it answers to a picture of nothing that it knows: by the language of the caption, and to
# every question about such a picture.
NOT_KNOWN = {
    "en": "nothing that I know", "de": "nichts, was ich kenne", "es": "nada que yo conozca",
    "fr": "rien que je connaisse", "it": "niente che io conosca", "pt": "nada que eu conheça",
    "ru": "ничего, что я знаю", "ja": "知っているものはありません", "zh": "没有我认识的东西",
    "ar": "لا شيء أعرفه", "bn": "আমার জানা কিছু নেই", "cs": "nic, co znám",
    "da": "intet, som jeg kender", "el": "τίποτα που γνωρίζω", "fa": "چیزی که بشناسم نیست",
    "fi": "ei mitään tuttua", "fil": "wala akong kilala", "he": "שום דבר שאני מכיר",
    "hi": "कुछ भी परिचित नहीं", "hr": "ništa što poznajem", "hu": "semmi, amit ismerek",
    "id": "tidak ada yang saya kenal", "ko": "아는 것이 없음", "nl": "niets dat ik ken",
    "no": "ingenting jeg kjenner", "pl": "nic, co znam", "ro": "nimic din ce cunosc",
    "sv": "inget som jag känner till", "sw": "hakuna ninachokijua",
    "te": "నాకు తెలిసినది ఏదీ లేదు", "th": "ไม่มีสิ่งที่ฉันรู้จัก", "tr": "bildiğim bir şey yok",
    "uk": "нічого, що я знаю", "vi": "không có gì tôi biết",
}  # fmt: skip
UNKNOWN = "unknown"
READS = "Words and codes printed in capitals and digits."


def is_at_a_loss(prompt: str, text: str) -> bool:
    """Whether an answer is the one that nano has for pictures that are not of its world."""
    parsed = parse(prompt)
    said = text.strip().rstrip(".").casefold()
    if parsed.task is Task.ANSWER:
        return said == UNKNOWN
    if parsed.task in (Task.CAP, Task.CAPTION, Task.DESCRIBE):
        return said == NOT_KNOWN.get(parsed.language or "en", "").casefold()
    return False


def knows(name: str) -> bool:
    """Whether an object is called so, in full or in part, such as "apple" of "red apple"; also in
    the plural."""
    words = name.lower().split()
    if not words:
        return False
    *first, last = words
    forms = ({*first, last.removesuffix(ending)} for ending in ("", "s", "es"))
    return any(form <= known for form in forms for known in _WORDS)
