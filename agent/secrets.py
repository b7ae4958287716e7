"""Secrets in a text: which kinds stand there, without ever repeating them.

Three detectors, each for what the others cannot see: detect-secrets for keys and tokens of services,
Presidio's pattern recognisers (alone, without a language model) for card, account and identity
numbers, and `agent.told_secrets` for passwords and PINs told in prose. What people tell about themselves
(names, dates, places, phone numbers, e-mail and postal addresses) is no secret.

The libraries load with the first text that could hold something for them: detect-secrets takes 0.2 s;
Presidio 1.4 s beside a loaded model and 6 s without one (it imports torch), so it is left alone until a
text has a number that may be one of its own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.told_secrets import told_secrets

if TYPE_CHECKING:
    from presidio_analyzer import PatternRecognizer

# Numbers whose form or check digits alone give them away.
_BY_FORM = {
    "CREDIT_CARD": "credit card number",
    "IBAN_CODE": "bank account number (IBAN)",
    "CRYPTO": "cryptocurrency wallet address",
    "US_SSN": "social security number",
    "US_ITIN": "tax number",
    "US_MBI": "health insurance number",
    "UK_NINO": "national insurance number",
    "ES_NIF": "national identity number",
    "ES_NIE": "national identity number",
    "IT_FISCAL_CODE": "tax number",
    "IN_AADHAAR": "national identity number",
    "IN_PAN": "tax number",
    "SG_NRIC_FIN": "national identity number",
    "FI_PERSONAL_IDENTITY_CODE": "national identity number",
    "SE_PERSONNUMMER": "national identity number",
    "KR_RRN": "national identity number",
    "KR_FRN": "national identity number",
    "DE_SOCIAL_SECURITY": "social security number",
    "CA_SIN": "social insurance number",
}
# Plain digits or a short code: only a word beside it ("passport", "tax file") tells it from a phone number.
_BY_CONTEXT = {
    "US_BANK_NUMBER": "bank account number",
    "ABA_ROUTING_NUMBER": "bank account number",
    "US_PASSPORT": "passport number",
    "UK_PASSPORT": "passport number",
    "DE_PASSPORT": "passport number",
    "ES_PASSPORT": "passport number",
    "IN_PASSPORT": "passport number",
    "US_DRIVER_LICENSE": "driving licence number",
    "UK_DRIVING_LICENCE": "driving licence number",
    "DE_FUEHRERSCHEIN": "driving licence number",
    "IT_DRIVER_LICENSE": "driving licence number",
    "DE_ID_CARD": "identity card number",
    "IT_IDENTITY_CARD": "identity card number",
    "DE_TAX_ID": "tax number",
    "DE_TAX_NUMBER": "tax number",
    "AU_TFN": "tax number",
    "AU_MEDICARE": "health insurance number",
    "DE_HEALTH_INSURANCE": "health insurance number",
    "UK_NHS": "health insurance number",
    "PL_PESEL": "national identity number",
    "TR_NATIONAL_ID": "national identity number",
    "TH_TNIN": "national identity number",
    "ZA_ID_NUMBER": "national identity number",
    "NG_NIN": "national identity number",
    "PH_UMID": "national identity number",
    "IN_VOTER": "national identity number",
}
_RECOGNIZERS = """
    AbaRoutingRecognizer AuMedicareRecognizer AuTfnRecognizer CaSinRecognizer CreditCardRecognizer
    CryptoRecognizer DeFuehrerscheinRecognizer DeHealthInsuranceRecognizer DeIdCardRecognizer
    DePassportRecognizer DeSocialSecurityRecognizer DeTaxIdRecognizer DeTaxNumberRecognizer
    EsNieRecognizer EsNifRecognizer EsPassportRecognizer FiPersonalIdentityCodeRecognizer IbanRecognizer
    InAadhaarRecognizer InPanRecognizer InPassportRecognizer InVoterRecognizer ItDriverLicenseRecognizer
    ItFiscalCodeRecognizer ItIdentityCardRecognizer KrFrnRecognizer KrRrnRecognizer NgNinRecognizer
    NhsRecognizer PhUmidRecognizer PlPeselRecognizer SePersonnummerRecognizer SgFinRecognizer
    ThTninRecognizer TrNationalIdRecognizer UkDrivingLicenceRecognizer UkNinoRecognizer
    UkPassportRecognizer UsBankRecognizer UsItinRecognizer UsLicenseRecognizer UsMbiRecognizer
    UsPassportRecognizer UsSsnRecognizer ZaIdNumberRecognizer
"""
# Detectors of detect-secrets that look for high entropy or for an address take file names, hashes and
# home networks for secrets; prose needs neither.
_PLUGINS = """
    ArtifactoryDetector AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector CloudantDetector
    DiscordBotTokenDetector GitHubTokenDetector GitLabTokenDetector IbmCloudIamDetector
    IbmCosHmacDetector JwtTokenDetector KeywordDetector MailchimpDetector NpmDetector OpenAIDetector
    PrivateKeyDetector PypiTokenDetector SendGridDetector SlackDetector SoftlayerDetector
    SquareOAuthDetector StripeDetector TelegramBotTokenDetector TwilioKeyDetector
"""
_STRONG = 0.5
# What Presidio's recognisers can see has six digits, or is one word of eight characters with a digit.
_NUMBER = re.compile(r"(?:\d\D{0,3}){6}|\b(?=\w{8,})\w*\d\w*")
# Identifiers of things: a stretch of one may pass for somebody's number.
_NO_NUMBER = re.compile(
    r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?=[0-9]*[a-f])[0-9a-f]{24,}\b"
)
_BESIDE_CHARS = 60
_LINE_CHARS = 20_000
_PART_CHARS = 1_500
_OVERLAP_CHARS = 150


def secret_kinds(text: str) -> tuple[str, ...]:
    """Kinds of secrets in a text, in words for a person; empty when there is none."""
    found = [*told_secrets(text), *_keys(text)]
    # Presidio's time grows with the square of a text's length
    for start in range(0, len(text), _PART_CHARS):
        part = text[start : start + _PART_CHARS + _OVERLAP_CHARS]
        if _NUMBER.search(part):
            found += _numbers(part)
    return tuple(dict.fromkeys(found))


def _keys(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for start in range(0, len(line), _LINE_CHARS):
            part = line[start : start + _LINE_CHARS]
            for plugin in _plugins():
                if any(plugin.analyze_string(part)):
                    yield _key_name(plugin.secret_type)


def _key_name(kind: str) -> str:
    return "password or key" if kind in ("Secret Keyword", "Basic Auth Credentials") else f"{kind} (key)"


def _numbers(text: str) -> Iterator[str]:
    text = _NO_NUMBER.sub(" ", text)
    for recognizer in _recognizers():
        for found in recognizer.analyze(text, recognizer.supported_entities):
            kind = found.entity_type
            beside = text[max(0, found.start - _BESIDE_CHARS) : found.end + _BESIDE_CHARS // 2]
            if kind in _BY_FORM and found.score >= _STRONG:
                yield _BY_FORM[kind]
            elif _named(recognizer, beside):
                yield _BY_FORM.get(kind) or _BY_CONTEXT[kind]


def _named(recognizer: PatternRecognizer, beside: str) -> bool:
    """Whether a word stands there that says what the number is."""
    return any(re.search(rf"(?i)(?<!\w){re.escape(word)}(?!\w)", beside) for word in recognizer.context or ())


@cache
def _plugins() -> tuple[Any, ...]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    classes = {found.__name__: found for found in get_mapping_from_secret_type_to_class().values()}
    return tuple(classes[name]() for name in _PLUGINS.split())


@cache
def _recognizers() -> tuple[PatternRecognizer, ...]:
    from presidio_analyzer import predefined_recognizers

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    return tuple(getattr(predefined_recognizers, name)() for name in _RECOGNIZERS.split())
