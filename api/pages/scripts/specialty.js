// Lists the specialties that may be meant while one is typed.
const box = document.querySelector("[data-find]");
if (box) {
  const list = document.createElement("div");
  let waiting;
  list.className = "chips";
  list.role = "status";
  box.removeAttribute("list");
  box.closest(".row").after(list);
  const find = async () => {
    const typed = box.value, rows = await (await fetch(`${box.dataset.find}?q=${encodeURIComponent(typed)}`)).json();
    if (typed === box.value) list.replaceChildren(...rows.map(([code, name]) => {
      const label = document.createElement("label");
      label.className = "chip";
      label.innerHTML = '<input type="radio" name="specialty">';
      label.firstChild.value = code;
      label.append(name);
      return label;
    }));
  };
  box.oninput = () => { clearTimeout(waiting); waiting = setTimeout(() => find().catch(() => {}), 200); };
}
