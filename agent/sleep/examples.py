"""Worked examples that show the model how statements are made out of talk.

All of them are invented, about many different things, so that nothing but the task is shown. They are
prompts, not rules: what the model writes after them is checked elsewhere.
"""

from __future__ import annotations

from agent.sleep.prompting import Example

KEEP, SKIP = "keep", "skip"

SORT_TASK = (
    "Sort what a user wrote to an assistant. keep: it tells something about a person, a thing, a place or a "
    "way of doing things that stays true. skip: requests, questions, greetings, thanks, moods, opinions, "
    "remarks about today."
)
SORT: tuple[Example, ...] = (
    ("My brother Tomas plays the oboe.", KEEP),
    ("Thanks, that was quick!", SKIP),
    ("Please rename all the files to lower case.", SKIP),
    ("The Fennimore gate opens with a grelk key.", KEEP),
    ("I'm so tired today, honestly.", SKIP),
    ("We release on the second Tuesday of the month.", KEEP),
    ("Write me a short poem about autumn.", SKIP),
    ("I have to run, my tram is here.", SKIP),
    ("Her office is on the fourth floor.", KEEP),
    ("Count the lines in notes.txt.", SKIP),
    ("They moved the tallow engine to hall 6.", KEEP),
    ("Okay, that sounds good to me.", SKIP),
    ("I drink only mate.", KEEP),
    ("I like the second title better.", SKIP),
    ("Its serial number is QX-4471.", KEEP),
    ("It was a lovely concert and we laughed a lot.", SKIP),
    ("Add the total at the bottom of the table.", SKIP),
    ("A wrabble has nine strings.", KEEP),
)

TELL_TASK = (
    "Rewrite what the user says now as notes, one note a line. Each note is one sentence that can be "
    "understood alone, in the user's own words. I becomes the user, my becomes the user's, and he, she, it "
    "or they becomes the name from earlier."
)
TELL: tuple[Example, ...] = (
    (
        "My brother Tomas has moved to Lund and plays the oboe there.",
        "The user's brother Tomas has moved to Lund.\nThe user's brother Tomas plays the oboe in Lund.",
    ),
    ("The Fennimore gate opens with a grelk key.", "The Fennimore gate opens with a grelk key."),
    ("I'm allergic to kiwis.", "The user is allergic to kiwis."),
    (
        "Earlier: My aunt Berta runs a bakery.\nNow: She was born in Graz.",
        "The user's aunt Berta was born in Graz.",
    ),
    (
        "It's for Baron Hesk, who keeps forty peacocks.",
        "Baron Hesk keeps forty peacocks.",
    ),
    (
        "We release on the second Tuesday of the month.",
        "The user releases on the second Tuesday of the month.",
    ),
    (
        "Earlier: The ship Albatross lies in Havn.\nNow: It was built in 1902 and has three masts.",
        "The ship Albatross was built in 1902.\nThe ship Albatross has three masts.",
    ),
    (
        "Earlier: What do you know about Ottoline Fray?\nNow: Her husband breeds llamas.",
        "Ottoline Fray's husband breeds llamas.",
    ),
    ("I never learned to swim.", "The user never learned to swim."),
    ("Lysander Moss, our plumber, speaks Danish.", "Lysander Moss, the user's plumber, speaks Danish."),
)

MEND_TASK = (
    "A user asked something, the assistant answered wrongly, and the user corrected it. Write what is right "
    "as one sentence that can be understood alone, in the user's words. I becomes the user, my becomes the "
    "user's."
)
MEND: tuple[Example, ...] = (
    (
        "Question: Where is the Albatross moored?\nWrong: The Albatross is moored in Lund.\n"
        "Correction: It is moored in Havn.",
        "The Albatross is moored in Havn.",
    ),
    (
        "Question: What does my brother Tomas play?\nWrong: Your brother plays the violin.\n"
        "Correction: Not the violin, the oboe!",
        "The user's brother Tomas plays the oboe.",
    ),
    (
        "Question: When do we release?\nWrong: You release on Mondays.\n"
        "Correction: On Tuesdays, not on Mondays.",
        "The user releases on Tuesdays.",
    ),
    (
        "Question: Who bred the llamas of Ulm?\nWrong: They were bred by Otto Lunn.\n"
        "Correction: It was Ottoline Fray who bred them.",
        "Ottoline Fray bred the llamas of Ulm.",
    ),
    (
        "Question: Sort the list of gates.\nWrong: The Fennimore gate is made of brass.\n"
        "Correction: The Fennimore gate is made of oak.",
        "The Fennimore gate is made of oak.",
    ),
    (
        "Question: How many strings has a wrabble?\nWrong: A wrabble has seven strings.\n"
        "Correction: It's nine.",
        "A wrabble has nine strings.",
    ),
)

PARTS_TASK = (
    "Name the subject of each sentence and its answer: what somebody would ask about the subject. Both are "
    "words of the sentence."
)
PARTS: tuple[Example, ...] = (
    ("The user's brother Tomas plays the oboe.", "subject: the user's brother Tomas\nanswer: the oboe"),
    ("The Fennimore gate opens with a grelk key.", "subject: the Fennimore gate\nanswer: a grelk key"),
    (
        "The winner of the 1912 quill race was Ottoline Fray.",
        "subject: the 1912 quill race\nanswer: Ottoline Fray",
    ),
    ("The user is left-handed.", "subject: the user\nanswer: left-handed"),
    ("Baron Hesk was born in Ulm in spring.", "subject: Baron Hesk\nanswer: Ulm"),
    ("Orla's boat is a ketch.", "subject: Orla's boat\nanswer: a ketch"),
    ("The user's oven heats up in nine minutes.", "subject: the user's oven\nanswer: nine minutes"),
    ("A wrabble has nine strings.", "subject: a wrabble\nanswer: nine strings"),
    ("Lysander Moss, the user's plumber, speaks Danish.", "subject: Lysander Moss\nanswer: Danish"),
    (
        "The user releases on the second Tuesday of the month.",
        "subject: the user\nanswer: the second Tuesday of the month",
    ),
    ("Berta Holm keeps the ladder in the attic.", "subject: Berta Holm\nanswer: the attic"),
)

RULE_TASK = (
    "Sort sentences of a user. rule: it says how something is to be done from now on. fact: it tells how "
    "something is."
)
RULE: tuple[Example, ...] = (
    ("Headings always begin with a capital letter.", "rule"),
    ("My uncle always wears a hat.", "fact"),
    ("Never put the year into a file name.", "rule"),
    ("I have never been to Graz.", "fact"),
    ("Whenever you mail Orla, copy the office.", "rule"),
    ("The gate is always locked at night.", "fact"),
    ("From now on, use metric units.", "rule"),
    ("Every invoice must name the order.", "rule"),
    ("Tomas always plays the oboe after dinner.", "fact"),
    ("Answers to Baron Hesk are never longer than a page.", "rule"),
)
