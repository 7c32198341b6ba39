"""One check of e-mail addresses, for bodies, forms, files, commands and settings: what we accept, mail can carry.

email-validator knows the grammar and IDNA. Mail leaves us without SMTPUTF8, so that what stands before the @ is ASCII;
no name server is asked, as most addresses of a hospital are typed while it is cut off.
"""

import unicodedata

import email_validator

# Domains that no public mail reaches are accepted: `.local` is many a hospital's own network, and exported files hold
# the addresses under `.invalid` that erased people and systems have. The library has no parameter for it but this list.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def normal_form(text: str) -> str:
    """Give the address as it is stored and mailed: ASCII, a domain of other letters as A-labels; case stays as it is.

    Raises ValueError with a sentence for whoever typed it. Texts are bounded before they come here.
    """
    for place, letter in enumerate(text.rpartition("@")[0], start=1):
        if not letter.isascii():
            name = unicodedata.name(letter, f"U+{ord(letter):04X}")
            msg = f"must have Latin letters before the @, and character {place} is {name}"
            raise ValueError(msg)
    try:
        checked = email_validator.validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True)
    except email_validator.EmailNotValidError as fault:
        msg = f"must be an e-mail address: {fault}"
        raise ValueError(msg) from None
    return text if text.isascii() else f"{checked.local_part}@{checked.ascii_domain}"


def as_stored(text: str) -> str:
    """Give the form to look a person up by; an invalid address stays as it is: an older release may have stored it."""
    try:
        return normal_form(text)
    except ValueError:
        return text


def is_valid(text: str) -> bool:
    """Tell whether mail can carry the address."""
    try:
        normal_form(text)
    except ValueError:
        return False
    return True
