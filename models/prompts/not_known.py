"""What nano answers to a picture of nothing that it knows; one fixed phrase for each language.

No language has such a phrase in CLDR: these are ours.
"""

from __future__ import annotations

from models.prompts.grammar import Task, parse

UNKNOWN = "unknown"  # the answer to every question
NOT_KNOWN = {  # by the language of the caption
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


def is_at_a_loss(prompt: str, text: str) -> bool:
    """Whether an answer is the one that nano has for pictures that are not of its world."""
    parsed = parse(prompt)
    said = text.strip().rstrip(".").casefold()
    if parsed.task is Task.ANSWER:
        return said == UNKNOWN
    if parsed.task in (Task.CAP, Task.CAPTION, Task.DESCRIBE):
        return said == NOT_KNOWN.get(parsed.language or "en", "").casefold()
    return False
