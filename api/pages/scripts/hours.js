// The picture of the week becomes buttons. What is pressed is written into the rows "from … until", which are what is sent.
const form = document.getElementById("hours"), grid = document.getElementById("grid");
const ranges = document.getElementById("ranges"), cells = [...grid.querySelectorAll("td")], DAYS = 7, DAY = 1440;
const codes = [...ranges.querySelector("select").options].map(option => option.value).filter(Boolean);
document.getElementById("how").hidden = false;

const buttons = cells.map((cell, i) => {
  const button = document.createElement("button");
  button.type = "button";
  button.tabIndex = i ? -1 : 0;
  const day = grid.tHead.rows[0].cells[i % DAYS + 1].querySelector("abbr").title;
  button.setAttribute("aria-label", `${day}, ${cell.dataset.h}:00`);
  cell.replaceChildren(button);
  return button;
});

function minute(text) { // as the server reads it (rules.time.typed_hours)
  const m = /^\s*(?:(\d{1,2})(?:\s*[:.,h-]\s*(\d\d))?|(\d{1,2})(\d\d))\s*$/i.exec(text);
  if (!m) return null;
  const [hour, rest] = [+(m[1] ?? m[3]), +(m[2] ?? m[4] ?? 0)];
  return rest < 60 && hour * 60 + rest <= DAY ? hour * 60 + rest : null;
}
const clock = m => `${String(Math.floor(m / 60)).padStart(2, "0")}:${String(m % 60).padStart(2, "0")}`;
const rows = () => [...ranges.querySelectorAll(".row")];
const inputs = row => [row.querySelector("select"), ...row.querySelectorAll("input")];

function read() { // the stretches of each day, as [from, until) in minutes; what cannot be read is left to the server
  const days = Array.from({ length: DAYS }, () => []);
  for (const row of rows()) {
    const [day, from, until] = inputs(row), d = codes.indexOf(day.value), a = minute(from.value), b = minute(until.value);
    if (d < 0 || a === null || b === null || a === b || a === DAY) continue;
    days[d].push([a, a < b ? b : DAY]);
    if (b && b < a) days[(d + 1) % DAYS].push([0, b]);
  }
  return days.map(merged);
}

function merged(stretches) {
  const found = [];
  for (const [a, b] of stretches.sort((x, y) => x[0] - y[0])) {
    const last = found.at(-1);
    if (last && a <= last[1]) last[1] = Math.max(last[1], b);
    else found.push([a, b]);
  }
  return found;
}

function paint() {
  const days = read();
  cells.forEach((cell, i) => {
    const start = cell.dataset.h * 60;
    const open = days[cell.dataset.d].reduce((sum, [a, b]) => sum + Math.max(0, Math.min(b, start + 60) - Math.max(a, start)), 0);
    cell.classList.toggle("open", open === 60);
    cell.classList.toggle("half", open > 0 && open < 60);
    buttons[i].setAttribute("aria-pressed", open === 60 ? "true" : open ? "mixed" : "false");
  });
}

function set(i, on) {
  const days = read(), d = +cells[i].dataset.d, start = cells[i].dataset.h * 60, end = start + 60;
  const others = days[d].flatMap(([a, b]) => [[a, Math.min(b, start)], [Math.max(a, end), b]]).filter(([a, b]) => a < b);
  days[d] = merged(on ? [...others, [start, end]] : others);
  write(days);
}

function write(days) {
  const spans = days.flatMap((stretches, d) => stretches.map(([a, b]) => [codes[d], clock(a), clock(b)]));
  const plain = rows()[0];
  rows().slice(1).forEach(row => row.remove());
  [...spans, ["", "", ""]].forEach((span, n) => {
    const row = n ? ranges.appendChild(plain.cloneNode(true)) : plain;
    row.querySelectorAll(".err").forEach(fault => fault.remove());
    row.querySelectorAll(".bad").forEach(field => field.classList.remove("bad"));
    row.setAttribute("aria-label", row.getAttribute("aria-label").replace(/\d+/, n + 1));
    inputs(row).forEach((input, k) => {
      const name = `${["day", "from", "until"][k]}_${n + 1}`, label = input.parentElement.querySelector("label");
      Object.assign(input, { name, id: name, value: span[k] });
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
      label.htmlFor = name;
    });
  });
  changed();
}

let brush = null, waiting = 0, asked = 0;
function go(i, stays) {
  for (const button of buttons) button.tabIndex = -1;
  buttons[i].tabIndex = 0;
  buttons[i].focus({ preventScroll: stays });
}
const isOpen = i => cells[i].classList.contains("open");
grid.addEventListener("pointerdown", event => {
  const i = buttons.indexOf(event.target);
  if (i < 0 || event.pointerType === "touch" || event.button) return;
  brush = !isOpen(i);
  set(i, brush);
  go(i, true);
  event.preventDefault();
});
grid.addEventListener("pointerover", event => {
  const i = buttons.indexOf(event.target);
  if (i >= 0 && brush !== null && isOpen(i) !== brush) set(i, brush);
});
addEventListener("pointerup", () => { brush = null; });
grid.addEventListener("click", event => {
  const i = buttons.indexOf(event.target);
  if (i >= 0 && (event.detail === 0 || event.pointerType === "touch")) { set(i, !isOpen(i)); go(i, true); }
});
grid.addEventListener("keydown", event => {
  const i = buttons.indexOf(event.target), step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -DAYS, ArrowDown: DAYS }[event.key];
  if (i < 0 || !step || !cells[i + step]) return;
  if (Math.abs(step) === 1 && Math.floor(i / DAYS) !== Math.floor((i + step) / DAYS)) return;
  event.preventDefault();
  if (event.shiftKey) set(i + step, isOpen(i));
  go(i + step, false);
});

function changed() {
  paint();
  clearTimeout(waiting);
  waiting = setTimeout(preview, 400);
}

async function preview() {
  const button = form.querySelector("[formaction]"), mine = ++asked;
  const answer = await fetch(button.formAction, { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => null);
  if (!answer || mine !== asked) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("preview");
  if (page && mine === asked) document.getElementById("preview").replaceChildren(...page.childNodes);
}
form.addEventListener("input", changed);
paint();
