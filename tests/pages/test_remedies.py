"""A request that nobody can take: what would help stands on its page and in its mails, and one press does it."""

import html
import re

import pytest

from integrations.mail import letters
from pages.scene import Scene
from service.care import consultations


def said(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page)))


async def test_a_request_that_nobody_can_take_says_what_would_help_and_one_press_does_it(scene: Scene) -> None:
    """On the page after it was sent, and on its own; twice is once. A mentor's coordinator is shown nothing of it."""
    await scene.ask(languages=("pl",))
    (row,) = await scene.rows("SELECT id, state FROM consultation")
    path = f"/consultations/{row.id}"
    async with scene.browser(scene.clinician) as browser:
        pages = [(await browser.get(each)).text for each in (f"{path}/sent", path)]
        (change,) = re.findall(r'<input type="hidden" name="change" value="(language:en)">', pages[1])[:1]
        pressed = [await browser.post(f"{path}/widen", data={"change": change}) for _ in range(2)]
        after = (await browser.get(path)).text
    assert row.state == "unmatched"
    for page in pages:
        assert "відповідь ще однією мовою: англійська" in said(page)
        assert scene.mentor.display_name not in said(page)
    assert [answer.status_code for answer in pressed] == [303, 303]
    assert "Що допомогло" not in said(after)
    (now,) = await scene.rows("SELECT state, languages FROM consultation")
    assert (now.state, now.languages) == ("offered", ["pl", "en"])


async def test_a_wider_consent_takes_its_day_with_the_press(scene: Scene) -> None:
    await scene.ask(consent=consultations.ConsentGiven("countries", scene.clock.now().date(), ("IL",)))
    (row,) = await scene.rows("SELECT id FROM consultation")
    async with scene.browser(scene.clinician) as browser:
        page = (await browser.get(f"/consultations/{row.id}")).text
        data = {"change": "country:FR", "given_on": "2026-11-16"}
        answers = [
            await browser.post(f"/consultations/{row.id}/widen", data=data | changed)
            for changed in ({"given_on": ""}, {"given_on": "2026-12-24"}, {"given_on": "soon"}, {})
        ]
    assert 'name="change" value="country:FR"' in page
    assert [answer.status_code for answer in answers] == [422, 422, 422, 303]
    assert all('id="given_on"' in answer.text or 'id="widen-given_on"' in answer.text for answer in answers[:3])
    (after,) = await scene.rows("SELECT state FROM consultation")
    assert after.state == "offered"


@pytest.mark.parametrize(
    "change", ["", "language:", "language:FR", "time:soon", "either:x", "consent:FR", "specialty:x"]
)
async def test_a_change_that_no_button_of_ours_sends_is_refused(scene: Scene, change: str) -> None:
    await scene.ask(languages=("pl",))
    (row,) = await scene.rows("SELECT id FROM consultation")
    async with scene.browser(scene.clinician) as browser:
        before = await scene.state()
        answer = await browser.post(f"/consultations/{row.id}/widen", data={"change": change})
    assert answer.status_code == 422
    assert await scene.state() == before


@pytest.mark.parametrize(
    ("locale", "line"),
    [("uk", "відповідь ще однією мовою: англійська (ще 1 ментор)"),
     ("en", "an answer in another language: English (1 more mentor)")],
)  # fmt: skip
async def test_the_mails_about_nobody_name_what_would_help(scene: Scene, locale: str, line: str) -> None:
    """The coordinator's, and the doctor's receipt."""
    await scene.ask(languages=("pl",))
    rows = await scene.rows("SELECT payload FROM delivery WHERE kind = 'mail' ORDER BY id")
    by_template = {row.payload["template"]: row.payload for row in rows}
    assert set(by_template) == {"unmatched", "receipt_unmatched"}
    for template, payload in by_template.items():
        written = letters.write(template, locale, "Somebody", payload["values"] | {"zone": "Europe/Kyiv"}, {})
        assert line in written.plain
        assert html.escape(line) in written.html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([{"kind": "translation", "code": None, "until": None}], "a written answer translated by a machine"),
        ([{"kind": "country", "code": "FR", "until": None}], "consent naming France"),
        ([{"kind": "time", "code": None, "until": "2026-11-17T08:00:00Z"}], "more time, until "),
        (
            [{"kind": "either", "code": None, "until": None}, {"kind": "language", "code": "fr", "until": None}],
            "a call or a written answer, as suits the mentor and an answer in another language: French",
        ),
    ],
)
def test_each_change_has_words_in_a_mail(changes: list[dict[str, str | None]], words: str) -> None:
    values = {
        "specialty": {"en": "Burns", "uk": "Опіки"}, "priority": "urgent", "zone": "Europe/Kyiv",
        "counts": {}, "asked": {}, "would_help": [{"mentors": 2, "changes": changes}],
    }  # fmt: skip
    letter = letters.write("unmatched", "en", "Somebody", values, {})
    assert words in letter.plain.replace("\n", " ")
    assert "2 more mentors" in letter.plain
