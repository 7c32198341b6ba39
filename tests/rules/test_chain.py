import hashlib
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules import chain
from service.rules.chain import GENESIS, Entry, Head, NotCanonical

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(text, values, min_size=1, max_size=4)


def entries(all_bodies: Iterable[dict[str, object]]) -> list[Entry]:
    made: list[Entry] = []
    head = GENESIS
    for number, body in enumerate(all_bodies):
        made.append(Entry(str(number), body, head, chain.entry_hash(head, body)))
        head = made[-1].hash
    return made


@PROPERTY
@given(values)
def test_canonical_json_reads_back_as_the_same_value(value: object) -> None:
    assert json.loads(chain.canonical(value)) == value


@PROPERTY
@given(bodies)
def test_the_order_in_which_keys_are_given_does_not_matter(body: dict[str, object]) -> None:
    assert chain.canonical(dict(reversed(body.items()))) == chain.canonical(body)


def test_the_published_example_of_the_standard_comes_out_sorted_by_utf_16() -> None:
    # RFC 8785 §3.2.3
    example = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    expected = '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'
    assert chain.canonical(example) == expected


def test_strings_are_escaped_as_the_standard_says() -> None:
    # RFC 8785 §3.2.2.2
    assert chain.canonical('\u20ac$\u000f\nA\'B"\\\\"/') == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


def test_literals_and_tuples_are_written_as_json() -> None:
    assert chain.canonical({"a": (None, True, False, -0, 12)}) == '{"a":[null,true,false,0,12]}'


@pytest.mark.parametrize(
    "value", [1.5, 1.0, float("nan"), 2**53, -(2**53), b"x", {1: 2}, "\ud800", {"\udfff": 1}, {1, 2}]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        chain.canonical({"a": value})


def test_the_hash_is_that_of_the_previous_hash_and_the_entry() -> None:
    expected = hashlib.sha256((GENESIS + '{"a":1,"b":"\u0457"}').encode()).hexdigest()
    assert chain.entry_hash(GENESIS, {"b": "\u0457", "a": 1}) == expected


@pytest.mark.parametrize("previous", ["", "0" * 63, "0" * 64 + "\n", "A" * 64])
def test_a_previous_hash_that_is_none_is_refused(previous: str) -> None:
    with pytest.raises(NotCanonical):
        chain.entry_hash(previous, {})


@pytest.mark.slow
@PROPERTY
@given(st.lists(bodies, max_size=5))
def test_an_untouched_chain_holds(all_bodies: list[dict[str, object]]) -> None:
    made = entries(all_bodies)
    found = chain.verify(made)
    assert (found.ok, found.entries, found.first_broken) == (True, len(made), None)
    assert found.head == (made[-1].hash if made else GENESIS)


@pytest.mark.slow
@PROPERTY
@given(st.lists(bodies, min_size=2, max_size=5), st.data())
def test_the_first_broken_entry_is_named_whatever_was_done_to_it(
    all_bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    made = entries(all_bodies)
    at = data.draw(st.integers(0, len(made) - 1))
    entry = made[at]
    other = entries([{"forged": True}])[0]
    forged = {
        "body": Entry(entry.id, {**entry.body, "forged": True}, entry.previous_hash, entry.hash),
        "hash": Entry(entry.id, entry.body, entry.previous_hash, other.hash),
        "previous": Entry(entry.id, entry.body, other.hash, entry.hash),
        "unwritable": Entry(entry.id, {"a": 0.5}, entry.previous_hash, entry.hash),
    }
    made[at] = forged[data.draw(st.sampled_from(sorted(forged)))]
    found = chain.verify(made)
    assert (found.ok, found.entries, found.first_broken) == (False, at, entry.id)


@pytest.mark.slow
@PROPERTY
@given(st.lists(bodies, min_size=3, max_size=5), st.data())
def test_a_missing_or_exchanged_entry_breaks_the_chain(
    all_bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    made = entries([{**body, "n": number} for number, body in enumerate(all_bodies)])
    at = data.draw(st.integers(0, len(made) - 2))
    assert not chain.verify([*made[:at], *made[at + 1 :]]).ok
    made[at], made[at + 1] = made[at + 1], made[at]
    assert not chain.verify(made).ok


THREE = entries([{"n": number} for number in range(3)])
HEADS = [Head(0, GENESIS), *(Head(number, entry.hash) for number, entry in enumerate(THREE, 1))]
ELSEWHERE = [
    Head(0, THREE[0].hash),
    Head(2, THREE[0].hash),
    Head(3, GENESIS),
    Head(4, THREE[2].hash),
]


@pytest.mark.parametrize("anchor", HEADS)
def test_a_chain_passes_through_every_head_that_it_had(anchor: Head) -> None:
    assert chain.verify(THREE, anchor=anchor, end=HEADS[-1]).ok


@pytest.mark.parametrize("anchor", ELSEWHERE)
def test_a_chain_that_never_had_the_anchored_head_is_broken_at_the_anchor(anchor: Head) -> None:
    found = chain.verify(THREE, anchor=anchor)
    assert (found.ok, found.entries, found.head, found.first_broken) == (False, 3, THREE[2].hash, "anchor")


@pytest.mark.parametrize("end", [*HEADS[:-1], *ELSEWHERE])
def test_a_chain_that_ends_elsewhere_is_broken_at_its_head(end: Head) -> None:
    found = chain.verify(THREE, end=end, anchor=HEADS[1])
    assert (found.ok, found.entries, found.head, found.first_broken) == (False, 3, THREE[2].hash, "head")
