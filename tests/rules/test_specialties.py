import pytest

from rules.values import BOOK, tree
from service.rules.specialties import Relation, Tree

TREE = tree()


@pytest.mark.parametrize(
    ("asked", "held", "relation"),
    [
        ("sur.neuro", "sur.neuro", "exact"),
        ("sur", "sur.neuro.skullbase", "narrower"),
        ("sur.neuro", "sur.neuro.skullbase", "narrower"),
        ("sur.neuro.skullbase", "sur.neuro", "broader"),
        ("sur.neuro.skullbase", "sur", "broader"),
        ("ped.cardiology", "med.cardiology", "second_parent"),
        ("ped.cardiology", "med", "second_parent"),
        ("med.cardiology", "ped.cardiology", "second_parent"),
        ("hnk.ent", "sur.neuro.skullbase", "second_parent"),
        ("hnk", "sur.neuro.skullbase", "none"),  # three steps
        ("sur.neuro", "sur.urology", "root_sibling"),
        ("sur.neuro.skullbase", "hnk.rhinology", "second_parent"),
        ("sur.burns", "hnk.facial_reconstructive", "none"),  # a shared second parent makes no siblings
        ("sur", "med", "none"),
        ("sur.neuro", "med.cardiology", "none"),
        ("sur.neuro", "unknown", "none"),
        ("unknown", "sur.neuro", "none"),
        ("unknown", "unknown", "exact"),
    ],
)
def test_the_relation_of_two_specialties(asked: str, held: str, relation: str) -> None:
    assert TREE.relation(asked, held) == relation


def test_siblings_below_the_first_level_are_siblings() -> None:
    small = Tree([("a", None, ()), ("a.b", "a", ()), ("a.b.one", "a.b", ()), ("a.b.two", "a.b", ())])
    assert small.relation("a.b.one", "a.b.two") is Relation.SIBLING


def test_a_relation_reaches_two_steps_and_no_further() -> None:
    chain = Tree([("a", None, ()), ("b", "a", ()), ("c", "b", ()), ("d", "c", ())])
    assert [chain.relation("a", code) for code in "bcd"] == ["narrower", "narrower", "none"]
    assert [chain.relation("d", code) for code in "cba"] == ["broader", "broader", "none"]


def test_a_tree_that_bites_its_tail_does_not_hang() -> None:
    ring = Tree([("a", "b", ()), ("b", "a", ())])
    assert ring.relation("a", "b") is Relation.NARROWER


def test_the_best_of_the_held_specialties_counts() -> None:
    assert TREE.best("sur.neuro", ["med", "sur.urology", "sur"]) is Relation.BROADER
    assert TREE.best("sur.neuro", []) is Relation.NONE


def test_no_areas_cover_everything() -> None:
    assert TREE.covers((), "sur.neuro")
    assert not TREE.covers({"med"}, "sur.neuro")


def test_fewer_steps_are_more_specific_and_no_areas_the_least() -> None:
    asked = "sur.neuro.skullbase"
    found = [TREE.steps(areas, asked) for areas in ({"sur.neuro.skullbase"}, {"hnk", "sur.neuro"}, {"sur"}, {"hnk"})]
    assert found == [0, 1, 2, 3]
    assert (TREE.steps((), asked) or 0) > 3
    assert TREE.steps({"med"}, asked) is None


def test_every_parent_in_the_shipped_table_exists() -> None:
    assert all(
        parent in TREE for code in TREE.ancestors("hnk.facial_reconstructive") for parent in TREE.ancestors(code)
    )
    assert "med" in BOOK.tree
    assert "nonsense" not in BOOK.tree
