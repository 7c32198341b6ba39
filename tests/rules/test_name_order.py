"""The order of names in lists, compared with ICU's own (FT-12)."""

# ruff: noqa: RUF001 - letters of several alphabets, side by side

import json
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules import name_order

IN_ORDER = [
    "Андрієнко", "Гнатюк", "Гудзь", "Ґудзь", "Євтушенко", "Єрмак", "Жук", "Зінченко", "Іваненко", "Їжакевич",
    "Йосипенко", "О'Браєн", "Обух", "Щука", "Ьо", "Юрко", "Яременко", "O'Brien", "Zoe",
]  # fmt: skip
NAMES = [
    *IN_ORDER, "ольха", "Ольха", "ОЛЬХА", "О’Браєн", "Евлін", "Елкин", "Ёлкин", "Ыр", "Эрнст", "Усов", "Ўсов", "Іі",
    "ЇЇ", "Müller", "Muller", "Mueller", "Łoś", "Los", "Øster", "Oster", "Šimek", "Simek", "Æon", "Aeon", "Straße",
    "Strasse", "Ad am", "Ad-am", "Адам", "Ад ам", "Ад-ам", "Адам 10", "Адам 2", "2-а лікарня", "Њего", "Ђура", "Þór",
    "Ðan", "Кардіологія", "Кардіохірургія", "Дитяча кардіологія", "Дитяча хірургія", "Ґаст",
]  # fmt: skip
LETTERS = "абвгґдеєжзиіїйклмнопрстуфхцчшщьюяАҐЄІЇЬЯabcxyzABCXYZéüł '-12"


def sorted_by_icu(names: list[str]) -> list[str]:
    """Sort by ICU's collation for Ukrainian, which node carries."""
    if shutil.which("node") is None:
        pytest.skip("no node on this machine: the second opinion is left out")
    read = "const names = JSON.parse(require('fs').readFileSync(0));"
    script = f"{read} console.log(JSON.stringify(names.sort(new Intl.Collator('uk').compare)))"
    ran = subprocess.run(["node", "-e", script], input=json.dumps(names), capture_output=True, text=True, check=True)
    found: list[str] = json.loads(ran.stdout)
    return found


def test_ft_12_names_are_in_the_order_of_the_ukrainian_alphabet() -> None:
    assert sorted(random.Random(1).sample(IN_ORDER, len(IN_ORDER)), key=name_order.key) == IN_ORDER


def test_ft_12_icu_has_the_same_order() -> None:
    dice = random.Random(12)
    words = {"".join(dice.choices(LETTERS, k=dice.randint(1, 8))).strip() for _ in range(400)}
    names = sorted({*NAMES, *words, *(name.upper() for name in NAMES)})
    mine = sorted(names, key=name_order.key)
    theirs = sorted_by_icu(names)
    # Names that are alike but for case, marks and signs may stand either way round.
    assert [name_order.key(name)[0] for name in mine] == [name_order.key(name)[0] for name in theirs]


@pytest.mark.parametrize(
    ("first", "second"),
    [("ольха", "Ольха"), ("Los", "Łoś"), ("Muller", "Müller"), ("Елкин", "Ёлкин"), ("é", "É")],
)
def test_ft_12_case_and_accents_count_only_between_names_that_are_alike_otherwise(first: str, second: str) -> None:
    one, other = name_order.key(first), name_order.key(second)
    assert one[0] == other[0]
    assert one < other


@pytest.mark.parametrize("apostrophe", ["'", "\u2019", "\u02bc", "`"])
def test_ft_12_an_apostrophe_is_one_however_it_is_typed(apostrophe: str) -> None:
    assert name_order.key(f"О{apostrophe}Браєн")[0] == name_order.key("О'Браєн")[0]


@pytest.mark.parametrize("form", ["й", "и\u0306"])
def test_ft_12_a_letter_is_one_however_it_is_put_together(form: str) -> None:
    assert name_order.key(f"Ту{form}") == name_order.key("Туй")


@PROPERTY
@given(st.lists(st.text(max_size=8), max_size=8, unique=True))
def test_ft_12_any_text_has_a_place_and_the_order_is_the_same_from_any_order(names: list[str]) -> None:
    in_order = sorted(names, key=name_order.key)
    names.reverse()
    assert sorted(names, key=name_order.key) == in_order
