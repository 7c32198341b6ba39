"""The words of news, a line or two: they name no case, no person and no place, since a locked screen shows them."""

from dataclasses import dataclass
from datetime import datetime

from integrations import catalogues
from service import vocabulary
from service.rules.time import availability


@dataclass(frozen=True, slots=True)
class NewsText:
    """A title, and a line below it."""

    title: str
    text: str


def worded(news: vocabulary.News, at: datetime, zone: str, locale: str) -> NewsText:
    """Word the news; `at` is when the answer is due, or when the call begins."""
    words = catalogues.of(locale)["news"]
    time = f"{availability.to_wall(at, zone):%H:%M}"
    return NewsText(words[f"{news}_title"], words[f"{news}_text"].format(time=time))


def message(news: vocabulary.News, at: datetime, zone: str, locale: str, url: str) -> str:
    """Word it as one text message, with the address where it is dealt with."""
    worded_news = worded(news, at, zone, locale)
    return f"{worded_news.title}. {worded_news.text} {url}"
