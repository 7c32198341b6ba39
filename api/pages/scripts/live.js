// A page that is open follows what changes: one tab of a browser holds the stream (HTTP/1.1 has six connections to a
// host) and tells the others. An event says what changed, never how: the page asks for itself again and swaps its parts.
const followed = document.querySelector("[data-live]");
const mine = followed?.dataset.live; // "home", or the id of a case
let isBehind = false;

const isTyping = () => document.querySelector("main :is(textarea, input, select):focus") !== null;

async function refresh() {
  if (isTyping()) { isBehind = true; return; }
  isBehind = false;
  const answer = await fetch(location.href, { headers: { "X-Following": "1" } });
  if (!answer.ok || answer.redirected) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const other = next.getElementById(part.id);
    if (!other || other.outerHTML === part.outerHTML || part.contains(document.activeElement)) continue;
    part.replaceWith(other);
    other.classList.add("fresh");
  }
}

const hear = what => { if (mine === "home" || what === mine || what === "everything") refresh().catch(() => {}); };

if (mine && navigator.locks && window.BroadcastChannel && window.EventSource) {
  const others = new BroadcastChannel("live");
  others.onmessage = told => hear(told.data);
  document.addEventListener("focusout", () => { if (isBehind) setTimeout(() => refresh().catch(() => {}), 300); });
  navigator.locks.request("live", () => new Promise(done => {
    const source = new EventSource(followed.dataset.stream);
    source.addEventListener("changed", told => { others.postMessage(told.data); hear(told.data); });
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) done(); });
  }));
  for (const line of document.querySelectorAll("[data-following]")) line.hidden = false;
}

// How long it is until something begins: the page says it once, this keeps it true.
const worded = (line, minutes) => {
  const hours = Math.floor(minutes / 60), days = Math.floor(minutes / 1440);
  const form = days ? line.dataset.days : hours ? line.dataset.hours : line.dataset.minutes;
  return form.replace("{days}", days).replace("{hours}", hours - 24 * days).replace("{minutes}", minutes - 60 * hours);
};
const count = () => {
  for (const line of document.querySelectorAll("[data-until]")) {
    const minutes = Math.floor((Date.parse(line.dataset.until) - Date.now()) / 60000);
    line.textContent = minutes < 0 ? "" : worded(line, minutes);
  }
};
if (document.querySelector("[data-until]")) setInterval(count, 20000);
