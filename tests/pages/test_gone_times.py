"""The page of an offer lists what is free, also after somebody was quicker (FT-14)."""

from pages.scene import Scene
from service.care import answers


async def test_ft_14_after_somebody_was_quicker_the_page_lists_the_next_best_times(scene: Scene) -> None:
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")
    await scene.ask()
    await scene.ask()
    one, other = await scene.rows("SELECT id, starts FROM offer ORDER BY id")
    start = one.starts[0]
    value = f"{start:%Y-%m-%dT%H:%M:%SZ}"
    async with scene.browser(scene.mentor) as browser:
        path = f"/offers/{other.id}"
        assert f'value="{value}"' in (await browser.get(path)).text
        await scene.act(scene.mentor, answers.accept, one.id, start)
        shown = await browser.get(path)
        assert f'value="{value}"' not in shown.text
        refused = await browser.post(f"{path}/accept", data={"starts_at": value})
        assert (refused.status_code, f'value="{value}"' in refused.text) == (409, False)
        assert refused.text.count('name="starts_at"') >= len(other.starts)


async def test_ft_14_when_no_offered_time_is_left_the_page_lists_free_ones(scene: Scene) -> None:
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")
    await scene.ask()
    await scene.ask()
    one, other = await scene.rows("SELECT id, starts FROM offer ORDER BY id")
    await scene.rows("UPDATE offer SET starts = ARRAY[starts[1]] RETURNING 1")
    await scene.act(scene.mentor, answers.accept, one.id, one.starts[0])
    async with scene.browser(scene.mentor) as browser:
        shown = (await browser.get(f"/offers/{other.id}")).text
    assert ("The times of this offer are gone" in shown, shown.count('name="starts_at"')) == (True, 3)
