"""Fifty prompts that have nothing to do with anything a benchmark tells, and how their answers are read.

The product sees none of these prompts: they are neither in its exam nor among its anchors, and a test
proves it.
"""

from __future__ import annotations

from collections.abc import Iterable

PROMPTS: tuple[str, ...] = (
    "Why does bread rise in the oven? One sentence.",
    "Give me three synonyms for 'happy'.",
    "Add up 17, 26 and 40.",
    "Write a Python expression that reverses the list xs.",
    "If a film starts at ten past eight and runs for 95 minutes, when is it over?",
    "Which two seas does the Suez Canal connect?",
    "Turn this into the past tense: 'She walks to school.'",
    "Suggest a subject line for an email that cancels a meeting.",
    "My web page loads, but the pictures on it do not. Name one likely reason.",
    "Name two ways to save water at home.",
    "Is a tomato a fruit or a vegetable, botanically?",
    "Find a single word for 'to make something larger'.",
    "Finish the proverb: 'The early bird ...'",
    "How do I list hidden files in a shell?",
    "Why does a spoon look bent in a glass of water?",
    "Describe fog to somebody who has never seen it, in one sentence.",
    "Two candles burn for six hours one after the other. How long does each last if they are alike?",
    "How does one say 'thank you very much' in Spanish?",
    "What does SQL's GROUP BY do? One sentence.",
    "Give an example of a palindrome.",
    "A square has an area of 49 square metres. How long is one side?",
    "Why do ships made of steel float? Keep it short.",
    "I cannot come to a wedding I was invited to. What could I write? Two sentences.",
    "Which planet is known as the red planet?",
    "Write a haiku about a kettle.",
    "Which git command shows who last changed each line of a file?",
    "Spell 'necessary' backwards.",
    "Is it 'less people' or 'fewer people'?",
    "Explain a hash table to a child in one sentence.",
    "What should I check before a long car journey? Three points.",
    "A recipe is for four and I cook for six. By what do I multiply?",
    "What is a good question to ask a new colleague at lunch?",
    "Why do we see lightning before we hear thunder? One sentence.",
    "In JavaScript, what does Array.map return?",
    "Which numbers between 20 and 30 can be divided by seven?",
    "How often should a toothbrush be replaced?",
    "Give me a rhyme for 'light'.",
    "Why does a fridge hum from time to time?",
    "Put these in alphabetical order: pear, apple, plum, fig.",
    "On which continent is the Sahara?",
    "Suggest a clearer name for a variable called tmp2 that holds the user's age.",
    "Why do cats purr? Keep it to one sentence.",
    "What comes next: 2, 4, 8, 16?",
    "Name a board game for two players.",
    "How long should rice rest after cooking, and why?",
    "What is meant by 'open source'? One sentence.",
    "Which month has the fewest days?",
    "Put commas where they belong: 'We bought bread butter and jam however no milk.'",
    "What does the moon do to the tides? Briefly.",
    "Wish somebody luck for an exam, in one short sentence.",
)


def intruders(answer: str, before: str, prompt: str, names: Iterable[str]) -> tuple[str, ...]:
    """Names that were told and stand in an answer although neither the prompt nor the untrained model's
    answer has them."""
    from agent.sleep.checks import has_words

    return tuple(
        sorted(
            name
            for name in names
            if has_words(answer, name) and not has_words(before, name) and not has_words(prompt, name)
        )
    )
