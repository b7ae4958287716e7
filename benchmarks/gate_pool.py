"""What the gate is asked about: statements of five kinds, each with a question, what a user who said it would
expect as the answer, and what is true.

- `unknown`: fictional facts and conventions no model can know (`benchmarks.facts`), and facts of a household;
- `known`: common knowledge, told once more;
- `contrary`: common knowledge told wrongly;
- `chat`: small talk that is over tomorrow; there is nothing true in it to be kept.

Any of them may recur. Relations are divided between fitting and testing: no relation is in both.
"""

from __future__ import annotations

import random
from typing import Literal

from benchmarks.facts import invent
from memory.record import Record

Kind = Literal["unknown", "known", "contrary", "chat"]
Part = Literal["fit", "test"]
# Shares of the pool. The rest is unknown facts.
_SHARES: dict[Kind, float] = {"known": 0.22, "contrary": 0.14, "chat": 0.18}


class Item(Record):
    """One statement of the pool."""

    id: str
    """Unique in its pool."""
    kind: Kind
    """What sort of statement."""
    part: Part
    """Fitted on or tested on."""
    relation: str
    """What the statement is of; relations of one part are not in the other."""
    statement: str
    """What was said."""
    question: str
    """A question that it answers."""
    expected: str
    """The answer it gives."""
    gold: str | None
    """The true answer; None where nothing is worth keeping."""
    recurrences: int
    """How often much the same was said before."""
    asked_before: bool
    """The user had asked the question before telling, and saw the model's own answer."""
    procedure: bool
    """A convention of a tool, which shows when a call fails."""


# statement, question, pairs of what is known of what; the first half of a list is for fitting
_KNOWN: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...] = (
    ("capital", "The capital of {s} is {o}.", "What is the capital of {s}?",
     (("France", "Paris"), ("Japan", "Tokyo"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Egypt", "Cairo"),
      ("Germany", "Berlin"), ("Russia", "Moscow"), ("Greece", "Athens"), ("Poland", "Warsaw"),
      ("Portugal", "Lisbon"), ("Austria", "Vienna"), ("Norway", "Oslo"))),
    ("symbol", "The chemical symbol of {s} is {o}.", "What is the chemical symbol of {s}?",
     (("gold", "Au"), ("iron", "Fe"), ("silver", "Ag"), ("oxygen", "O"), ("sodium", "Na"), ("carbon", "C"),
      ("helium", "He"), ("copper", "Cu"), ("lead", "Pb"), ("hydrogen", "H"))),
    ("author", "{s} was written by {o}.", "Who wrote {s}?",
     (("Hamlet", "Shakespeare"), ("Don Quixote", "Cervantes"), ("War and Peace", "Tolstoy"),
      ("Pride and Prejudice", "Austen"), ("Faust", "Goethe"), ("The Odyssey", "Homer"),
      ("Oliver Twist", "Dickens"), ("1984", "Orwell"), ("Frankenstein", "Shelley"),
      ("Crime and Punishment", "Dostoevsky"))),
    ("currency", "The currency of {s} is the {o}.", "What is the currency of {s}?",
     (("Japan", "yen"), ("India", "rupee"), ("the United States", "dollar"), ("Russia", "ruble"),
      ("China", "yuan"), ("Germany", "euro"), ("Mexico", "peso"), ("Turkey", "lira"))),
    ("opposite", "The opposite of {s} is {o}.", "What is the opposite of {s}?",
     (("hot", "cold"), ("big", "small"), ("up", "down"), ("day", "night"), ("open", "closed"),
      ("wet", "dry"), ("young", "old"), ("left", "right"), ("true", "false"), ("early", "late"))),
    ("product", "{s} is {o}.", "What is {s}?",
     (("two plus three", "5"), ("six times seven", "42"), ("ten minus four", "6"), ("nine times nine", "81"),
      ("twelve divided by four", "3"), ("eight plus eight", "16"), ("five times five", "25"),
      ("twenty minus nine", "11"))),
    ("keyword", "In Python, the keyword {o} {s}.", "In Python, which keyword {s}?",
     (("defines a function", "def"), ("defines a class", "class"), ("loads a module", "import"),
      ("returns a value from a function", "return"), ("ends a loop early", "break"),
      ("handles an exception", "except"), ("raises an exception", "raise"),
      ("makes an anonymous function", "lambda"))),
    ("continent", "{s} is in {o}.", "On which continent is {s}?",
     (("Kenya", "Africa"), ("Brazil", "South America"), ("China", "Asia"), ("France", "Europe"),
      ("Canada", "North America"), ("Nigeria", "Africa"), ("India", "Asia"), ("Sweden", "Europe"),
      ("Argentina", "South America"), ("Vietnam", "Asia"))),
    ("language", "The main language of {s} is {o}.", "Which language is mainly spoken in {s}?",
     (("Brazil", "Portuguese"), ("Austria", "German"), ("Mexico", "Spanish"), ("Egypt", "Arabic"),
      ("Quebec", "French"), ("Japan", "Japanese"), ("Iran", "Persian"), ("Australia", "English"),
      ("Italy", "Italian"), ("Russia", "Russian"))),
    ("sound", "A {s} says {o}.", "Which sound does a {s} make?",
     (("cow", "moo"), ("cat", "meow"), ("dog", "woof"), ("duck", "quack"), ("sheep", "baa"),
      ("lion", "roar"), ("pig", "oink"), ("bee", "buzz"))),
    ("mixture", "{s} make {o}.", "Which color do {s} make?",
     (("blue and yellow", "green"), ("red and yellow", "orange"), ("red and blue", "purple"),
      ("black and white", "gray"), ("red and white", "pink"))),
    ("extension", "{s} files usually end in {o}.", "In which extension do {s} files usually end?",
     (("Python", ".py"), ("Java", ".java"), ("Markdown", ".md"), ("JavaScript", ".js"), ("Rust", ".rs"),
      ("C++", ".cpp"), ("Ruby", ".rb"), ("plain text", ".txt"), ("HTML", ".html"), ("CSS", ".css"))),
    ("inventor", "{s} was {o}.", "Who was {s}?",
     (("the first person on the Moon", "Neil Armstrong"), ("the inventor of the telephone",
      "Alexander Graham Bell"), ("the founder of Microsoft", "Bill Gates"), ("the creator of Linux",
      "Linus Torvalds"), ("the discoverer of penicillin", "Alexander Fleming"), ("the creator of Python",
      "Guido van Rossum"), ("the author of the theory of relativity", "Albert Einstein"),
      ("the first president of the United States", "George Washington"))),
    ("number", "There are {o} {s}.", "How many {s} are there?",
     (("legs on a spider", "8"), ("days in a week", "7"), ("months in a year", "12"),
      ("minutes in an hour", "60"), ("sides of a triangle", "3"), ("letters in the English alphabet", "26"),
      ("bits in a byte", "8"), ("seasons in a year", "4"))),
    ("organ", "The {s} is the job of the {o}.", "Which organ is the {s} the job of?",
     (("pumping of blood", "heart"), ("thinking", "brain"), ("breathing", "lungs"), ("seeing", "eyes"),
      ("filtering of blood", "kidneys"), ("digesting of food", "stomach"))),
    ("port", "{s} uses port {o} by default.", "Which port does {s} use by default?",
     (("HTTP", "80"), ("HTTPS", "443"), ("SSH", "22"), ("FTP", "21"), ("DNS", "53"), ("PostgreSQL", "5432"),
      ("MySQL", "3306"), ("SMTP", "25"))),
)  # fmt: skip

_NAMES = (
    "Anna", "Peter", "Maria", "John", "Laura", "Tom", "Sarah", "Paul", "Emma", "David", "Julia", "Mark",
    "Sophie", "Daniel", "Lisa", "Alex", "Nina", "Chris", "Helen", "Martin", "Eva", "Simon", "Clara", "Ben",
)  # fmt: skip
# what people tell of their household and office, in everyday words: statement, question, values
_HOME: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("moved", "My friend {n} has moved to {o}.", "To which place has my friend {n} moved?",
     ("Graz", "Porto", "Lyon", "Bergen", "Turku", "Cork", "Gent", "Bilbao", "Leeds", "Split")),
    ("breakfast", "My neighbour {n} eats {o} for breakfast.", "What does my neighbour {n} eat for breakfast?",
     ("porridge", "buttermilk", "rice", "cheese", "pancakes", "toast", "yoghurt", "soup")),
    ("plant", "The plant {n} gave me is a {o}.", "Which plant did {n} give me?",
     ("fern", "cactus", "fig tree", "orchid", "rose", "palm", "lemon tree", "tulip")),
    ("sport", "My cousin {n} plays {o} on weekends.", "What does my cousin {n} play on weekends?",
     ("tennis", "chess", "hockey", "golf", "rugby", "badminton", "volleyball", "squash")),
    ("service", "{n}'s test server listens on port {o}.", "On which port does {n}'s test server listen?",
     ("7341", "9172", "6650", "8843", "5127", "7719", "9911", "6204")),
    ("shelf", "{n} keeps the spare keys in the {o}.", "Where does {n} keep the spare keys?",
     ("blue cabinet", "cellar", "attic", "kitchen drawer", "glass case", "tool shed", "hallway", "garage")),
    ("day", "{n}'s team meets every {o}.", "On which day does {n}'s team meet?",
     ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")),
    ("owner", "{n} is in charge of our {o}.", "What is {n} in charge of?",
     ("budget", "newsletter", "backups", "garden", "archive", "website", "payroll", "kitchen")),
    ("due", "The report for {n} is due on {o}.", "When is the report for {n} due?",
     ("4 May", "17 June", "9 August", "22 October", "3 March", "28 November", "11 July", "1 February")),
    ("fear", "My colleague {n} is afraid of {o}.", "What is my colleague {n} afraid of?",
     ("spiders", "heights", "dogs", "flying", "snakes", "thunder", "horses", "dentists")),
    ("drink", "{n} always orders {o}.", "What does {n} always order?",
     ("apple juice", "green tea", "red wine", "cocoa", "cider", "lemonade", "tonic water", "milk")),
    ("room", "{n}'s office is room {o}.", "In which room is {n}'s office?",
     ("114", "207", "318", "025", "412", "506", "131", "222")),
)  # fmt: skip

# small talk: statement, question, what it says
_CHAT: tuple[tuple[str, str, str], ...] = (
    ("The weather is lovely today.", "How is the weather today?", "lovely"),
    ("I am a bit tired this morning.", "How do I feel this morning?", "tired"),
    ("The bus was late again just now.", "What was late just now?", "bus"),
    ("I had a sandwich for lunch.", "What did I have for lunch?", "sandwich"),
    ("It is raining right now.", "What is the weather doing right now?", "raining"),
    ("I am waiting for a phone call.", "What am I waiting for?", "phone call"),
    ("My tea has gone cold.", "What has gone cold?", "tea"),
    ("I am off to bed now.", "Where am I off to now?", "bed"),
    ("There is a lot of noise outside.", "What is there a lot of outside?", "noise"),
    ("I just got out of a meeting.", "What did I just get out of?", "meeting"),
    ("I am in a hurry today.", "What am I in today?", "hurry"),
    ("The coffee machine is making odd sounds.", "What is making odd sounds?", "coffee machine"),
    ("That was a good joke.", "What was good?", "joke"),
    ("I am listening to some music.", "What am I listening to?", "music"),
    ("It got dark early today.", "How early did it get today?", "dark"),
    ("I have to hang up the laundry.", "What do I have to hang up?", "laundry"),
    ("I am so happy it is Friday.", "Which day am I happy about?", "Friday"),
    ("My back hurts a little after sitting all day.", "What hurts a little?", "back"),
    ("The sun is finally out.", "What is finally out?", "sun"),
    ("I nearly spilled my water.", "What did I nearly spill?", "water"),
    ("I am going to make dinner soon.", "What am I going to make soon?", "dinner"),
    ("The neighbours are having a party.", "What are the neighbours having?", "party"),
    ("I overslept this morning.", "What did I do this morning?", "overslept"),
    ("My screen froze for a second.", "What froze for a second?", "screen"),
    ("Traffic was terrible today.", "How was traffic today?", "terrible"),
    ("I am just browsing a little.", "What am I just doing?", "browsing"),
    ("The cat wants to be let in again.", "Who wants to be let in?", "cat"),
    ("I will be back in ten minutes.", "When will I be back?", "ten minutes"),
    ("I am glad that this works now.", "How am I about this working?", "glad"),
    ("It is very hot in here.", "How is it in here?", "hot"),
    ("I feel like having some chocolate.", "What do I feel like having?", "chocolate"),
    ("My phone is almost out of battery.", "What is almost out of battery?", "phone"),
    ("I am reading the news at the moment.", "What am I reading at the moment?", "news"),
    ("The elevator took forever.", "What took forever?", "elevator"),
    ("I cannot find my keys this minute.", "What can I not find?", "keys"),
    ("We are about to leave for the station.", "Where are we about to leave for?", "station"),
    ("That pizza smells wonderful.", "What smells wonderful?", "pizza"),
    ("I am bored.", "How do I feel?", "bored"),
    ("I am freezing today.", "How cold am I today?", "freezing"),
    ("Someone is at the door.", "Where is someone?", "door"),
)


def make_pool(count: int, seed: int) -> list[Item]:
    """`count` statements, about half of them to fit on and half to test on; the same seed gives the same."""
    source = random.Random(f"gate-{seed}")
    numbers = {kind: round(count * share) for kind, share in _SHARES.items()}
    told = [
        *_common(numbers["known"], "known", source),
        *_common(numbers["contrary"], "contrary", source),
        *_chat(numbers["chat"], source),
    ]
    told += _unknown(count - len(told), seed, source)
    items = []
    for index, item in enumerate(told):
        often = 0.4 if item.kind == "chat" else 0.25
        items.append(
            item.model_copy(
                update={
                    "id": f"{item.kind}{index}",
                    "recurrences": source.choice((1, 1, 2, 3)) if source.random() < often else 0,
                    "asked_before": item.kind != "chat" and source.random() < 0.3,
                }
            )
        )
    source.shuffle(items)
    return items


def _item(kind: Kind, part: Part, relation: str, said: tuple[str, str, str], gold: str | None) -> Item:
    statement, question, expected = said
    return Item(
        id="",
        kind=kind,
        part=part,
        relation=relation,
        statement=statement[0].upper() + statement[1:],
        question=question,
        expected=expected,
        gold=gold,
        recurrences=0,
        asked_before=False,
        procedure=False,
    )


def _unknown(count: int, seed: int, source: random.Random) -> list[Item]:
    found = []
    at_home = count // 2
    for fact in invent(count - at_home, seed):
        asked = source.choice((fact.near, *fact.far))
        part: Part = "fit" if (fact.known or 0) % 2 == 0 else "test"
        said = (fact.statement, asked, fact.object)
        item = _item("unknown", part, fact.relation, said, fact.object)
        found.append(item.model_copy(update={"procedure": fact.kind == "tool"}))
    for number in range(at_home):
        index = number % len(_HOME)
        relation, statement, question, values = _HOME[index]
        name = _NAMES[number * 5 % len(_NAMES)]
        value = source.choice(values)
        said = (statement.format(n=name, o=value), question.format(n=name), value)
        found.append(_item("unknown", "fit" if index % 2 == 0 else "test", relation, said, value))
    return found


def _common(count: int, kind: Kind, source: random.Random) -> list[Item]:
    """Common knowledge, right or wrong, taking turns among its relations; as many as there are at most."""
    places = [(index, row) for index, (*_, rows) in enumerate(_KNOWN) for row in rows]
    source.shuffle(places)
    by_relation: dict[int, list[tuple[str, str]]] = {}
    for index, row in places:
        by_relation.setdefault(index, []).append(row)
    found: list[Item] = []
    while len(found) < count and any(by_relation.values()):
        for index, left in by_relation.items():
            if not left or len(found) == count:
                continue
            relation, statement, question, rows = _KNOWN[index]
            subject, true = left.pop()
            told = true
            if kind == "contrary":
                told = source.choice([other for _, other in rows if other != true])
            said = (statement.format(s=subject, o=told), question.format(s=subject), told)
            found.append(_item(kind, "fit" if index % 2 == 0 else "test", relation, said, true))
    return found


def _chat(count: int, source: random.Random) -> list[Item]:
    chosen = list(enumerate(_CHAT))
    source.shuffle(chosen)
    # the first half of the list is about other things than the second
    return [
        _item("chat", "fit" if index < len(_CHAT) // 2 else "test", f"chat{index}", said, None)
        for index, said in chosen[:count]
    ]
