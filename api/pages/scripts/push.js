// This browser is told at once, after a press.
const form = document.querySelector("[data-push]");
if (navigator.serviceWorker && window.PushManager) {
  form.hidden = false;
  form.addEventListener("submit", event => {
    event.preventDefault();
    navigator.serviceWorker.ready
      .then(worker => worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: form.dataset.push }))
      .then(made => { form.elements.made.value = JSON.stringify(made); form.submit(); })
      .catch(() => { form.querySelector("p").hidden = false; });
  });
}
