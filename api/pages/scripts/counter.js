// At most three: the fourth is refused by the server as well. The button says how many are picked.
const form = document.getElementById("counter"), most = +form.dataset.most, button = document.getElementById("propose");
const boxes = [...form.querySelectorAll("input[name=starts]")], words = button.textContent;
function count() {
  const on = boxes.filter(box => box.checked).length;
  for (const box of boxes) box.disabled = on >= most && !box.checked;
  button.textContent = on ? `${words} (${on})` : words;
}
form.addEventListener("change", count);
count();
