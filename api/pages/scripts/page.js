// Long texts stay on a device of one's own until the server has them; without a line there is a page that says so.
const person = document.body.dataset.person, ours = "draft:", days = 7;
const keyOf = name => `${ours}${person}:${name}`;
const read = key => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
const all = () => Object.keys(localStorage).filter(key => key.startsWith(ours));
try {
  for (const key of all()) if (!(Date.now() - read(key)?.at < days * 864e5)) localStorage.removeItem(key);
  for (const form of document.querySelectorAll("form[data-ends-visit]")) {
    form.addEventListener("submit", () => all().forEach(key => localStorage.removeItem(key)));
  }
  if (person) {
    for (const el of document.querySelectorAll("[data-sent]")) localStorage.removeItem(keyOf(el.dataset.sent));
    for (const box of document.querySelectorAll("textarea[data-draft]")) {
      const key = keyOf(box.dataset.draft), kept = read(key);
      const number = box.form.elements.key, fresh = number?.value; // sent again unchanged, it is the same form
      const keep = more => localStorage.setItem(key, JSON.stringify({ at: Date.now(), text: box.value, ...more }));
      if (kept?.text && !box.value.trim()) {
        box.value = kept.text;
        if (number && kept.number) number.value = kept.number;
        const said = document.createElement("p");
        said.className = "hint";
        said.setAttribute("role", "status");
        said.textContent = document.body.dataset.restored;
        box.before(said);
      }
      box.addEventListener("input", () => {
        if (number) number.value = fresh;
        if (box.value.trim()) keep();
        else localStorage.removeItem(key);
      });
      box.form.addEventListener("submit", () => { if (number && box.value.trim()) keep({ number: number.value }); });
    }
  }
} catch { /* no storage: the page works without */ }
const manifest = document.querySelector("link[rel=manifest]");
if (manifest && document.querySelector(".top nav")) {
  navigator.serviceWorker?.register(new URL(`sw.js?${document.documentElement.lang}`, manifest.href)).catch(() => {});
}
