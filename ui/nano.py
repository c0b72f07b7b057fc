"""What nano was taught, in words for the page. A test keeps it equal to what it was trained on."""

from __future__ import annotations

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
READS = "Words and codes printed in capitals and digits."


def knows(name: str) -> bool:
    """Whether an object is called so, in full or in part, such as "apple" of "red apple"; also in
    the plural."""
    words = name.lower().split()
    if not words:
        return False
    *first, last = words
    forms = ({*first, last.removesuffix(ending)} for ending in ("", "s", "es"))
    return any(form <= known for form in forms for known in _WORDS)
