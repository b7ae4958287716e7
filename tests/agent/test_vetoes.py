"""What is kept out of the weights (secrets of many kinds) and what is not: what people tell of themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.secrets import secret_kinds
from agent.vetoes import is_proven, provenance_of, vetoes
from memory.types import (
    Episode,
    Feedback,
    Message,
    Outcome,
    Provenance,
    Step,
    ToolCall,
    ToolResult,
    Turn,
    now,
)


# Joined from pieces, so that no scanner takes the test itself for a leak.
def _key(*pieces: str) -> str:
    return "".join(pieces)


SECRETS = [
    "My password is hunter2.",
    "the password for my bank account is Tr0ub4dor&3",
    "wifi password: blue-Canary-77",
    "Our wifi key is mangoJuice2024",
    "the passphrase is correct horse battery staple",
    "My laptop password is swordfish",
    'I set the router password to "kitten".',
    "password = 'letmein!'",
    "hunter2 is my password",
    "The PIN of my card is 4711.",
    "my PIN: 0852",
    "the alarm code is 9173",
    "The door code for the office is 4 4 1 9.",
    "the combination of the safe is 12-34-56",
    "My CVV is 231",
    "the security code on the back is 884",
    "I use 5512 as my PIN",
    "My recovery phrase is ocean violin maple tiger copper window river salad ladder engine cloud paper",
    "My card number is 4012 8888 8888 1881.",
    "pay with 5555555555554444, it expires in March",
    "Amex 378282246310005",
    "my IBAN is DE89 3704 0044 0532 0130 00",
    "Transfer it to GB82WEST12345698765432.",
    "my social security number is 536-90-4399",
    "SSN 536904399",
    "my national insurance number is AB 12 34 56 C",
    "Mi DNI es 12345678Z",
    "My codice fiscale is RSSMRA85T10A562S.",
    "my Aadhaar number is 2345 6789 0124",
    "My NRIC is S1234567D",
    "my passport number is 912803456",
    "bank account number 000123456789",
    "my driver license is A1234567",
    "send bitcoin to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    f"the key is {_key('AK', 'IAIOSFODNN7EXAMPL1')}",
    f"my GitHub token is {_key('gh', 'p_', 'a1B2c3D4e5F6a7B8c9D0e1F2a3B4c5D6e7F8')}",
    f"slack: {_key('xox', 'b-123456789012-abcdefGHIJKL')}",
    f"Stripe {_key('sk_', 'live_', 'a1B2c3D4e5F6a7B8c9D0e1F2')}",
    _key("-----BEGIN RSA ", "PRIVATE KEY-----"),
    "postgres://anna:s3cr3tpw@db.example.com/app",
    f"{_key('eyJhbGciOiJIUzI1NiJ9', '.eyJzdWIiOiJhbm5hIn0', '.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw')}",
    'api_key = "f3a9c1d27b"',
    "log in with anna / s3cret99",
    "Mein Passwort ist Sommer2023",
    "pw: qwerty99!",
    "Netflix login: anna@example.com / Sunny!Day4",
    "username admin, password admin123",
    'the password\'s "open sesame"',
    "My password used to be kitten but now it's dragonfly7",
    "Can you remember my password? It's hunter2",
    "The alarm is disarmed with 4821",
    "The safe opens with 34-12-7",
    "passport no. L8988901C",
    "licence number MORGA657054SM9IJ",
    "Steuer-ID 65929970489",
    "NHS number 943 476 5919",
    "my pesel is 44051401359",
    f"export AWS_SECRET_ACCESS_KEY={_key('wJalrXUtnFEMI', '/K7MDENG/bPxRfiCY')}",
    "the private key 5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB9KF",
    "I log into the server with root and toor99",
    "mot de passe : chaton2020",
    "You get into the office with the code 8812",
    f"here is my key {_key('AIza', 'SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY')}",
    "my secret word for the bank hotline is pelican",
    "recovery code 7H2K-99QP-LM4X",
    "my tax id is 12-3456789",
    "The combination of my suitcase is 729",
]

HARMLESS = [
    "My name is Anna Lindqvist.",
    "I was born on 12 March 1985.",
    "My birthday is 12.03.1985.",
    "I was born on 1985-03-12 in Graz.",
    "I live at 14 Harbour Road, Porto 4050-123.",
    "My phone number is +351 912 345 678.",
    "Call me at (415) 555-0132.",
    "my mobile is 07700 900123",
    "My e-mail is anna.lindqvist@example.com.",
    "My dog's name is Rex.",
    "I am allergic to hazelnuts.",
    "My sister works at a bakery in Lyon.",
    "I earn 52,000 a year.",
    "My shoe size is 42.",
    "I weigh 81.5 kg and I am 1.83 m tall.",
    "My car is a blue Volvo from 2011.",
    "Our office is on the 3rd floor, room 314.",
    "The meeting is at 14:30 on Thursdays.",
    "Times always carry the offset, such as 2024-05-01T10:00:00+02:00.",
    "My password is too long to type on the phone.",
    "Passwords must never be stored in plain text.",
    "I keep my passwords in a password manager.",
    "The password is stored in the vault.",
    "The PIN is easy to forget.",
    "The password policy is strict here.",
    "I forgot my password again.",
    "The token budget is 400 tokens.",
    "My favourite colour is teal.",
    "My flight is LH1234 on 3 June.",
    "The order number is 20240117.",
    "The build is version 2.13.0, commit 3f9a2c1.",
    "Our database server is called maple and listens on port 5432.",
    "My GPU has 24576 MB of memory.",
    "The invoice total was 1,234.56 euros.",
    "My daughter started school in 2019.",
    "The zet tool wants --zone before the file name.",
    "The secret of good bread is time.",
    "The key to the shed hangs by the door.",
    "Our team's code name is Falcon.",
    "The area code for Graz is 0316.",
    "My blood type is 0 negative.",
    "The postal code is 90210.",
    "My locker is number 217.",
    "The population of Tarsova is 1,204,553.",
    "My grandmother was born in 1931 and died in 2010.",
    "The library card is in my desk.",
    "We pin the versions to exact numbers such as 1.2.3.",
    "The password reset page is broken.",
    "A password must have at least 12 characters.",
    "The form asks for a password.",
    "Use the option --password-file to pass a file.",
    "The pass over the mountain is 2,300 metres high.",
    "My passport expires in 2031.",
    "The commit is 3f9a2c1d8e7b6a5f4c3d2e1f0a9b8c7d6e5f4a3b.",
    "The UUID is 123e4567-e89b-12d3-a456-426614174000.",
    "My sister's number is 0664 1234567.",
    "ISBN 978-3-16-148410-0 is the book I read.",
    "The phone code for Austria is 0043.",
    "The bank opens at 9 and closes at 16:30.",
    "Tracking number 1Z999AA10123456784",
    "The IP is 192.168.1.20.",
    "The error code is 404.",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_vetoed_and_not_repeated(text: str) -> None:
    found = vetoes(text)
    assert found and all(veto.startswith("secret") for veto in found)
    assert not any(word in veto for veto in found for word in text.split() if any(c.isdigit() for c in word))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_people_tell_of_themselves_is_not(text: str) -> None:
    assert vetoes(text) == ()


@pytest.mark.parametrize("provenance", ["tool", "file", "web", "model", "system"])
def test_only_the_users_words_are_trusted(provenance: Provenance) -> None:
    (veto,) = vetoes("The library opens at nine.", provenance)
    assert veto.startswith("untrusted source")
    assert vetoes("The library opens at nine.", provenance, proven_procedure=True) == ()
    assert vetoes("The library opens at nine.", "user") == ()


def test_a_proven_procedure_may_not_hold_a_secret() -> None:
    assert vetoes("deploy --password 'tiger99' --password=\"tiger99\"", "model", proven_procedure=True)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_judged(text: str) -> None:
    assert isinstance(secret_kinds(text), tuple)


@given(st.sampled_from(SECRETS), st.sampled_from(HARMLESS), st.sampled_from(HARMLESS))
@settings(max_examples=60, deadline=None)
def test_a_secret_is_seen_among_other_things(secret: str, before: str, after: str) -> None:
    assert vetoes(f"{before}\n{secret}\n{after}")


def test_a_long_text_takes_no_long_time() -> None:
    import time

    secret_kinds("my number is 912803456")  # loads
    begun = time.monotonic()
    secret_kinds("my password and the code of the door " * 2_000 + "1234 " * 2_000 + "x" * 50_000)
    assert time.monotonic() - begun < 10


def test_the_heavy_detector_stays_unloaded_without_numbers() -> None:
    check = (
        "import sys; from agent.vetoes import vetoes; assert vetoes('my password is hunter2');"
        "assert not vetoes('I live in Porto since 2019'); assert 'presidio_analyzer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def _episode(
    said: str,
    *,
    context: str = "",
    result: str = "",
    answer: str = "Done.",
    outcome: Outcome = "success",
    feedback: tuple[Feedback, ...] = (),
) -> Episode:
    call = ToolCall(id="call_0_0", name="read_file", arguments={"path": "notes.txt"})
    step = Step(
        index=0,
        message=Message(role="assistant", content=answer, provenance="model", tool_calls=(call,)),
        results=(
            ToolResult(call_id="call_0_0", name="read_file", ok=True, content=result, provenance="file"),
        ),
    )
    user = Message(role="user", content=said, context=context, provenance="user")
    return Episode(
        id="ep_1",
        kind="conversation",
        turns=(Turn(user=user, steps=(step,), outcome=outcome, answer=answer),),
        workspace=None,
        model="fake",
        started_at=now(),
        ended_at=now(),
        feedback=feedback,
    )


def test_the_source_of_words_is_where_they_stand() -> None:
    episode = _episode(
        "I moved to Porto.",
        context="File a.txt: the moon is cheese",
        result="the treasure is in the attic",
        answer="The weather is fine.",
        feedback=(Feedback(rating="bad", text="It is Braga, not Porto."),),
    )
    assert provenance_of("moved  to porto", episode) == "user"
    assert provenance_of("It is Braga", episode) == "user"
    assert provenance_of("the moon is cheese", episode) == "file"
    assert provenance_of("treasure is in the attic", episode) == "file"
    assert provenance_of("The weather is fine", episode) == "model"
    assert provenance_of("nobody said this", episode) == "model"


def test_a_procedure_is_proven_by_success_and_a_good_rating() -> None:
    good = (Feedback(rating="good"),)
    assert is_proven(_episode("do it", feedback=good))
    assert not is_proven(_episode("do it"))
    assert not is_proven(_episode("do it", feedback=good, outcome="failure"))
    assert not is_proven(_episode("do it", feedback=(*good, Feedback(rating="bad"))))
