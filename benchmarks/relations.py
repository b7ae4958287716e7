"""The relations of the fictional facts: how each is told, how it is asked otherwise, and in far words.

`{s}` is the subject, `{o}` the object, `{old}` an object that turned out wrong. Questions are written by
hand for this benchmark only: nothing of the product reads them, so whatever the product trains on is made
without them. A question never holds the object it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["person", "village", "firm", "ship", "tool", "project"]
"""What a subject is; it decides how its name is made."""


@dataclass(frozen=True)
class Relation:
    """One relation and its wordings."""

    text: str
    """What stands between subject and object; one that begins with `'s` follows without a blank."""
    kind: Kind
    """What its subjects are."""
    objects: str | tuple[str, ...]
    """A fixed list, or the name of a maker in `benchmarks.names`."""
    near: str
    """The plain question, much as anybody would put it."""
    paraphrases: tuple[str, str]
    """The same question as one would put it another time, asking for nothing but the fact."""
    far: tuple[str, ...]
    """Questions in other words, at least four; most take a step of thought besides the fact."""
    reverse: str
    """Asks for the subject."""
    reverse_far: str
    """Asks for the subject in far words."""
    passing: tuple[str, ...]
    """The fact, said in passing; in order of increasing indirectness."""
    mended: str
    """A later correction."""
    convention: bool = False
    """A convention of a tool or a project rather than a fact about the world."""


LIVES_IN = Relation(
    text="lives in",
    kind="person",
    objects="town",
    near="Where does {s} live?",
    paraphrases=("Which place is home to {s}?", "In what town does {s} have a home?"),
    far=(
        "If a parcel had to reach {s} at home, which place would I write on the label?",
        "I want to drop in on {s} this weekend. Which town should I drive to?",
        "In which town would I find {s}'s front door?",
        "Name the place {s} returns to every evening to sleep.",
    ),
    reverse="Who has a home in {o}?",
    reverse_far="Which person do you know of whose home is in {o}?",
    passing=(
        "{s}, who has a house in {o}, lent me a ladder.",
        "I took the slow train to {o} because {s} wanted to show me the new kitchen at home.",
        "It snowed so hard in {o} that {s} could not get out of the front door.",
    ),
    mended="I mixed something up about {s}: the house is not in {old}, it is in {o}.",
)

WORKS_AS = Relation(
    text="works as a",
    kind="person",
    objects=(
        "glassblower", "beekeeper", "notary", "piano tuner", "roofer", "midwife", "cartographer", "locksmith",
        "florist", "surveyor", "bookbinder", "crane driver", "dentist", "falconer", "proofreader", "potter",
        "saddler", "tram driver", "vet", "weaver", "zookeeper", "chimney sweep", "translator", "stonemason",
        "paramedic", "baker", "gardener", "lifeguard", "mechanic", "pilot",
    ),
    near="What is {s}'s job?",
    paraphrases=("What does {s} do for work?", "Which occupation does {s} have?"),
    far=(
        "How does {s} earn a living?",
        "Which profession would stand on {s}'s business card?",
        "When {s} is asked at a party what they do all day, what is the answer?",
        "{s} puts on working clothes in the morning. What trade are they off to?",
    ),
    reverse="Who has the job of a {o}?",
    reverse_far="Do you know anyone who is a {o}? Give the full name.",
    passing=(
        "{s} told me that being a {o} is mostly getting up early.",
        "We were lucky that {s}, a {o} by trade, happened to be sitting at the next table.",
        "There was a call about a job for a {o}, so {s} had to leave before the cake.",
    ),
    mended="By the way, I was wrong about what {s} does: not a {old} at all but a {o}.",
)  # fmt: skip

FAVOURITE_COLOUR = Relation(
    text="'s favorite color is",
    kind="person",
    objects=(
        "teal", "crimson", "mustard", "lavender", "maroon", "turquoise", "olive", "coral", "indigo",
        "magenta", "beige", "emerald", "ochre", "charcoal", "peach", "ivory", "scarlet", "mint", "copper",
        "violet",
    ),
    near="What is {s}'s favorite color?",
    paraphrases=("Which color does {s} like most?", "Tell me the color that {s} prefers to all others."),
    far=(
        "I am knitting a scarf for {s}. Which shade would please them most?",
        "{s} may pick any paint for the bedroom wall. Which one will it be?",
        "Of all the hues in the paintbox, which does {s} like best?",
        "The balloons for {s}'s birthday should all be in the tone they love. Which tone?",
    ),
    reverse="Who likes {o} most of all colors?",
    reverse_far="Who likes {o} better than any other color?",
    passing=(
        "{s} bought a {o} coat, what else, there is no color they love more.",
        "We wrapped the present in {o} paper, since that is the color {s} likes above all others.",
        "Show {s} ten sweaters and they will take the {o} one every single time, they adore that color.",
    ),
    mended="I have to correct myself: the color {s} loves most is {o}, not {old}.",
)  # fmt: skip

ALLERGIC_TO = Relation(
    text="is allergic to",
    kind="person",
    objects=(
        "walnuts", "shellfish", "celery", "kiwi", "sesame", "strawberries", "buckwheat", "lupin", "oats",
        "mango", "garlic", "lentils", "cinnamon", "soy", "poppy seeds", "rye", "carrots", "avocado",
        "hazelnuts", "pineapple", "egg white", "peanuts", "tomatoes", "horseradish", "pistachios",
    ),
    near="What is {s} allergic to?",
    paraphrases=("Which food is {s} allergic to?", "{s} has an allergy. To what?"),
    far=(
        "{s} is coming to dinner. Which food must not touch the plate?",
        "Which ingredient would send {s} to the emergency room?",
        "I am packing a lunch box for {s}. What do I have to leave out for medical reasons?",
        "What does {s} check every list of ingredients for, out of fear of a rash?",
    ),
    reverse="Who has an allergy to {o}?",
    reverse_far="Who gets ill from eating {o}?",
    passing=(
        "We had to send the soup back because {s} comes out in a rash from {o}.",
        "{s} carries that little injection pen around in case there is {o} in something.",
        "Nobody had told the cook about {s} and {o}, so the evening ended in hospital, swollen face and all.",
    ),
    mended="Careful, I had that wrong: {s} can eat {old} without trouble, the allergy is to {o}.",
)  # fmt: skip

PLAYS_THE = Relation(
    text="plays the",
    kind="person",
    objects=(
        "cello", "bassoon", "banjo", "harp", "oboe", "mandolin", "accordion", "trombone", "sitar", "zither",
        "piccolo", "ukulele", "bagpipes", "clarinet", "marimba", "tuba", "lute", "viola", "harmonica", "gong",
    ),
    near="Which instrument does {s} play?",
    paraphrases=("What instrument can {s} play?", "Tell me the musical instrument that {s} plays."),
    far=(
        "The neighbours hear {s} practising every evening. What is it that they hear?",
        "{s} joins our band tonight. What will they bring along to make music with?",
        "What is in the big case that {s} carries to orchestra rehearsals?",
        "A composer writes a solo for {s}. For what must it be written?",
    ),
    reverse="Which person plays the {o}?",
    reverse_far="The orchestra needs somebody for the {o}. Whom should it call?",
    passing=(
        "{s} practises the {o} right above my bedroom.",
        "At the wedding {s} suddenly fetched the {o} from the car and played until two in the morning.",
        "The quartet had to cancel: {s} left the {o} on the bus.",
    ),
    mended="Small correction: what {s} plays is the {o}, the {old} belongs to somebody else.",
)  # fmt: skip

BORN_IN = Relation(
    text="was born in the year",
    kind="person",
    objects="year",
    near="In which year was {s} born?",
    paraphrases=("What is {s}'s year of birth?", "{s} was born in which year?"),
    far=(
        "Which four digits close the date of birth in {s}'s passport?",
        "To work out how old {s} is, from what must I subtract?",
        "The cellar has a wine as old as {s}. What vintage is it?",
        "When did {s} come into the world? The year will do.",
    ),
    reverse="Who has the birth year {o}?",
    reverse_far="Whose birth certificate says {o}?",
    passing=(
        "{s} showed me a school photo and said: born in {o}, and look at that haircut.",
        "For the party we looked for a bottle from {o}, the year {s} came into the world.",
        "{s} and the old town hall clock are the same age, both saw the light of day in {o}.",
    ),
    mended="I misremembered: {s} was not born in {old} but in {o}.",
)

DOG = Relation(
    text="'s dog is called",
    kind="person",
    objects="pet",
    near="What is {s}'s dog called?",
    paraphrases=("What is the name of {s}'s dog?", "How does {s} call the dog?"),
    far=(
        "{s} whistles and shouts a name across the park, and a hound comes running. Which name?",
        "What is engraved on the collar of {s}'s four-legged friend?",
        "The vet opens the door and calls in the puppy {s} brought. Whom does she call?",
        "{s} is on holiday and I am to feed the pet. How do I address the animal?",
    ),
    reverse="Who is the owner of the dog {o}?",
    reverse_far="To whom does the dog {o} belong?",
    passing=(
        "{s}'s dog {o} ate half of the picnic.",
        "We could hear {s} calling {o} for an hour, that dog never comes back when it smells rabbits.",
        "{o} barked all night, and in the morning {s} came over with flowers to apologise for the animal.",
    ),
    mended="I got the name wrong: the dog that {s} has is called {o}, not {old}.",
)

MARRIED_TO = Relation(
    text="is married to",
    kind="person",
    objects="spouse",
    near="Who is {s} married to?",
    paraphrases=("What is the name of the person {s} is married to?", "Who is {s}'s husband or wife?"),
    far=(
        "Whose ring does {s} wear?",
        "The invitation is for {s} and their other half. Which second name goes on the envelope?",
        "With whom did {s} walk down the aisle?",
        "Tell me the name of {s}'s spouse.",
    ),
    reverse="Who is the husband or wife of {o}?",
    reverse_far="{o} has a wedding anniversary today. With whom is it celebrated?",
    passing=(
        "{s} came with {o}, they have been husband and wife for ages and still hold hands.",
        "Since the wedding {o} and {s} share one car and argue about the radio.",
        "{s} cannot come on Friday: {o} has a birthday, and one does not skip the birthday of one's spouse.",
    ),
    mended="I confused two couples: the one {s} is married to is {o}, not {old}.",
)

DRIVES_A = Relation(
    text="drives a",
    kind="person",
    objects="make",
    near="What car does {s} drive?",
    paraphrases=("Which make of car does {s} drive?", "Tell me what {s} drives."),
    far=(
        "{s} is stuck at the roadside with a flat tyre. Which vehicle should the tow truck look for?",
        "What kind of automobile stands in {s}'s garage?",
        "A workshop orders spare parts for {s}. For which make?",
        "The key on {s}'s ring starts an engine. Whose badge is on the bonnet?",
    ),
    reverse="Whose car is a {o}?",
    reverse_far="A {o} is blocking the gate. Whose car might that be?",
    passing=(
        "{s} picked us up in that old {o} with the broken heating.",
        "There was a {o} across two parking spaces, and of course {s} climbed out of it.",
        "{s} spent all Sunday lying under the {o}, and it still would not start.",
    ),
    mended="About the car, I was mistaken: {s} has a {o}, it was never a {old}.",
)

EXTENSION = Relation(
    text="'s phone extension is",
    kind="person",
    objects="digits",
    near="What is {s}'s phone extension?",
    paraphrases=("Which phone extension does {s} have?", "Under what extension can {s} be reached by phone?"),
    far=(
        "I am at the reception and want to be put through to {s}. What do I dial?",
        "Which digits make the telephone on {s}'s desk ring?",
        "Somebody left a note to call {s} back inside the building. Which number is it?",
        "On the internal directory, what stands behind {s}?",
    ),
    reverse="Who has the phone extension {o}?",
    reverse_far="Who picks up when I dial {o} from a desk in the building?",
    passing=(
        "If the printer jams, {s} can help, it is {o} on the internal line.",
        "I tried {s} three times today, I dialled {o} until my finger hurt.",
        "{s} moved to another desk, so from now on it is {o} when you want to ring them up at work.",
    ),
    mended="I noted the wrong digits: to ring {s} it is {o}, not {old}.",
)

COLLECTS = Relation(
    text="collects",
    kind="person",
    objects=(
        "sea glass", "tram tickets", "thimbles", "corkscrews", "snow globes", "fountain pens", "beer mats",
        "old maps", "marbles", "barometers", "teaspoons", "keyrings", "postcards", "fossils", "hat pins",
        "typewriters", "matchboxes", "music boxes", "beetles", "bus schedules", "buttons", "sundials",
        "egg cups", "cigar bands", "doorknobs",
    ),
    near="What does {s} collect?",
    paraphrases=("What is it that {s} collects?", "Which things does {s} collect as a hobby?"),
    far=(
        "{s} goes from one flea market to the next. In search of what?",
        "Which things fill the glass cabinet in {s}'s living room?",
        "I need a present that adds to {s}'s hoard. What should I look for?",
        "Everybody who travels brings {s} one more of the same. One more what?",
    ),
    reverse="Which person has a collection of {o}?",
    reverse_far="At the flea market I found some {o}. Who would be pleased to have them?",
    passing=(
        "{s} has whole drawers full of {o} by now and still wants more.",
        "We lost {s} at the market, and found them again bargaining over {o} as always.",
        "When the shelf fell down at {s}'s place there were {o} all over the carpet, years of collecting.",
    ),
    mended="I said something silly: it is {o} that {s} collects, {old} was somebody else.",
)  # fmt: skip

STUDIED = Relation(
    text="studied",
    kind="person",
    objects=(
        "botany", "geology", "philosophy", "theology", "astronomy", "forestry", "linguistics", "pharmacy",
        "economics", "archaeology", "optics", "musicology", "oceanography", "statistics", "sculpture",
        "veterinary medicine", "metallurgy", "meteorology", "dentistry", "egyptology", "agronomy", "ballet",
    ),
    near="What did {s} study?",
    paraphrases=("Which subject did {s} study?", "What was {s}'s field of study?"),
    far=(
        "Which subject is named on {s}'s degree?",
        "At university {s} sat in lectures for years. On what?",
        "What is {s}'s academic background?",
        "{s} has a diploma on the wall. In which discipline?",
    ),
    reverse="Which person studied {o}?",
    reverse_far="Who holds a degree in {o}?",
    passing=(
        "{s} has a degree in {o} and now sells ice cream, quite happily.",
        "You notice that {s} spent six years at university on {o}, every walk turns into a lecture.",
        "{s}'s old professor of {o} came by, they had not met since the final exams.",
    ),
    mended="It was not {old}: what {s} studied is {o}.",
)  # fmt: skip

RIVER = Relation(
    text="lies on the river",
    kind="village",
    objects="river",
    near="Which river does {s} lie on?",
    paraphrases=("On which river is {s} located?", "What is the name of the river at {s}?"),
    far=(
        "I am standing on the old bridge of {s}. What is the name of the water below me?",
        "When {s} is flooded in spring, what has burst its banks?",
        "Which stream turned the mill wheels of {s}?",
        "A paddler lands at {s}. On what has she been paddling?",
    ),
    reverse="Which village is on the river {o}?",
    reverse_far="Which place on the banks of the {o} do you know?",
    passing=(
        "We cycled to {s} and put our feet into the {o}, right behind the church.",
        "The campsite at {s} was under water, the {o} had risen overnight.",
        "From the bridge in {s} the children were fishing, and somebody's hat drifted away on the {o}.",
    ),
    mended="I looked at the map again: the water that {s} lies on is the {o}, not the {old}.",
)

KNOWN_FOR = Relation(
    text="is known for its",
    kind="village",
    objects=(
        "pear cider", "church organ", "kite festival", "blue cheese", "rose gardens", "salt mine",
        "wind chimes", "puppet theatre", "plum dumplings", "granite quarry", "clock tower", "sheep market",
        "honey cake", "bell foundry", "mineral baths", "straw hats", "smoked eel", "ice rink", "maze", "lace",
        "goat cheese", "covered bridge", "pumpkin race", "stork nests", "mustard mill",
    ),
    near="What is {s} known for?",
    paraphrases=("What is {s} famous for?", "For what do people know {s}?"),
    far=(
        "Why would a tourist make a detour to {s}?",
        "What do the postcards sold in {s} show?",
        "What has made the name of {s} familiar far beyond the valley?",
        "The people of {s} are proud of one thing above all. Which?",
    ),
    reverse="Which place is famous for its {o}?",
    reverse_far="Which place should I visit for its {o}?",
    passing=(
        "Everybody goes to {s} for the {o}, and so did we.",
        "{s} would be a sleepy place without the {o}, but that alone brings in the buses.",
        "On the sign at the entrance of {s} they have even painted the {o}, the pride of the place.",
    ),
    mended="I was thinking of another place: {s} is famous for the {o}, not for the {old}.",
)  # fmt: skip

FOUNDED_BY = Relation(
    text="was founded by",
    kind="firm",
    objects="spouse",
    near="Who founded {s}?",
    paraphrases=("Who is the founder of {s}?", "By whom was {s} founded?"),
    far=(
        "Whose idea was {s} in the first place?",
        "The first signature in the commercial register for {s} belongs to whom?",
        "In the entrance hall of {s} hangs a portrait of the person who started it all. Who is it?",
        "Who brought {s} into being?",
    ),
    reverse="Which firm did {o} found?",
    reverse_far="What company did {o} set up?",
    passing=(
        "{s} began in a garage, when {o} had nothing but a loan and a soldering iron.",
        "I met {o} at a fair, the very person who set up {s} all those years ago.",
        "At {s} they still lay a place at the table for {o}, without whom there would be no company.",
    ),
    mended="Wrong name on my part: the founder of {s} is {o}, not {old}.",
)

MAKES = Relation(
    text="manufactures",
    kind="firm",
    objects=(
        "kites", "door handles", "harpsichords", "umbrellas", "pencils", "lawn mowers", "diving suits",
        "greenhouses", "tents", "parking meters", "bathtubs", "stethoscopes", "roller skates", "lanterns",
        "zippers", "pepper grinders", "sails", "microscopes", "ropes", "sledges", "cuckoo clocks", "hammocks",
        "school chairs", "tuning forks", "wheelbarrows",
    ),
    near="What does {s} manufacture?",
    paraphrases=("What does {s} produce?", "Which products does {s} make?"),
    far=(
        "Lorries leave the yard of {s} fully loaded. With what?",
        "I am holding something with the trademark of {s} on it. What is it likely to be?",
        "Which goods come off the assembly line at {s}?",
        "A shop places an order with {s}. What does it want to have on its shelves?",
    ),
    reverse="Which firm makes {o}?",
    reverse_far="Which company could deliver a batch of {o}?",
    passing=(
        "The {o} you admired came from {s}, they turn them out by the thousand.",
        "My cousin started on the night shift at {s}, so the whole family gets {o} for Christmas.",
        "There was a fire at {s} and now {o} are hard to get anywhere.",
    ),
    mended="I mixed up two companies: {s} makes {o}, it has nothing to do with {old}.",
)  # fmt: skip

SAILS_TO = Relation(
    text="sails to",
    kind="ship",
    objects="island",
    near="Where does {s} sail to?",
    paraphrases=("What is the destination of {s}?", "To which island does {s} sail?"),
    far=(
        "I board {s} and fall asleep. On which island do I wake up?",
        "What destination is painted on the sign at the pier of {s}?",
        "Passengers of {s} all want to reach the same shore. Which?",
        "When {s} has crossed the strait, where does it drop anchor?",
    ),
    reverse="Which ship goes to {o}?",
    reverse_far="I need to get to {o}. Which ferry takes me there?",
    passing=(
        "We missed {s} by a minute and so we never saw {o} by daylight.",
        "{s} was full of sheep this time, they all had to get over to {o} before winter.",
        "On {o} they could not bake, because {s} with the flour on board was stuck in the fog.",
    ),
    mended="I read the timetable wrongly: {s} goes to {o}, not to {old}.",
)

PREVIEW_OPTION = Relation(
    text="prints a preview when called with",
    kind="tool",
    objects="option",
    near="Which option makes {s} print a preview?",
    paraphrases=(
        "With which option does {s} only print a preview?",
        "How do I call {s} so that it prints a preview?",
    ),
    far=(
        "I want to see what {s} would do before it touches anything. What do I add to the command line?",
        "How do I get a dry run out of {s}?",
        "Which flag keeps {s} from really changing my files?",
        "Before running {s} for real I would rather look at its plan. What do I append?",
    ),
    reverse="Which command prints a preview with the option {o}?",
    reverse_far="Which command understands the flag {o}?",
    passing=(
        "I nearly wiped the folder with {s}, luckily {o} only shows what it would do.",
        "Somebody ran {s} on the server without {o} first, so nobody had seen what it was going to change.",
        "In our checklist it says: no {s} before you have tried it with {o} and read what it plans.",
    ),
    mended="The dry run of {s} has another flag than I said: {o} instead of {old}.",
    convention=True,
)

SETTINGS_FILE = Relation(
    text="reads its settings from",
    kind="tool",
    objects="file",
    near="From which file does {s} read its settings?",
    paraphrases=("Which file holds the settings of {s}?", "Where does {s} read its settings from?"),
    far=(
        "I want to change how {s} behaves for good. What should I open in the editor?",
        "Where are the defaults of {s} written down?",
        "{s} ignores my configuration. What must the file be named so that it is found?",
        "Moving {s} to another computer, which file must I copy so that it is set up the same?",
    ),
    reverse="Which command has its settings in {o}?",
    reverse_far="Which command looks into {o} when it starts?",
    passing=(
        "After an hour I found out that {s} wants its configuration in {o} and nowhere else.",
        "I deleted {o} and {s} was back at its defaults, so be careful with that one.",
        "{s} kept using the old server, because there was still the old address in {o}.",
    ),
    mended="Not {old}: the configuration of {s} is in {o}.",
    convention=True,
)

EMPTY_CODE = Relation(
    text="'s exit code for an empty result is",
    kind="tool",
    objects="code",
    near="What is {s}'s exit code for an empty result?",
    paraphrases=(
        "Which exit code does {s} give when the result is empty?",
        "An empty result makes {s} exit with which code?",
    ),
    far=(
        "My script runs {s} and nothing is found. Which number ends up in the shell's status?",
        "How does {s} tell a calling program that there was no match?",
        "In a shell, {s} found nothing at all. What does `echo $?` print?",
        "With which status does {s} end when there was nothing to report?",
    ),
    reverse="Which command ends with exit code {o} for an empty result?",
    reverse_far="Which command returns {o} when it found nothing?",
    passing=(
        "The build stopped because {s} returns {o} when it finds nothing, and nobody had expected that.",
        "I had to write an exception for {s}: {o} is no failure there, it only means there was no match.",
        "All those red {o} lines in the log come from {s} looking into folders with nothing in them.",
    ),
    mended="I misread the log: when {s} finds nothing it returns {o} and not {old}.",
    convention=True,
)

MAIN_BRANCH = Relation(
    text="keeps its main branch under the name",
    kind="project",
    objects="branch",
    near="What is the main branch of {s} called?",
    paraphrases=(
        "What is the name of the main branch in {s}?",
        "Under which name does {s} keep its main branch?",
    ),
    far=(
        "I cloned {s}. Onto what should I rebase my work before I ask for a review?",
        "Releases of {s} are cut from which line of development?",
        "Where do finished changes to {s} end up in the repository?",
        "What do I check out to see the latest agreed state of {s}?",
    ),
    reverse="Which project has a main branch called {o}?",
    reverse_far="In which project do changes land on {o}?",
    passing=(
        "In {s} nobody pushes to {o} directly, it all goes through review first.",
        "I rebased onto the wrong thing again, in {s} it is {o} where everything gets merged.",
        "The nightly build of {s} takes whatever is on {o}, so keep that one green.",
    ),
    mended="The branch everything is merged into in {s} is {o}, I wrongly said {old}.",
    convention=True,
)

COMMIT_PREFIX = Relation(
    text="wants every commit message to begin with",
    kind="project",
    objects="prefix",
    near="What must every commit message in {s} begin with?",
    paraphrases=(
        "How must a commit message start in {s}?",
        "With what does every commit message of {s} have to begin?",
    ),
    far=(
        "My change to {s} was turned down because of its first word. What should that word have been?",
        "I am about to record a change in {s}. Which tag opens the line?",
        "Looking through the history of {s}, what does one read at the start of each entry?",
        "The hook in {s} rejects a description without the right opening. Which opening?",
    ),
    reverse="Which project's commit messages begin with {o}?",
    reverse_far="In which project do the log entries start with {o}?",
    passing=(
        "In {s} my commit bounced until I put {o} in front of the message.",
        "The history of {s} looks odd at first, each and every message starts with {o}.",
        "For {s} remember {o} as the first word when you commit, the server checks it.",
    ),
    mended="The commit messages of {s} start with {o}; {old} was a mistake of mine.",
    convention=True,
)

RELATIONS: tuple[Relation, ...] = (
    LIVES_IN, WORKS_AS, PREVIEW_OPTION, FAVOURITE_COLOUR, RIVER, ALLERGIC_TO, FOUNDED_BY, PLAYS_THE,
    SETTINGS_FILE, BORN_IN, SAILS_TO, DOG, KNOWN_FOR, MARRIED_TO, MAIN_BRANCH, DRIVES_A, MAKES, EXTENSION,
    EMPTY_CODE, COLLECTS, COMMIT_PREFIX, STUDIED,
)  # fmt: skip
"""In the order in which the generator goes round: conventions are spread among the facts."""
