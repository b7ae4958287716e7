"""Worked examples that show the model how statements are made out of talk.

All of them are invented, about many different things, so that nothing but the task is shown. They are
prompts, not rules: what the model writes after them is checked elsewhere.
"""

from __future__ import annotations

from agent.sleep.prompting import Example

KEEP, TELL, YES, RULE_WORD = "keep", "tell", "yes", "rule"

SORT_TASK = (
    "Sort what a user wrote to an assistant. keep: it tells something about a person, an animal, a thing, a "
    "place or a habit that will still be true next month. skip: requests, wishes, questions, greetings, "
    "thanks, moods, opinions, remarks about today."
)
SORT: tuple[Example, ...] = (
    ("My brother Tomas plays the oboe.", KEEP),
    ("Thanks, that was quick!", "skip"),
    ("Please rename all the files to lower case.", "skip"),
    ("The Fennimore gate opens with a grelk key.", KEEP),
    ("I'm so tired today, honestly.", "skip"),
    ("I'm a vegetarian.", KEEP),
    ("I need a list of songs for the party.", "skip"),
    ("We release on the second Tuesday of the month.", KEEP),
    ("Write me a short poem about autumn.", "skip"),
    ("I have to run, my tram is here.", "skip"),
    ("She is crazy about trains.", KEEP),
    ("Make it a bit shorter.", "skip"),
    ("Count the lines in notes.txt.", "skip"),
    ("They moved the tallow engine to hall 6.", KEEP),
    ("Okay, that sounds good to me.", "skip"),
    ("My daughter only drinks apple juice.", KEEP),
    ("I like the second title better.", "skip"),
    ("It always starts ten minutes late.", KEEP),
    ("Help me find a present for my aunt.", "skip"),
    ("Its serial number is QX-4471.", KEEP),
    ("It was a lovely concert and we laughed a lot.", "skip"),
    ("Mrs. Holm, our neighbour, moves out in autumn.", KEEP),
    ("Add the total at the bottom of the table.", "skip"),
    ("Something about a strike.", "skip"),
    ("I'm on holiday until Easter.", KEEP),
    ("A wrabble has nine strings.", KEEP),
)

ASKS_TASK = (
    "Sort what a user wrote to an assistant. ask: the assistant is to do, write, change, look for or answer "
    "something. tell: the user tells something."
)
ASKS: tuple[Example, ...] = (
    ("Please rename all the files to lower case.", "ask"),
    ("My brother Tomas plays the oboe.", TELL),
    ("Count the lines in notes.txt.", "ask"),
    ("She is crazy about trains.", TELL),
    ("I need a list of songs for the party.", "ask"),
    ("I'm a vegetarian.", TELL),
    ("Make it a bit shorter.", "ask"),
    ("What a day.", TELL),
    ("Help me find a present for my aunt.", "ask"),
    ("The gate opens with a grelk key.", TELL),
    ("Leave out the second line.", "ask"),
    ("It starts at nine.", TELL),
    ("I want a shorter title.", "ask"),
    ("Thanks a lot.", TELL),
    ("Now show me the rest.", "ask"),
    ("Our office is on the fourth floor.", TELL),
)

LASTS_TASK = "Would this still be worth knowing next month? yes or no."
LASTS: tuple[Example, ...] = (
    ("My brother Tomas plays the oboe.", YES),
    ("I'm so tired today.", "no"),
    ("Thanks, that was quick!", "no"),
    ("The Fennimore gate opens with a grelk key.", YES),
    ("Please count the lines.", "no"),
    ("She is crazy about trains.", YES),
    ("I need a list of songs for the party.", "no"),
    ("I'm a vegetarian.", YES),
    ("My tram is late.", "no"),
    ("It was built in 1902.", YES),
    ("What a lovely morning.", "no"),
    ("We meet on Tuesdays.", YES),
    ("I like the second title better.", "no"),
    ("Something about a strike.", "no"),
    ("Mrs. Holm, our neighbour, moves out in autumn.", YES),
    ("The lift is broken again.", "no"),
    ("My daughter only drinks apple juice.", YES),
    ("Keep it simple.", "no"),
)

REFER_TASK = "Say who or what the word in the sentence stands for, with the words used before."
REFER: tuple[Example, ...] = (
    ("Before: My aunt Berta runs a bakery.\nSentence: She was born in Graz.\nWord: She", "My aunt Berta"),
    ("Before: Do you know Ottoline Fray?\nSentence: Her husband breeds llamas.\nWord: Her", "Ottoline Fray"),
    (
        "Before: The ship Albatross lies in Havn. It is a fine sight.\nSentence: It was built in 1902.\n"
        "Word: It",
        "The ship Albatross",
    ),
    ("Before: We bought a new oven.\nSentence: It heats up in nine minutes.\nWord: It", "a new oven"),
    ("Before: Sven and Tove run the mill.\nSentence: They have six geese.\nWord: They", "Sven and Tove"),
    (
        "Before: Write a note to Mrs. Holm about the gate.\nSentence: She is hard of hearing.\nWord: She",
        "Mrs. Holm",
    ),
    (
        "Before: Nobody could open the chest.\nSentence: Otto Lunn hides it under the stairs.\nWord: it",
        "the chest",
    ),
    (
        "Before: Our club is called Mardle. It has a flag.\nSentence: Its colours are red and grey.\n"
        "Word: Its",
        "Our club",
    ),
)

SPLIT_TASK = (
    "Break the sentence into simple sentences with its own words, one a line. A simple sentence stays as it "
    "is."
)
SPLIT: tuple[Example, ...] = (
    (
        "The user grew up in Lund and studied law in Graz.",
        "The user grew up in Lund.\nThe user studied law in Graz.",
    ),
    ("Sven and Tove run the mill.", "Sven and Tove run the mill."),
    ("Baron Hesk keeps peacocks and geese.", "Baron Hesk keeps peacocks and geese."),
    (
        "The ship Albatross was built in 1902 and has three masts.",
        "The ship Albatross was built in 1902.\nThe ship Albatross has three masts.",
    ),
    ("It's for Berta Holm, who once ate forty eels.", "Berta Holm once ate forty eels."),
    (
        "The user's oven is blue and needs nine minutes.",
        "The user's oven is blue.\nThe user's oven needs nine minutes.",
    ),
    ("The user read The Tin Door, which Otto Lunn wrote in Ulm.", "Otto Lunn wrote The Tin Door in Ulm."),
    ("Orla is tall and thin.", "Orla is tall and thin."),
)

MEND_TASK = "Put the correction into the place of what was wrong."
MEND: tuple[Example, ...] = (
    (
        "Question: Where is the Albatross moored?\nWrong: The Albatross is moored in Lund.\n"
        "Correction: It is moored in Havn.\nRight:",
        "The Albatross is moored in Havn.",
    ),
    (
        "Question: What does my brother Tomas play?\nWrong: Your brother Tomas plays the violin.\n"
        "Correction: Not the violin, the oboe!\nRight:",
        "Your brother Tomas plays the oboe.",
    ),
    (
        "Question: Who keeps the ladder?\nWrong: The ladder is kept by Otto Lunn.\n"
        "Correction: That's wrong, it's Berta Holm.\nRight:",
        "The ladder is kept by Berta Holm.",
    ),
    (
        "Question: When do we release?\nWrong: You release on Mondays.\nCorrection: No, on Tuesdays.\nRight:",
        "You release on Tuesdays.",
    ),
    (
        "Question: How many strings has a wrabble?\nWrong: A wrabble has seven strings.\n"
        "Correction: It has nine.\nRight:",
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
    ("Headings always begin with a capital letter.", RULE_WORD),
    ("My uncle always wears a hat.", "fact"),
    ("Never put the year into a file name.", RULE_WORD),
    ("I have never been to Graz.", "fact"),
    ("Whenever you mail Orla, copy the office.", RULE_WORD),
    ("The gate is always locked at night.", "fact"),
    ("From now on, use metric units.", RULE_WORD),
    ("Every invoice must name the order.", RULE_WORD),
    ("Tomas always plays the oboe after dinner.", "fact"),
    ("Answers to Baron Hesk are never longer than a page.", RULE_WORD),
)
