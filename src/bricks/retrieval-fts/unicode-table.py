#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""unicode-table.py: prints unicode-table.h, what fold.c knows of each character, from Python's unicodedata.

A character's row has its class, whether it is an upper-case letter or a digit, and what it folds to: no case, no
accents, compatible forms (width, ligatures, presentation forms, digits of all scripts) as the usual ones.
"""
import unicodedata as u

SEPARATOR, WORD, UNSPACED, IGNORED = range(4)
UPPER, DIGIT = 4, 8
PAGE = 128
ASSIGNED = 0x40000  # what comes later has no letters

# Scripts without spaces between words, and Hangul, whose words have particles.
UNSPACED_RANGES = [
    (0x0E01, 0x0E3A), (0x0E40, 0x0E4E),                                      # Thai
    (0x0E81, 0x0EB9), (0x0EBB, 0x0ECD), (0x0EDC, 0x0EDF),                    # Lao
    (0x1000, 0x103F), (0x1050, 0x108F), (0x1780, 0x17D3),                    # Myanmar, Khmer
    (0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3021, 0x3029),                    # radicals, iteration mark, zero
    (0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x312F), (0x3131, 0x318E),  # kana, Bopomofo, jamo
    (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),  # Han
    (0x1100, 0x11FF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFD),
]
# What shows nothing, and may stand inside a word: soft hyphen, joiners, directions, variation selectors, tags.
IGNORED_RANGES = [
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),
]
# Accents, vowel points and nuktas, which writers leave out. Vowel signs of Indic scripts are letters.
ACCENT_RANGES = [
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C7), (0x0610, 0x061A),
    (0x0640, 0x0640), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x06DF, 0x06E8), (0x06EA, 0x06ED),
    (0x0711, 0x0711), (0x0730, 0x074A), (0x093C, 0x093C), (0x09BC, 0x09BC), (0x0A3C, 0x0A3C), (0x0ABC, 0x0ABC),
    (0x0B3C, 0x0B3C), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F),
]
# What is written in another way where a keyboard lacks it, and has no decomposition.
LETTERS = {
    "ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ı": "i", "ŋ": "n", "ŧ": "t",
    "ĸ": "k", "ɓ": "b", "ɗ": "d", "ɖ": "d", "ƙ": "k", "ƴ": "y", "ə": "e",
    "’": "'", "ʼ": "'", "‐": "-", "♯": "#",
    "ى": "ي", "ة": "ه", "ک": "ك", "ی": "ي", "ہ": "ه", "ە": "ه",
}


def among(c, ranges):
    return any(first <= c <= last for first, last in ranges)


def fold(c):
    char = chr(c)
    if 0xAC00 <= c <= 0xD7A3 or 0x3131 <= c <= 0x318E or 0x1100 <= c <= 0x11FF:
        return char
    if 0xFFA0 <= c <= 0xFFDC:  # half-width Hangul
        return chr(int(u.decomposition(char).split()[1], 16)) if u.decomposition(char) else char
    if u.category(char) == "Nd":
        return str(u.decimal(char))
    s = u.normalize("NFKD", u.normalize("NFKD", char).casefold()).casefold()
    s = "".join(LETTERS.get(x, x) for x in s if not among(ord(x), ACCENT_RANGES))
    return u.normalize("NFC", s) if any(0x3040 <= ord(x) <= 0x30FF for x in s) else s


def class_of(c):
    if among(c, IGNORED_RANGES) or among(c, ACCENT_RANGES):
        return IGNORED
    if among(c, UNSPACED_RANGES):
        return UNSPACED
    return WORD if u.category(chr(c))[0] in "LNM" or u.category(chr(c)) == "Co" else SEPARATOR


def row(c):
    """The class with its flags, and what the character folds to; "": itself."""
    char = chr(c)
    plain = not u.decomposition(char) and char.casefold() == char and char not in LETTERS
    s = char if plain and u.category(char) != "Nd" else fold(c)
    kinds = {class_of(ord(x)) for x in s}
    if not s or len(kinds) > 1 or len(s) > 4 or (len(s) > 1 and kinds != {WORD}):
        s, kinds = char, {class_of(c)}
    kind = IGNORED if class_of(c) == IGNORED else kinds.pop()
    category = u.category(char)
    flags = UPPER if category in ("Lu", "Lt") else DIGIT if category == "Nd" else 0
    return kind | flags if kind == WORD else kind, "" if s == char or kind == IGNORED else s


def main():
    pages, numbers, rows, values = {}, [], {}, []
    for start in range(0, 0x110000, PAGE):
        page = []
        assigned = start < ASSIGNED or start >> 12 == 0xE0
        for c in range(start, start + PAGE):
            value = row(c) if assigned else (SEPARATOR, "")
            if value not in rows:
                rows[value] = len(values)
                values.append(value)
            page.append(rows[value])
        numbers.append(pages.setdefault(tuple(page), len(pages)))
    assert len(values) < 65536 and len(pages) < 65536
    print("/* SPDX-License-Identifier: MIT */\n\n/* Made by unicode-table.py. */\n")
    print(f'#define UNICODE_VERSION "{u.unidata_version}"\n#define UNICODE_PAGE {PAGE}\n')
    print("static const struct { uint8_t kind; uint8_t n; char text[17]; } unicode_rows[] = {")
    for kind, s in values:
        data = s.encode("utf-8")
        assert len(data) <= 16
        print('\t{ %d, %d, "%s" },' % (kind, len(data), "".join(f"\\{b:03o}" for b in data)))
    print("};\nstatic const uint16_t unicode_pages[] = {")
    for i in range(0, len(numbers), 16):
        print("\t" + " ".join(f"{x}," for x in numbers[i:i + 16]))
    print("};\nstatic const uint16_t unicode_page[][UNICODE_PAGE] = {")
    for page in pages:
        print("\t{ " + " ".join(f"{x}," for x in page) + " },")
    print("};")


main()
